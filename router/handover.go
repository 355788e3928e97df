package router

import (
	"bytes"
	"net"
)

// A handover is how far the request of a guest is that goes on in a goroutine.
type handover struct {
	begun bool   // an instance has been chosen, and not given up
	err   error  // why the try with that one failed; nil: there was none
	in    []byte // what the instance that has the request has sent of its answer; nil: none has it
}

// handOver lets a guest go on in a goroutine of its own, with a request that is not
// common. It stays there.
func (l *loop) handOver(g *guest, h handover) {
	c := &g.client
	delete(l.guests, g)
	conn, err := given(l.release(g.near))
	var far *link
	if k := g.far; k != nil {
		g.far = nil
		var tcp *net.TCPConn
		if tcp, err = orGiven(err, l.release(k)); err == nil {
			far = &link{conn: tcp, reused: k.reused}
			h.in = bytes.Clone(h.in)
		}
	}
	if err != nil {
		l.r.log.Warn("connection lost", "peer", c.ip, "err", err)
		if conn != nil {
			conn.Close()
		}
		if h.begun {
			l.settle(g)
		}
		l.left()
		return
	}
	if h.begun && far == nil {
		c.used = c.req.Len // a body is sent anew, if it may be
		if len(c.id) == 0 {
			l.w.out = c.appendHead(l.w.out[:0])[:0] // for the request's ID
		}
	}
	c.raw, c.conn = conn, conn
	l.load.Add(-1)
	l.s.adopt(c, func() { c.carryOn(h, far) })
}

// orGiven is given unless something has failed before.
func orGiven(err error, fd int) (*net.TCPConn, error) {
	conn, e := given(fd)
	if err != nil && conn != nil {
		conn.Close()
		return nil, err
	}
	return conn, e
}

// carryOn serves what was a guest until the connection ends.
func (c *client) carryOn(h handover, l *link) {
	c.guarded(func() {
		if h.begun {
			if !c.resume(h, l) {
				return
			}
			c.next()
		} else if c.s.draining.Load() {
			c.dismiss()
		}
		c.requests()
	})
}

// resume goes on with a request that has an instance. It reports whether the
// connection can take another one.
func (c *client) resume(h handover, l *link) (again bool) {
	defer c.record()
	defer c.x.end()
	w := c.r.works.get()
	defer c.r.works.put(w)
	c.enter(exchanging, c.since)
	err := h.err
	if l != nil {
		l, err = c.goOn(w, h.in, l)
	}
	if l == nil && (err == nil || c.again(err)) {
		l, err = c.reach(w)
	}
	if err != nil {
		return c.failed(err)
	}
	return c.answer(w, l)
}

// goOn reads the rest of an answer's head.
func (c *client) goOn(w *work, in []byte, l *link) (*link, error) {
	if !c.hold(l) {
		l.conn.Close()
		return nil, errGone
	}
	w.in = append(w.in[:0], in...)
	w.n = len(w.in)
	w.in = w.in[:cap(w.in)]
	err := c.answerHead(w, l)
	if err != nil {
		c.release()
		l.conn.Close()
		return nil, err
	}
	c.x.up.reached()
	return l, nil
}
