package api

import (
	"net"
	"net/http"
	"net/netip"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// csrfHeader must be in what a browser asks for with its cookie, but for looks:
// no other site can make a browser send it.
const csrfHeader = "X-Lattice"

// A LoginRequest says who logs in: by a token, by name and password, or by the
// code of a link.
type LoginRequest struct {
	Token    string `json:"token,omitempty"`
	Name     string `json:"name,omitempty"`
	Password string `json:"password,omitempty"`
	Code     string `json:"code,omitempty"`
}

// A Session is a browser that is logged in.
type Session struct {
	Name      string    `json:"name"`
	Role      string    `json:"role"` // admin or viewer
	ExpiresAt time.Time `json:"expires_at"`
}

// A LoginLink logs a browser in, once, at DASHBOARD/#login=CODE.
type LoginLink struct {
	Code      string    `json:"code"`
	ExpiresAt time.Time `json:"expires_at"`
}

// login opens a session. It is for everybody, so it is careful.
func (s *server) login(c *gin.Context) {
	var r LoginRequest
	err := sameSite(c.Request)
	if err == nil {
		err = readStrict(c, &r)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	keys := []string{"from " + network(c.Request.RemoteAddr)}
	if r.Name != "" {
		keys = append(keys, "name "+r.Name)
	}
	if err := s.failures.allow(keys...); err != nil {
		s.fail(c, err)
		return
	}
	who, err := s.whoLogsIn(r)
	if err != nil {
		s.cfg.Log.Warn("login refused", "addr", c.Request.RemoteAddr, "reason", err)
		s.fail(c, err)
		return
	}
	s.failures.forgive(keys...)
	secret, ends := s.sessions.begin(who, s.callers.in(who.Name))
	http.SetCookie(c.Writer, cookie(secret, ends))
	s.cfg.Log.Info("logged in", "user", who.Name, "addr", c.Request.RemoteAddr)
	s.emit(app.Event{Kind: app.AuditNoun + ".login", Actor: who.Name, Message: "logged in from " + c.Request.RemoteAddr})
	s.answer(c, http.StatusOK, Session{Name: who.Name, Role: roleName(who.Role), ExpiresAt: ends})
}

// whoLogsIn returns who that is.
func (s *server) whoLogsIn(r LoginRequest) (Caller, error) {
	switch {
	case r.Code != "":
		return s.sessions.follow(r.Code)
	case r.Token != "":
		who, err := s.bearer(r.Token)
		if err == nil && who.Role != RoleUser && who.Role != RoleViewer {
			err = app.Unauthorized("a join token is only for cells that join: use a user's token")
		}
		return who, err
	case r.Name == "" || r.Password == "":
		return Caller{}, app.Invalid("a token, or a name and a password, are needed to log in")
	case s.cfg.Users == nil:
		return Caller{}, app.Unauthorized("the name or the password is wrong")
	}
	return s.cfg.Users.Login(r.Name, r.Password)
}

// bearer returns whom a token stands for.
func (s *server) bearer(token string) (Caller, error) {
	role, err := s.cfg.Auth.Role(token)
	if err == nil {
		return Caller{Name: "admin", Role: role}, nil
	}
	if s.cfg.Users == nil {
		return Caller{}, err
	}
	if who, userErr := s.cfg.Users.Bearer(token); userErr == nil {
		return who, nil
	}
	return Caller{}, err
}

func (s *server) showSession(c *gin.Context) {
	who := callerOf(c)
	out := Session{Name: who.Name, Role: roleName(who.Role)}
	if sess, ok := s.sessionOf(c.Request); ok {
		out.ExpiresAt = sess.ends
	}
	s.answer(c, http.StatusOK, out)
}

func (s *server) logout(c *gin.Context) {
	if ck, err := c.Request.Cookie(sessionCookie); err == nil {
		s.sessions.drop(ck.Value)
	}
	http.SetCookie(c.Writer, cookie("", time.Unix(1, 0)))
	c.Status(http.StatusNoContent)
}

func (s *server) createLink(c *gin.Context) {
	code, ends, err := s.sessions.link(callerOf(c))
	s.done(c, http.StatusCreated, LoginLink{code, ends}, err)
}

// sessionOf returns the session whose cookie the request shows, if its user is
// still as when it was opened.
func (s *server) sessionOf(r *http.Request) (*session, bool) {
	ck, err := r.Cookie(sessionCookie)
	if err != nil {
		return nil, false
	}
	sess, ok := s.sessions.get(ck.Value)
	if !ok || sess.caller.Since.IsZero() {
		return sess, ok
	}
	now, known := s.cfg.Users.Current(sess.caller.Name)
	if !known || now.Role != sess.caller.Role || !now.Since.Equal(sess.caller.Since) {
		s.sessions.drop(ck.Value)
		return nil, false
	}
	return sess, true
}

// sameSite refuses what a page of another site makes a browser do. Browsers set
// the headers it looks at, and no page can change them.
func sameSite(r *http.Request) error {
	look := r.Method == http.MethodGet || r.Method == http.MethodHead
	socket := r.Header.Get("Upgrade") != ""
	site, origin := r.Header.Get("Sec-Fetch-Site"), r.Header.Get("Origin")
	switch {
	case site != "" && site != "same-origin" && !(site == "none" && look):
	case origin != "" && origin != "https://"+r.Host && origin != "http://"+r.Host: // http: the loopback proxy of `ltc dashboard`
	case socket && origin == "":
	case !look && r.Header.Get(csrfHeader) == "":
		return sayf(errForbidden, "a browser must send the header %s: 1 with this", csrfHeader)
	default:
		return nil
	}
	return sayf(errForbidden, "this was asked for by a page of another site, and is refused")
}

func roleName(r Role) string {
	if r == RoleUser {
		return "admin"
	}
	return string(r)
}

// network returns what failed logins are counted by: an IPv4 address, or the
// /64 that one machine may have all of.
func network(addr string) string {
	host, _, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	ip, err := netip.ParseAddr(host)
	if err != nil || ip.Unmap().Is4() {
		return host
	}
	p, err := ip.WithZone("").Prefix(64)
	if err != nil {
		return host
	}
	return p.String()
}
