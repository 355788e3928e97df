package router

import (
	"errors"
	"io"
	"os"
	"sync"
	"time"

	"lattice/router/wire"
)

const (
	maxAnswerHead = 1 << 20 // bytes
	expectWait    = time.Second
)

// A work is what a request needs for as long as it is with an instance.
type work struct {
	out []byte // what is to be written
	in  []byte // what came from the instance
	n   int    // bytes of in that are filled
	res wire.Head
}

// works lends works. The zero value is ready to use.
type works struct{ pool sync.Pool }

func (p *works) get() *work {
	if w, ok := p.pool.Get().(*work); ok {
		w.n = 0
		return w
	}
	return &work{out: make([]byte, 0, smallBuffer), in: make([]byte, answerBuffer)}
}

// put takes w back, unless an exceptional answer made it large.
func (p *works) put(w *work) {
	if cap(w.in) <= answerBuffer && cap(w.out) <= 4*answerBuffer && cap(w.res.Fields) <= 256 {
		p.pool.Put(w)
	}
}

// reach sends the request to its instance, and to others as long as that fails
// in a way that lets it be sent again. The answer's head is then in w.res.
func (c *client) reach(w *work) (*link, error) {
	w.out = c.appendHead(w.out[:0])
	common := len(w.out)
	for {
		w.out = c.appendInstance(w.out[:common])
		l, err := c.try(w)
		if err == nil {
			c.x.up.reached()
			return l, nil
		}
		if !c.again(err) {
			return nil, err
		}
	}
}

// again reports whether another instance has the request now, after a try
// failed with err.
func (c *client) again(err error) bool {
	if gone, late := c.state(); gone || late {
		return false
	}
	c.r.log.Debug("try failed", "app", c.x.backend.App, "instance", c.x.backend.Index, "addr", c.x.backend.Addr, "err", err)
	if isDial(err) {
		c.x.unreachable(err)
		return !c.body.taken && c.x.next()
	}
	c.x.up.reached()
	return c.harmless() && c.x.next()
}

// harmless reports whether the request can be sent again although it may have
// reached the instance: there was not a byte of an answer, and either none of
// the body had been sent or the method allows it.
func (c *client) harmless() bool {
	if c.body.answered {
		return false
	}
	if c.req.HasBody() {
		return !c.body.taken
	}
	switch string(c.req.Method) {
	case "GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE":
		return true
	}
	return c.req.Get(wire.IdempotencyKey) != nil
}

// try sends the request to the exchange's instance and reads the head of the
// answer. A connection that was closed while it was idle says nothing about
// the instance: it is tried again with a new one.
func (c *client) try(w *work) (*link, error) {
	fresh := false
	for {
		l, err := c.connect(fresh)
		if err != nil {
			return nil, err
		}
		if !c.hold(l) {
			l.conn.Close()
			return nil, errGone
		}
		if err = c.ask(w, l); err == nil {
			return l, nil
		}
		c.stopUpload()
		intact := c.release()
		l.conn.Close()
		if !l.reused || !intact || !c.harmless() {
			return nil, err
		}
		c.x.up.links.close(false) // they are no better
		fresh = true
	}
}

var errGone = errors.New("the client went away")

// connect returns a connection to the exchange's instance. One from the pool
// that was closed meanwhile is noticed in time when the request can't be sent
// twice; for others the look is saved.
func (c *client) connect(fresh bool) (*link, error) {
	for {
		l, err := c.x.up.connect(c.s.base, c.x.backend.Addr, fresh, c.r.now())
		if err != nil || !l.reused || c.replayable() || !ended(l.conn) {
			return l, err
		}
		l.conn.Close()
	}
}

func (c *client) replayable() bool { return !c.req.HasBody() && c.harmless() }

// ask writes the request, with as much of its body as is there, and reads the
// head of the answer.
func (c *client) ask(w *work, l *link) error {
	out := w.out
	if c.req.Length > 0 && !c.body.expected {
		n := int(min(c.req.Length, int64(len(c.buf)-c.used)))
		out = append(out, c.buf[c.used:c.used+n]...)
		c.used += n
		c.body.sent, c.body.taken = int64(n), true
	}
	if _, err := l.conn.Write(out); err != nil {
		return err
	}
	if c.req.HasBody() && !c.body.expected && (c.req.Chunked || c.body.sent < c.req.Length) {
		c.upload(l)
	}
	w.n = 0
	return c.answerHead(w, l)
}

// answerHead reads heads from l until one is no interim answer.
func (c *client) answerHead(w *work, l *link) error {
	if c.body.expected {
		if err := l.conn.SetReadDeadline(time.Now().Add(expectWait)); err != nil {
			return err
		}
	}
	for {
		if err := c.readHead(w, l); err != nil {
			return err
		}
		if w.res.Code >= 200 || w.res.Code == 101 {
			if c.body.expected {
				return l.conn.SetReadDeadline(time.Time{})
			}
			return nil
		}
		if err := c.interim(w, l); err != nil {
			return err
		}
		w.n = copy(w.in, w.in[w.res.Len:w.n])
	}
}

// readHead reads one head into w.in and w.res.
func (c *client) readHead(w *work, l *link) error {
	for {
		if w.n > 0 {
			if err := w.res.ParseResponse(w.in[:w.n]); err != wire.ErrMore {
				return err
			}
		}
		if w.n == len(w.in) {
			if w.n >= maxAnswerHead {
				return errors.New("the answer's head is larger than 1 MiB")
			}
			w.in = append(w.in, make([]byte, len(w.in))...)
		}
		n, err := l.conn.Read(w.in[w.n:])
		if w.n += n; n > 0 {
			c.body.answered = true
			continue
		}
		if c.body.expected && errors.Is(err, os.ErrDeadlineExceeded) {
			if err := c.proceed(l); err != nil { // the app doesn't know of expectations
				return err
			}
			continue
		}
		if err == io.EOF {
			err = io.ErrUnexpectedEOF
		}
		return err
	}
}

// interim passes on an answer that is not the last. 100 Continue means the
// body, and reaches only those who asked for it.
func (c *client) interim(w *work, l *link) error {
	if w.res.Code == 100 {
		if !c.body.expected {
			return nil
		}
		return c.proceed(l)
	}
	if c.req.Minor == 0 {
		return nil
	}
	_, err := c.conn.Write(append(c.appendAnswer(nil, &w.res), "\r\n"...))
	if err != nil {
		c.leave()
	}
	return err
}

// proceed asks the client for the body that it holds back, and begins to send
// it on.
func (c *client) proceed(l *link) error {
	c.body.expected = false
	if err := l.conn.SetReadDeadline(time.Time{}); err != nil {
		return err
	}
	if _, err := c.conn.Write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
		c.leave()
		return err
	}
	c.upload(l)
	return nil
}
