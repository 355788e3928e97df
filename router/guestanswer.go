package router

import (
	"io"

	"golang.org/x/sys/unix"

	"lattice/router/wire"
)

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
		if g.phase == answering && g.how == byLength && g.rest > spliceFrom {
			more = l.move(g)
		} else {
			more = l.hear(g)
		}
	}
}

// hear reads a part of the answer. It reports whether more must come for now.
func (l *loop) hear(g *guest) (more bool) {
	k := g.far
	have := copy(l.w.in, k.early)
	room := l.w.in[have:]
	n, errno := recv(k.fd, room)
	switch {
	case errno == unix.EAGAIN:
		k.readable = k.closed
		return false
	case n > 0:
	case g.phase == answering:
		l.broken(g)
		return false
	case errno != 0:
		l.failed(g, errno)
		return false
	default:
		l.failed(g, io.ErrUnexpectedEOF)
		return false
	}
	if n < len(room) {
		k.readable = k.closed
	}
	g.body.answered = true
	in := l.w.in[:have+n]
	if g.phase == exchanging {
		return l.head(g, in)
	}
	return l.pass(g, nil, in)
}

// move moves a part of the body to the client without copying. It reports whether
// more must come and can be sent.
func (l *loop) move(g *guest) (more bool) {
	n, errno := splice(g.far.fd, l.pipe[1], int(min(g.rest, pipeSize)))
	switch {
	case errno == unix.EAGAIN:
		g.far.readable = g.far.closed
		return false
	case n == 0:
		l.broken(g)
		return false
	}
	g.rest -= int64(n)
	g.came = g.rest == 0
	for n > 0 && errno == 0 {
		var k int
		k, errno = splice(l.pipe[0], g.near.fd, n)
		n -= k
		g.sent += int64(k)
	}
	if n > 0 { // there is no room, or nobody; the pipe must be empty for others
		g.unsent = make([]byte, n)
		if k, _ := unix.Read(l.pipe[0], g.unsent); k < n || errno != unix.EAGAIN {
			l.broken(g)
			return false
		}
	}
	return l.sentPart(g)
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
	if err != nil || res.Code < 200 || how == byClose {
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
	if sent := l.write(g, out, body); bad != nil || !sent {
		l.broken(g)
		return false
	}
	return l.sentPart(g)
}

// sentPart goes on after a part of the answer. It reports whether more must come
// and can be sent.
func (l *loop) sentPart(g *guest) (more bool) {
	switch {
	case len(g.unsent) > 0:
	case g.came:
		l.finish(g)
	default:
		return true
	}
	return false
}

// write sends out and body to the client, and keeps what there is no room for. It
// reports false when the client is gone.
func (l *loop) write(g *guest, out, body []byte) bool {
	if len(out) > 0 {
		body = append(out, body...)
		l.w.out = body[:0]
	}
	n, errno := send(g.near.fd, body)
	g.sent += int64(n)
	if n < len(body) {
		g.unsent = append(g.unsent, body[n:]...)
	}
	return errno == 0
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
