package router

import (
	"cmp"
	"io"
	"net"
	"net/netip"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lattice/router/wire"
)

// dialError is what net.Dialer would return.
func dialError(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

// idleLink takes the connection to up that was used last; nil when there is none
// that is not too old.
func (l *loop) idleLink(up *upstream) *sock {
	all := l.idle[up]
	n := len(all)
	if n == 0 || l.r.now()-all[n-1].idle > linkIdle {
		return nil // those that are too old are closed by expire
	}
	k := all[n-1]
	all[n-1] = nil
	l.idle[up] = all[:n-1]
	return k
}

// keep puts a connection back.
func (l *loop) keep(k *sock) {
	k.guest, k.idle = nil, l.r.now()
	if k.readable || k.up.gone.Load() || len(l.idle[k.up]) >= maxIdleLinks {
		l.drop(k)
		return
	}
	l.idle[k.up] = append(l.idle[k.up], k)
}

// forget closes a connection that no request uses.
func (l *loop) forget(k *sock) {
	all := l.idle[k.up]
	for i, other := range all {
		if other == k {
			copy(all[i:], all[i+1:])
			all[len(all)-1] = nil
			l.idle[k.up] = all[:len(all)-1]
			break
		}
	}
	l.drop(k)
}

// closeIdle closes the connections to up that no request uses.
func (l *loop) closeIdle(up *upstream) {
	for _, k := range l.idle[up] {
		l.drop(k)
	}
	delete(l.idle, up)
}

// expire closes connections that have been idle for too long.
func (l *loop) expire(now time.Duration) {
	for up, all := range l.idle {
		n := 0
		for n < len(all) && now-all[n].idle > linkIdle {
			l.drop(all[n])
			n++
		}
		if n == len(all) {
			delete(l.idle, up)
		} else if n > 0 {
			rest := copy(all, all[n:])
			clear(all[rest:])
			l.idle[up] = all[:rest]
		}
	}
}

// dial begins to connect to the request's instance.
func (l *loop) dial(g *guest) {
	to, err := netip.ParseAddrPort(g.x.backend.Addr)
	if err != nil {
		l.handOver(g, handover{begun: true}) // it is a name
		return
	}
	fd, err := connecting(to)
	if err == nil {
		g.far, err = l.add(fd, g)
	}
	if err != nil {
		l.handOver(g, handover{begun: true, err: dialError(err)})
		return
	}
	g.far.up = g.x.up
	g.phase, g.since = dialling, l.r.now()
}

// fromInstance goes on after an event of the instance's socket.
func (l *loop) fromInstance(g *guest) {
	switch k := g.far; g.phase {
	case dialling:
		if err := dialled(k.fd); err != nil {
			l.drop(k)
			g.far = nil
			l.handOver(g, handover{begun: true, err: dialError(err)})
			return
		}
		g.since = l.r.now()
		l.ask(g)
	case exchanging, answering:
		if k.readable && len(g.unsent) == 0 {
			l.answer(g)
		}
	}
}

// failed goes on when the instance has ended the connection before its answer
// began. One that was closed while it was idle says nothing about the instance.
func (l *loop) failed(g *guest, err error) {
	k := g.far
	l.drop(k)
	g.far = nil
	if k.reused && !g.late && g.harmless() {
		l.closeIdle(g.x.up) // they are no better
		g.used = g.req.Len
		l.dial(g)
		return
	}
	l.handOver(g, handover{begun: true, err: err})
}

// turns is how often one instance is read from before others are.
const turns = 16

// answer reads what the instance sends and passes it on, until there is no more at
// the moment.
func (l *loop) answer(g *guest) {
	k := g.far
	more := true
	for turn := 0; more && k.readable; turn++ {
		if turn == turns {
			l.later = append(l.later, k)
			return
		}
		have := copy(l.w.in, k.early)
		room := l.w.in[have:]
		n, errno := recv(k.fd, room)
		switch {
		case errno == unix.EAGAIN:
			k.readable = k.closed
			return
		case n > 0:
		case g.phase == answering:
			l.broken(g)
			return
		default:
			l.failed(g, cmp.Or[error](errno, io.ErrUnexpectedEOF))
			return
		}
		if n < len(room) {
			k.readable = k.closed
		}
		g.body.answered = true
		if in := l.w.in[:have+n]; g.phase == exchanging {
			more = l.head(g, in)
		} else {
			more = l.pass(g, nil, in)
		}
	}
}

// head takes the answer's head from what has come. It reports whether more must
// come for now.
func (l *loop) head(g *guest, in []byte) (more bool) {
	res := &l.w.res
	err := res.ParseResponse(in)
	if err == wire.ErrMore && len(in) < len(l.w.in) {
		g.far.early = append(g.far.early[:0], in...)
		return true
	}
	if err != nil && err != wire.ErrMore {
		l.failed(g, err)
		return false
	}
	how := g.frame(res)
	if err != nil || res.Code < 200 || how == byClose || how == byLength && res.Length-int64(len(in)-res.Len) > guestBody {
		l.handOver(g, handover{begun: true, in: in})
		return false
	}
	g.x.up.reached()
	g.client.answered(res.Code)
	g.far.early = nil
	g.phase, g.how, g.rest, g.chunks, g.came = answering, how, res.Length, wire.Chunks{}, false
	g.again, g.lasts = g.persists(), lasts(res)
	out := g.appendFraming(g.appendAnswer(l.w.out[:0], res), res, how, g.again)
	l.w.out = out[:0]
	return l.pass(g, out, in[res.Len:])
}

// guestBody is the size of a rest of a body from which on it goes on in a goroutine,
// which moves it without copying.
const guestBody = 256 << 10

// pass sends a part of the answer to the client: out, and then what came of the
// body. It reports whether more must come and can be sent.
func (l *loop) pass(g *guest, out, in []byte) (more bool) {
	body := in
	var bad error
	switch g.how {
	case empty:
		body, g.came = nil, true
	case byLength:
		body = in[:min(int64(len(in)), g.rest)]
		g.rest -= int64(len(body))
		g.came = g.rest == 0
	case byChunks:
		var n int
		n, bad = g.chunks.All(in)
		body, g.came = in[:n], g.chunks.Done()
	}
	g.lasts = g.lasts && len(body) == len(in)
	sent := l.write(g, out, body)
	switch {
	case bad != nil || !sent:
		l.broken(g)
	case len(g.unsent) > 0:
	case g.came:
		l.finish(g)
	default:
		return true
	}
	return false
}

// smallPart is how much of a body is copied behind the head rather than written by
// a system call of its own.
const smallPart = 16 << 10

// write sends out and body to the client, and keeps what there is no room for. It
// reports false when the client is gone.
func (l *loop) write(g *guest, out, body []byte) bool {
	if len(out) > 0 && len(body) <= smallPart {
		out, body = append(out, body...), nil
		l.w.out = out[:0]
	}
	for _, p := range [2][]byte{out, body} {
		n := 0
		if len(p) > 0 && len(g.unsent) == 0 {
			var errno syscall.Errno
			if n, errno = send(g.near.fd, p); errno != 0 {
				return false
			}
			g.sent += int64(n)
		}
		if n < len(p) {
			g.unsent = append(g.unsent, p[n:]...)
		}
	}
	return true
}

// flush sends what the client had no room for, and goes on.
func (l *loop) flush(g *guest) {
	n, errno := send(g.near.fd, g.unsent)
	g.sent += int64(n)
	if errno != 0 {
		l.broken(g)
		return
	}
	if g.unsent = g.unsent[n:]; len(g.unsent) > 0 {
		return
	}
	g.unsent = nil
	if g.came {
		l.finish(g)
	} else if g.far.readable {
		l.answer(g)
	}
}

// broken ends the connection in the middle of an answer, so that the client does
// not take it for whole.
func (l *loop) broken(g *guest) {
	l.settle(g)
	l.bye(g)
}

// finish is called when the client has been sent all of the answer.
func (l *loop) finish(g *guest) {
	if k := g.far; g.lasts {
		l.keep(k)
		g.far = nil
	}
	g.x.whole = true
	l.settle(g)
	if g.again {
		l.next(g)
	} else {
		l.bye(g)
	}
}
