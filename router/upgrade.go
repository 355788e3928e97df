package router

import (
	"io"
	"net"

	"lattice/router/wire"
)

// tunnel passes on an answer by which the connection leaves HTTP, and then
// everything in both directions until both have ended.
func (c *client) tunnel(w *work, l *link) (again bool) {
	asked, to := c.upgrade(), w.res.Get(wire.Upgrade)
	if asked == nil || to == nil {
		c.release()
		l.conn.Close()
		c.x.whole = true
		return c.refuse(&refusal{code: 502, cause: "endpoint_failure", reason: "the app changed to another protocol without being asked"}, true)
	}
	c.answered(101)
	if !c.s.tunnelling(c) {
		l.conn.Close()
		return false
	}
	w.out = append(c.appendAnswer(w.out[:0], &w.res), "Connection: Upgrade\r\n"...)
	w.out = append(appendField(w.out, to), "\r\n"...)
	w.out = append(w.out, w.in[w.res.Len:w.n]...)
	early := c.buf[c.used:]
	c.used = len(c.buf)
	back := make(chan error, 1)
	go func() { back <- c.pipe(l.conn, c.conn, early) }()
	err := c.pipe(c.conn, l.conn, w.out)
	if err != nil {
		c.conn.Close() // ends the other direction too
		l.conn.Close()
	}
	if other := <-back; err == nil {
		err = other
	}
	c.release()
	l.conn.Close()
	c.x.whole = err == nil
	return false
}

// pipe writes first, then what comes from one connection, to another, and ends
// that direction of it when there is no more. After an error both are closed.
func (c *client) pipe(to, from net.Conn, first []byte) error {
	_, err := to.Write(first)
	if err == nil {
		err = c.relay(to, from)
	}
	if half, ok := to.(halfCloser); ok && err == nil {
		err = half.CloseWrite()
	}
	if err != nil {
		to.Close()
		from.Close()
	}
	return err
}

// relay copies until from ends. It begins with a small buffer, because most
// tunnels are idle, and splicing would hold a pipe all the time.
func (c *client) relay(to, from net.Conn) error {
	buf := make([]byte, smallBuffer)
	for {
		n, err := from.Read(buf)
		if n > 0 {
			if _, err := to.Write(buf[:n]); err != nil {
				return err
			}
			if c.limits != nil {
				c.moved.Store(int64(c.r.now()))
			}
		}
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if n == len(buf) && n < answerBuffer {
			buf = make([]byte, answerBuffer)
		}
	}
}
