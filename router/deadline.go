package router

import (
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"time"
)

// A deadline keeps a request on the library's path within the limits of its
// route. nil limits nothing.
type deadline struct {
	limits limits
	cancel context.CancelFunc
	head   *time.Timer // until the answer begins; may be nil
	total  *time.Timer // until it ends; may be nil
	passed atomic.Bool
}

// serve has the request answered within the limits of its route.
func (x *exchange) serve(w http.ResponseWriter, req *http.Request) {
	if x.policy != nil && x.policy.limits != (limits{}) {
		ctx, cancel := context.WithCancel(req.Context())
		defer cancel()
		x.deadline = newDeadline(x.policy.limits, cancel)
		defer x.deadline.stop()
		req = req.WithContext(ctx)
	}
	x.proxy().ServeHTTP(w, req)
}

func newDeadline(l limits, cancel context.CancelFunc) *deadline {
	d := &deadline{limits: l, cancel: cancel}
	if l.header > 0 {
		d.head = time.AfterFunc(l.header, d.pass)
	}
	if l.total > 0 {
		d.total = time.AfterFunc(l.total, d.pass)
	}
	return d
}

// pass ends the request.
func (d *deadline) pass() {
	d.passed.Store(true)
	d.cancel()
}

// over reports whether the request has taken too long.
func (d *deadline) over() bool { return d != nil && d.passed.Load() }

func (d *deadline) stop() {
	for _, t := range []*time.Timer{d.head, d.total} {
		if t != nil {
			t.Stop()
		}
	}
}

// answered notes that the answer has begun. That of an upgrade has only the
// limit for idleness.
func (d *deadline) answered(res *http.Response) {
	if d == nil {
		return
	}
	if d.head != nil {
		d.head.Stop()
	}
	tunnel := res.StatusCode == http.StatusSwitchingProtocols
	if tunnel && d.total != nil {
		d.total.Stop()
	}
	if d.limits.idle == 0 {
		return
	}
	m := &moving{ReadCloser: res.Body, idle: d.limits.idle, timer: time.AfterFunc(d.limits.idle, d.pass)}
	if rw, ok := res.Body.(io.ReadWriteCloser); ok && tunnel {
		res.Body = &movingBoth{m, rw}
	} else {
		res.Body = m
	}
}

// moving is a body that must not stand still.
type moving struct {
	io.ReadCloser
	idle  time.Duration
	timer *time.Timer
}

func (m *moving) Read(p []byte) (int, error) {
	n, err := m.ReadCloser.Read(p)
	m.timer.Reset(m.idle)
	return n, err
}

func (m *moving) Close() error {
	m.timer.Stop()
	return m.ReadCloser.Close()
}

// movingBoth is the same of a tunnel.
type movingBoth struct {
	*moving
	to io.Writer
}

func (m *movingBoth) Write(p []byte) (int, error) {
	m.timer.Reset(m.idle)
	return m.to.Write(p)
}
