package router

import (
	"net"
	"net/netip"
)

// dialError is what net.Dialer would return.
func dialError(err error) error { return &net.OpError{Op: "dial", Net: "tcp", Err: err} }

// idleLink takes the connection to up that was used last; nil when there is none
// that is not too old.
func (l *loop) idleLink(up *upstream) *sock {
	all := l.idle[up]
	n := len(all)
	if n == 0 || l.now-all[n-1].idle > linkIdle {
		return nil // those that are too old are closed by expire
	}
	k := all[n-1]
	all[n-1] = nil
	l.idle[up] = all[:n-1]
	return k
}

// keep puts a connection back, unless something comes that nobody asked for.
func (l *loop) keep(k *sock) {
	k.guest, k.idle = nil, l.now
	k.readable = k.readable && (k.closed || !silent(k.fd))
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
func (l *loop) expire() {
	for up, all := range l.idle {
		n := 0
		for n < len(all) && l.now-all[n].idle > linkIdle {
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
	g.phase, g.since = dialling, l.now
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
		g.since = l.now
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
