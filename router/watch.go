package router

import (
	"context"
	"net/http"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

const (
	// watchEvery is how often connections are looked at: timers for each
	// request would cost more than all of this.
	watchEvery = 500 * time.Millisecond

	// answerWait is how long an instance may take to begin its answer, as long
	// as gorouter's: a hung app must not hold on for ever.
	answerWait = 15 * time.Minute
)

// What a client's connection is doing.
type phase uint8

const (
	reading    phase = iota // a request's head
	waiting                 // for the next request
	dialling                // for a request; in a loop only
	exchanging              // a request is with an instance
	answering               // the same, and the answer has begun
	tunnelling
	leaving
)

// A watched is what must be known of a client's connection to see from outside
// that it takes too long or that nobody is there any more.
type watched struct {
	mu    sync.Mutex // guards what follows
	phase phase
	since time.Duration // Router.born
	link  *link         // that has the request; nil: none
	gone  bool          // the client is; link was closed
	late  bool          // the instance is; link was closed
	cut   bool          // the server stops; all was closed

	limits *limits       // of the request's route; nil: what is usual
	began  time.Duration // when the request got its limits
	moved  atomic.Int64  // time.Duration since Router.born, of the last byte; if there are limits
}

// enter notes that a new phase begins. That an instance was late is forgotten with
// its request.
func (w *watched) enter(p phase, now time.Duration) {
	w.mu.Lock()
	w.phase, w.since = p, now
	w.late = w.late && p != waiting
	w.mu.Unlock()
}

// hold notes that l has the request. It reports false when nobody waits for
// the answer any more.
func (w *watched) hold(l *link) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.gone || w.cut {
		return false
	}
	w.link = l
	return true
}

// release notes that the request needs its link no more. It reports false when
// that was closed meanwhile.
func (w *watched) release() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.link = nil
	return !w.gone && !w.late && !w.cut
}

// state returns what happened to the request from outside.
func (w *watched) state() (gone, late bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.gone || w.cut, w.late
}

// leave marks the client as gone and ends what its request does.
func (w *watched) leave() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.gone = true
	w.closeLink()
}

// closeLink closes the link, which ends the request's waiting for it. mu must
// be held, so that the link can't have gone to another request meanwhile.
func (w *watched) closeLink() {
	if w.link != nil {
		w.link.conn.Close()
	}
}

// check ends what takes too long or has nobody to wait for it.
func (c *client) check(now time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	took := now - c.since
	switch c.phase {
	case reading:
		if took > headerWait {
			c.raw.Close()
		}
	case waiting: // with TLS, c.conn.Close would wait for the client
		if took > idleTimeout {
			c.raw.Close()
		}
	case exchanging, answering:
		if took < watchEvery {
			return
		}
		if c.overdue(now) {
			c.late = true
			c.closeLink()
		}
		if c.left() {
			c.gone = true
			c.closeLink()
		}
	case tunnelling:
		if c.limits != nil && c.limits.idle > 0 && now-time.Duration(c.moved.Load()) > c.limits.idle {
			c.closeLink()
			c.raw.Close()
		}
	}
}

// left reports whether the client has closed its connection. With TLS nothing
// can be said of what it may have sent before.
func (c *client) left() bool {
	sock, ok := c.raw.(syscall.Conn)
	if ok && c.conn != c.raw {
		return hungUp(sock)
	}
	return ok && ended(sock)
}

// overdue reports whether the instance has taken too long. mu must be held.
func (w *watched) overdue(now time.Duration) bool {
	wait := answerWait
	if l := w.limits; l != nil {
		if l.header > 0 {
			wait = l.header
		}
		idle := now - time.Duration(w.moved.Load())
		if l.total > 0 && now-w.began > l.total || w.phase == answering && l.idle > 0 && idle > l.idle {
			return true
		}
	}
	return w.phase == exchanging && now-w.since > wait
}

// bind notes the limits of the request at hand; none when it is done with.
func (c *client) bind(l limits) {
	var has *limits
	if l != (limits{}) {
		has = &l
	} else if c.limits == nil {
		return
	}
	now := c.r.now()
	c.moved.Store(int64(now))
	c.mu.Lock()
	c.limits, c.began = has, now
	c.mu.Unlock()
}

// watch checks all connections of s again and again until ctx is done.
func (s *server) watch(ctx context.Context) {
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	var all []*client
	for {
		s.r.date.set(time.Now())
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		all = s.all(all[:0])
		now := s.r.now()
		for _, c := range all {
			c.check(now)
		}
		clear(all)
		for _, l := range s.loops {
			l.post(l.check)
		}
		s.r.reap()
	}
}

// A date is the current time as the header field Date has it, made twice a
// second rather than for each answer.
type date struct{ text atomic.Pointer[string] }

func (d *date) set(now time.Time) {
	s := now.UTC().Format(http.TimeFormat)
	d.text.Store(&s)
}

func (d *date) String() string { return *d.text.Load() }
