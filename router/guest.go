package router

import (
	"os"
	"time"

	"golang.org/x/sys/unix"

	"lattice/router/wire"
)

// A guest is a client whose connection a loop has. Its phase is waiting, reading,
// dialling, exchanging or answering.
type guest struct {
	client
	near *sock // the client's
	far  *sock // of the instance that has the request; nil: none

	leaveBy time.Duration // when it must go unless a request comes, Router.born; 0: it may stay

	// Of the answer on its way.
	how    framing
	rest   int64 // bytes of its body that have not come, by length
	chunks wire.Chunks
	again  bool   // the client may ask once more
	lasts  bool   // the instance's connection may be used once more
	came   bool   // all has come
	unsent []byte // what the client had no room for
}

// fromClient goes on after an event of the client's socket.
func (l *loop) fromClient(g *guest) {
	switch g.phase {
	case waiting, reading:
		l.read(g)
	case answering:
		if len(g.unsent) > 0 {
			l.flush(g)
		}
	}
}

// read reads requests until there is nothing to read or one has begun.
func (l *loop) read(g *guest) {
	for g.near.readable {
		if g.buf == nil {
			g.buf = l.buffer()
		}
		room := g.buf[len(g.buf):cap(g.buf)]
		n, errno := recv(g.near.fd, room)
		if errno == unix.EAGAIN {
			g.near.readable = g.near.closed
			break
		}
		if n == 0 {
			l.bye(g)
			return
		}
		g.buf = g.buf[:len(g.buf)+n]
		if n < len(room) { // all there was, but for the end
			g.near.readable = g.near.closed
		}
		if !l.request(g) {
			return
		}
	}
	if len(g.buf) == 0 {
		l.restore(g.buf)
		g.buf = nil
	}
}

// request begins the request in g.buf. It reports false unless more of it must be
// read.
func (l *loop) request(g *guest) (more bool) {
	if err := g.req.ParseRequest(g.buf, g.seen); err == wire.ErrMore && len(g.buf) < cap(g.buf) {
		g.seen = len(g.buf)
		if g.phase == waiting {
			g.phase, g.since = reading, l.now
		}
		return true
	} else if err != nil {
		l.handOver(g, handover{})
		return false
	}
	g.used = g.req.Len
	g.x = exchange{r: l.r, arrived: l.now}
	g.body, g.sent, g.id = body{}, 0, g.id[:0]
	if !g.common() || g.aim() != nil || g.x.policy != nil || g.body.expected || g.foreign() || g.x.begin() != nil {
		l.handOver(g, handover{})
		return false
	}
	l.r.count.requests.Add(1)
	g.since = l.now
	l.connect(g)
	return false
}

// common reports whether the request is of the kind that loops serve.
func (g *guest) common() bool {
	q := &g.req
	return q.Minor == 1 && !q.Upgrade && !q.Chunked && q.Length <= int64(len(g.buf)-g.used) && !g.s.draining.Load()
}

// connect gives the request to its instance over a connection that is there, or
// over a new one.
func (l *loop) connect(g *guest) {
	for {
		k := l.idleLink(g.x.up)
		if k == nil {
			l.dial(g)
			return
		}
		if g.replayable() || !over(k.fd) {
			k.guest, k.reused, g.far = g, true, k
			l.ask(g)
			return
		}
		l.drop(k)
	}
}

// ask sends the request, with its body.
func (l *loop) ask(g *guest) {
	out := g.appendInstance(g.appendHead(l.w.out[:0]))
	if n := int(g.req.Length); n > 0 {
		out = append(out, g.buf[g.used:g.used+n]...)
		g.used += n
		g.body.sent, g.body.taken = g.req.Length, true
	}
	l.w.out = out[:0]
	g.phase = exchanging
	switch n, errno := send(g.far.fd, out); {
	case errno != 0:
		l.failed(g, errno)
	case n < len(out):
		l.failed(g, unix.ENOBUFS) // of a socket that nothing was sent on
	case g.far.readable:
		l.answer(g)
	}
}

// next forgets the request at hand and goes on with what came behind it.
func (l *loop) next(g *guest) {
	g.buf = append(g.buf[:0], g.buf[g.used:]...)
	g.used, g.seen = 0, 0
	g.phase, g.since = waiting, l.now
	if l.s.draining.Load() {
		g.leaveBy = g.since + lastCall
	}
	if len(g.buf) > 0 && !l.request(g) {
		return
	}
	l.read(g)
}

// bye closes the client's connection, between two requests.
func (l *loop) bye(g *guest) {
	l.drop(g.near)
	delete(l.guests, g)
	l.restore(g.buf)
	g.buf = nil
	l.left()
}

// gone ends a guest in whatever it does: the client is, or the server stops.
func (l *loop) gone(g *guest) {
	defer l.caught(g)
	switch g.phase {
	case exchanging, dialling:
		g.answered(statusClientGone)
		g.x.whole = true // there is none
		l.settle(g)
	case answering:
		l.settle(g)
	}
	l.bye(g)
}

// settle notes that the exchange is over, one way or the other.
func (l *loop) settle(g *guest) {
	if g.far != nil {
		l.drop(g.far)
		g.far = nil
	}
	g.unsent = g.unsent[:0]
	g.x.end()
	g.record()
}

// checkGuest ends what takes too long or has nobody to wait for it, as client.check
// does.
func (l *loop) checkGuest(g *guest) {
	defer l.caught(g)
	took := l.now - g.since
	switch g.phase {
	case reading, waiting:
		if g.phase == reading && took > headerWait || took > idleTimeout || g.leaveBy > 0 && l.now > g.leaveBy {
			l.bye(g)
		}
	case dialling:
		if took > dialTimeout {
			l.drop(g.far)
			g.far = nil
			l.handOver(g, handover{begun: true, err: dialError(unix.ETIMEDOUT)})
		}
	case exchanging, answering:
		switch {
		case g.near.closed && took >= watchEvery && over(g.near.fd):
			l.gone(g)
		case g.phase == exchanging && took > answerWait:
			g.late = true
			l.failed(g, os.ErrDeadlineExceeded)
		case g.phase == exchanging && took > dialTimeout && lost(g.far.fd):
			l.failed(g, errLost)
		}
	}
}

// drain has guests leave that ask for nothing.
func (l *loop) drain() {
	by := l.r.now() + lastCall
	for g := range l.guests {
		g.leaveBy = by
	}
}
