package router

import (
	"bytes"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"time"

	"lattice/router/wire"
)

// smallBuffer is what an idle connection keeps, in bytes.
const smallBuffer = 4 << 10

// A client is a connection of a client on the fast path. Its goroutine takes
// one request after the other; another one sends a large body meanwhile.
type client struct {
	watched

	r    *Router
	s    *server
	raw  net.Conn // as it was accepted
	conn net.Conn // the same, or TLS over it; changed with mu held

	remote  net.Addr   // not nil: by the PROXY protocol, who is connected
	peer    netip.Addr // who is connected
	ip      string     // the same
	node    string     // the same, as Forwarded has it
	trusted bool       // it is a proxy that the router believes

	buf  []byte // what came in; begins with the head of the request at hand
	used int    // bytes of buf that this request has used up
	seen int    // bytes of buf in which no head ends
	req  wire.Head
	x    exchange
	body body
	sent int64  // bytes of it that were written
	id   []byte // of the request, as the instance gets it

	handed bool // the connection is somebody else's now
}

func newClient(s *server, conn net.Conn) *client {
	c := &client{r: s.r, s: s, raw: conn, conn: conn}
	c.meet(conn.RemoteAddr())
	c.since = s.r.now()
	return c
}

// meet notes who is connected.
func (c *client) meet(who net.Addr) {
	if tcp, ok := who.(*net.TCPAddr); ok {
		c.peer = tcp.AddrPort().Addr().Unmap().WithZone("")
	}
	c.ip = c.peer.String()
	c.node, c.trusted = node(c.ip), c.r.trusts(c.peer)
}

// serve answers requests until the connection ends.
func (c *client) serve() {
	c.guarded(func() {
		c.buf = make([]byte, 0, smallBuffer)
		if c.open() {
			c.requests()
		}
	})
}

func (c *client) requests() {
	for c.head() && c.exchange() {
		c.next()
	}
}

// guarded calls serve and closes the connection, whatever happens.
func (c *client) guarded(serve func()) {
	defer func() {
		if !c.handed {
			c.conn.Close()
		}
	}()
	defer func() {
		if p := recover(); p != nil { // one request must not end all others
			c.leave()
			c.r.log.Error("request failed for a fault of the router", "reason", p, "stack", string(debug.Stack()))
		}
	}()
	serve()
}

// head reads the head of a request. It reports false when there is none, or
// none that can be served.
func (c *client) head() bool {
	for {
		if len(c.buf) > 0 {
			err := c.req.ParseRequest(c.buf, c.seen)
			if err == nil {
				c.used = c.req.Len
				return true
			}
			if c.seen = len(c.buf); err != wire.ErrMore {
				return c.malformed(err)
			}
			if c.phase == waiting {
				c.enter(reading, c.r.now())
			}
			if len(c.buf) >= maxHeader {
				c.x.route = nil // of the request before
				return c.refuse(&refusal{code: http.StatusRequestHeaderFieldsTooLarge, cause: "header_too_large", reason: "the request's header is larger than 64 KiB"}, true)
			}
		}
		if len(c.buf) == cap(c.buf) {
			c.buf = append(make([]byte, 0, 4*cap(c.buf)), c.buf...)
		}
		n, err := c.conn.Read(c.buf[len(c.buf):cap(c.buf)])
		if n == 0 && err != nil {
			return false
		}
		c.buf = c.buf[:len(c.buf)+n]
	}
}

// next forgets the request at hand.
func (c *client) next() {
	rest := c.buf[c.used:]
	if cap(c.buf) > smallBuffer && len(rest) < smallBuffer {
		c.buf = append(make([]byte, 0, smallBuffer), rest...)
	} else {
		c.buf = append(c.buf[:0], rest...)
	}
	c.used, c.seen = 0, 0
	c.enter(waiting, c.r.now())
	if c.s.draining.Load() { // after enter: else dismiss could miss it
		c.dismiss()
	}
}

// malformed answers what is no request.
func (c *client) malformed(err error) bool {
	c.x.route = nil // of the request before
	if c.isPreface() {
		c.s.library(c)
		return false
	}
	c.r.count.requests.Add(1)
	c.r.count.unrouted.Add(1)
	why := refusal{code: http.StatusBadRequest, cause: "bad_request", reason: err.Error()}
	if errors.Is(err, wire.ErrCoding) {
		why.code = http.StatusNotImplemented
	} else if errors.Is(err, wire.ErrVersion) {
		why.code = http.StatusHTTPVersionNotSupported
	}
	return c.refuse(&why, true)
}

// exchange has the request answered by an instance. It reports whether the
// connection can take another one.
func (c *client) exchange() (again bool) {
	c.x = exchange{r: c.r, arrived: c.r.now()}
	c.body, c.sent, c.id = body{}, 0, c.id[:0]
	why := c.aim()
	if c.foreign() {
		c.s.library(c)
		return false
	}
	c.r.count.requests.Add(1)
	again = c.pass(why)
	c.record()
	return again
}

// foreign reports whether the request at hand is one that only the library can
// serve. From then on it has the connection.
func (c *client) foreign() bool {
	if c.r.challenge != nil && bytes.HasPrefix(c.req.Target, []byte(challengePath)) {
		return true
	}
	p := c.x.policy
	return p != nil && p.alwaysH2C && c.upgrade() == nil
}

// pass passes the request on to an instance and the answer back, or refuses it
// for why.
func (c *client) pass(why *refusal) (again bool) {
	if p := c.x.policy; p != nil && why == nil {
		if why = c.x.guard(c); why == nil {
			c.x.read(c)
			c.bind(p.limits)
			defer c.bind(limits{})
		}
	}
	if why != nil {
		return c.refuse(why, c.req.HasBody())
	}
	w := c.r.works.get()
	defer c.r.works.put(w)
	c.enter(exchanging, c.x.arrived)
	if c.s.draining.Load() { // after enter: see dismiss
		c.conn.SetReadDeadline(time.Time{})
	}
	if why := c.x.begin(); why != nil {
		return c.refuse(why, c.req.HasBody())
	}
	defer c.x.end()
	l, err := c.reach(w)
	if err != nil {
		return c.failed(err)
	}
	return c.answer(w, l)
}

// failed answers a request that no instance has answered.
func (c *client) failed(err error) bool {
	c.x.whole = true
	gone, overdue := c.state()
	var bad *wire.Malformed
	switch {
	case gone:
		c.answered(statusClientGone)
		return false
	case errors.As(c.body.bad, &bad):
		return c.refuse(&refusal{code: http.StatusBadRequest, cause: "bad_request", reason: bad.Why}, true)
	case c.body.bad != nil:
		c.answered(statusClientGone)
		return false
	case overdue || isTimeout(err):
		return c.refuse(late(), c.req.HasBody())
	default:
		return c.refuse(broken(), c.req.HasBody())
	}
}

// answered notes the status of the answer.
func (c *client) answered(code int) {
	c.x.code = code
	c.r.count.answered(code)
}

// write writes a part of the answer.
func (c *client) write(p []byte) error {
	n, err := c.conn.Write(p)
	c.sent += int64(n)
	if c.limits != nil {
		c.moved.Store(int64(c.r.now()))
	}
	return err
}

// record counts the request at hand, and tells of it.
func (c *client) record() {
	if c.x.tally() {
		c.tell()
	}
}

func (c *client) tell() {
	a := c.x.access()
	a.Method, a.Target, a.Proto = text(c.req.Method), text(c.req.Target), "HTTP/1.0"
	if c.req.Minor == 1 {
		a.Proto = "HTTP/1.1"
	}
	a.Host, a.Client, a.Sent = c.x.wish.host, c.ip, c.sent
	for i := range c.req.Fields {
		f := &c.req.Fields[i]
		switch f.ID {
		case wire.UserAgent:
			a.UserAgent = text(f.Value)
		case wire.Referer:
			a.Referer = text(f.Value)
		case wire.ForwardedFor:
			a.ForwardedFor = text(f.Value)
		}
	}
	if c.trusted {
		a.Client = c.client().String()
	}
	a.ID = text(c.id)
	c.r.onAccess(a)
}
