package api

import (
	"cmp"
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"errors"
	"strings"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// A Role is what a caller may do.
type Role string

// The roles.
const (
	RoleUser   Role = "user"   // by token or session: everything but what follows
	RoleViewer Role = "viewer" // by token or session: to look at what is no secret
	RoleJoin   Role = "join"   // by token: to become a cell
	RoleCell   Role = "cell"   // by certificate: what is for this cell

	roleAnyone Role = "anyone" // of a path, never of a caller
	roleBoth   Role = "both"   // of a path, never of a caller: a user, and the cell itself
	roleReader Role = "reader" // of a path, never of a caller: a user or a viewer
)

// Auth knows the callers. What it refuses is ErrUnauthorized and says why.
type Auth interface {
	// Role tells the role of a token. It must take as long for a wrong token
	// as for a right one.
	Role(token string) (Role, error)

	// Cell tells which cell shows the certificate, which the server has
	// verified. The context ends when the cell isn't welcome any more; its
	// cause says why.
	Cell(cert *x509.Certificate) (id string, in context.Context, err error)
}

// Tokens is an Auth with one token a role, of which it has only the hash; a
// role whose hash is zero has no token. To it every verified certificate is one
// of the cell that is its common name.
type Tokens struct {
	User, Join [sha256.Size]byte
}

// HashToken returns what Tokens wants of a token. A token must be random and
// long: the hash is no protection for one that can be guessed.
func HashToken(token string) [sha256.Size]byte { return sha256.Sum256([]byte(token)) }

// Role returns the role of the token.
func (t Tokens) Role(token string) (Role, error) {
	got := HashToken(token)
	user, join := same(got, t.User), same(got, t.Join)
	switch {
	case token == "":
	case user:
		return RoleUser, nil
	case join:
		return RoleJoin, nil
	}
	return "", app.Unauthorized("the token is not known here")
}

// Cell returns the common name.
func (t Tokens) Cell(cert *x509.Certificate) (string, context.Context, error) {
	return cert.Subject.CommonName, context.Background(), nil
}

// same compares in constant time and is false for a hash that is not set.
func same(got, want [sha256.Size]byte) bool {
	return subtle.ConstantTimeCompare(got[:], want[:])&^subtle.ConstantTimeCompare(want[:], make([]byte, len(want))) == 1
}

// authorise lets a request pass only if the route table says for whom its path
// is and its caller is that. It runs in front of every handler, those for
// unknown paths included, so a path nobody thought of is refused.
func (s *server) authorise(c *gin.Context) {
	want, known := s.allowed[c.Request.Method+" "+c.FullPath()]
	token := bearer(c.GetHeader("Authorization"))
	switch {
	case want == roleAnyone:
		return
	case verified(c) != nil && (want == RoleCell || want == roleBoth && token == ""):
		s.authoriseCell(c)
		return
	}
	who, err := s.identify(c, token)
	role := who.Role
	switch {
	case errors.Is(err, errForbidden):
		s.fail(c, err)
	case role != "":
		s.authoriseUser(c, who, want, known)
	case token == "" && want == RoleCell:
		s.fail(c, app.Unauthorized("this is for cells only, which show the certificate that they got when they joined"))
	case token == "" && verified(c) != nil:
		s.fail(c, sayf(errForbidden, "the certificate of a cell does not open this: use a user's token"))
	case token == "":
		s.fail(c, app.Unauthorized("a token is needed: send it as Authorization: Bearer TOKEN"))
	default:
		s.fail(c, cmp.Or(err, app.Unauthorized("the token is not known here")))
	}
}

// identify tells who makes the request: by its token, or without one by the
// session of its cookie. What a page of another site made a browser send is
// errForbidden. It is nobody when the role is "".
func (s *server) identify(c *gin.Context, token string) (Caller, error) {
	if token != "" {
		return s.bearer(token)
	}
	sess, ok := s.sessionOf(c.Request)
	if !ok {
		return Caller{}, nil
	}
	if err := sameSite(c.Request); err != nil {
		return Caller{}, err
	}
	c.Set(callerKey, sess.ctx)
	return sess.caller, nil
}

// authoriseUser lets somebody pass whose role opens the path.
func (s *server) authoriseUser(c *gin.Context, who Caller, want Role, known bool) {
	switch {
	case known && opens(who.Role, want), c.FullPath() == "" && opens(who.Role, roleReader): // of the latter the answer will be 404
		c.Set(whoKey, who)
		if _, ok := c.Get(callerKey); !ok && who.Name != "" && !who.Since.IsZero() {
			c.Set(callerKey, s.callers.in(who.Name))
		}
	case want == RoleCell:
		s.fail(c, sayf(errForbidden, "this is for cells only, which show the certificate that they got when they joined"))
	case who.Role == RoleJoin:
		s.fail(c, sayf(errForbidden, "a join token is only for cells that join: use a user's token"))
	case who.Role == RoleViewer:
		s.fail(c, sayf(errForbidden, "%s may look, but not do this: ask an admin", who.Name))
	default:
		s.fail(c, sayf(errForbidden, "this is for cells that join and wants a join token"))
	}
}

// opens reports whether the role of a caller opens a path for want.
func opens(role, want Role) bool {
	switch want {
	case roleBoth:
		return role == RoleUser
	case roleReader:
		return role == RoleUser || role == RoleViewer
	case roleAnyone:
		return false // was let in before
	}
	return role == want
}

// Where a request has the context of the cell or user that made it, and who
// that user is.
const (
	callerKey = "caller"
	whoKey    = "who"
)

// callerOf returns the user who makes the request; of others, nobody.
func callerOf(c *gin.Context) Caller {
	who, _ := c.Value(whoKey).(Caller)
	return who
}

// authoriseCell lets a cell pass that speaks for itself.
func (s *server) authoriseCell(c *gin.Context) {
	cell, in, err := s.cfg.Auth.Cell(verified(c))
	switch {
	case err != nil:
		s.fail(c, err)
	case cell == "" || cell != c.Param("id"):
		s.fail(c, sayf(errForbidden, "the certificate of the cell %.100q does not speak for the cell %.100q", cell, c.Param("id")))
	default:
		c.Set(callerKey, in)
	}
}

// caller returns the context of who makes the request, which ends when it must
// not go on; of who has the admin token, one that never does.
func caller(c *gin.Context) context.Context {
	if in, ok := c.Value(callerKey).(context.Context); ok {
		return in
	}
	return context.Background()
}

// verified returns the certificate that the caller showed and the server
// verified, or nil.
func verified(c *gin.Context) *x509.Certificate {
	if t := c.Request.TLS; t != nil && len(t.VerifiedChains) > 0 {
		return t.VerifiedChains[0][0]
	}
	return nil
}

// bearer returns the token of an Authorization header, or "".
func bearer(header string) string {
	scheme, token, _ := strings.Cut(header, " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(token)
}
