package router

import (
	"io"
	"time"
)

const (
	lingerFor   = time.Second
	lingerBytes = 4 << 20 // how much of an unwanted body is thrown away
)

// refuse answers for the router. dirty says that something may come that is
// not the next request: then the connection ends.
func (c *client) refuse(why *refusal, dirty bool) (again bool) {
	c.answered(why.code)
	why.page = c.r.page(c.x.route, why, c.values("Accept"), first(c, "X-Request-Id"))
	again = !dirty && c.persists()
	out := why.append(nil, c.r.date.String(), string(c.req.Method) == "HEAD", again)
	if c.write(out) != nil {
		return false
	}
	if dirty {
		c.linger()
	}
	return again
}

// persists reports whether the client's connection stays open after this
// request, as far as client and server wish.
func (c *client) persists() bool {
	if c.req.Close || c.s.draining.Load() {
		return false
	}
	return c.req.Minor == 1 || c.req.KeepAlive
}

// linger ends the connection so that the client can read its answer although
// it goes on sending: closing at once would throw that away.
func (c *client) linger() {
	half, ok := c.conn.(halfCloser)
	if !ok || half.CloseWrite() != nil {
		return
	}
	c.enter(leaving, c.r.now())
	if c.conn.SetReadDeadline(time.Now().Add(lingerFor)) == nil {
		// What comes is not wanted, nor is the reason why it ends.
		_, _ = io.CopyN(io.Discard, c.conn, lingerBytes)
	}
}
