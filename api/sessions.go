package api

import (
	"context"
	"crypto/rand"
	"crypto/sha256"
	"net/http"
	"sync"
	"time"

	"lattice/app"
)

const (
	sessionCookie = "__Host-lattice" // the prefix binds it to this host, TLS and the path /
	sessionLife   = 24 * time.Hour   // after the login
	sessionIdle   = 8 * time.Hour    // after the last request
	linkLife      = time.Minute
	maxSessions   = 2000
	maxLinks      = 200
)

// sessions are the browsers that are logged in, and the links that wait to log
// one in. They are in memory: who restarts the brain logs in again. Of what opens
// them only hashes are kept.
type sessions struct {
	now func() time.Time

	mu    sync.Mutex // guards what follows
	open  map[[sha256.Size]byte]*session
	links map[[sha256.Size]byte]link
}

// A session is a browser that is logged in.
type session struct {
	caller Caller
	ends   time.Time
	seen   time.Time
	ctx    context.Context
	end    context.CancelCauseFunc
	timer  *time.Timer
}

// A link logs a browser in, once.
type link struct {
	caller Caller
	ends   time.Time
}

func newSessions() *sessions {
	return &sessions{now: time.Now, open: map[[sha256.Size]byte]*session{}, links: map[[sha256.Size]byte]link{}}
}

// begin opens a session and returns what the cookie holds. in ends it.
func (ss *sessions) begin(who Caller, in context.Context) (secret string, ends time.Time) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	now := ss.now()
	ss.tidy(now)
	secret = rand.Text() + rand.Text()
	key := sha256.Sum256([]byte(secret))
	s := &session{caller: who, seen: now, ends: now.Add(sessionLife)}
	s.ctx, s.end = context.WithCancelCause(in)
	s.timer = time.AfterFunc(sessionLife, func() { ss.close(key, errSessionOver) })
	ss.open[key] = s
	return secret, s.ends
}

var errSessionOver = app.Unauthorized("you are not logged in any more: log in again")

// get returns the session of a cookie, which counts as used then.
func (ss *sessions) get(secret string) (*session, bool) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	key, now := sha256.Sum256([]byte(secret)), ss.now()
	s, ok := ss.open[key]
	if !ok || s.over(now) {
		return nil, false
	}
	s.seen = now
	return s, true
}

func (s *session) over(now time.Time) bool {
	return s.ctx.Err() != nil || !now.Before(s.ends) || now.Sub(s.seen) > sessionIdle
}

// drop ends the session of a cookie.
func (ss *sessions) drop(secret string) { ss.close(sha256.Sum256([]byte(secret)), errSessionOver) }

func (ss *sessions) close(key [sha256.Size]byte, why error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	if s, ok := ss.open[key]; ok {
		s.stop(why)
		delete(ss.open, key)
	}
}

func (s *session) stop(why error) {
	s.timer.Stop()
	s.end(why)
}

// tidy forgets what is over and, when there are too many, who was idle longest.
func (ss *sessions) tidy(now time.Time) {
	var oldest [sha256.Size]byte
	for key, s := range ss.open {
		if s.over(now) {
			s.stop(errSessionOver)
			delete(ss.open, key)
		} else if o := ss.open[oldest]; o == nil || s.seen.Before(o.seen) {
			oldest = key
		}
	}
	if s := ss.open[oldest]; s != nil && len(ss.open) >= maxSessions {
		s.stop(errSessionOver)
		delete(ss.open, oldest)
	}
}

// link returns a code that logs a browser in once, as who.
func (ss *sessions) link(who Caller) (code string, ends time.Time, err error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	now := ss.now()
	for key, l := range ss.links {
		if !now.Before(l.ends) {
			delete(ss.links, key)
		}
	}
	if len(ss.links) >= maxLinks {
		return "", ends, sayf(errTooMany, "there are %d links that nobody has opened yet: wait a minute", len(ss.links))
	}
	code, ends = rand.Text(), now.Add(linkLife)
	ss.links[sha256.Sum256([]byte(code))] = link{who, ends}
	return code, ends, nil
}

// follow uses up the link with that code.
func (ss *sessions) follow(code string) (Caller, error) {
	ss.mu.Lock()
	defer ss.mu.Unlock()
	key := sha256.Sum256([]byte(code))
	l, ok := ss.links[key]
	delete(ss.links, key)
	if !ok || !ss.now().Before(l.ends) {
		return Caller{}, app.Unauthorized("the link was used already or is older than %s: `ltc dashboard` makes another one", linkLife)
	}
	return l.caller, nil
}

// cookie returns what carries a session; an empty secret removes it.
func cookie(secret string, ends time.Time) *http.Cookie {
	c := &http.Cookie{
		Name: sessionCookie, Value: secret, Path: "/", Expires: ends,
		Secure: true, HttpOnly: true, SameSite: http.SameSiteStrictMode,
	}
	if secret == "" {
		c.MaxAge = -1
	}
	return c
}
