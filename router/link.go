package router

import (
	"context"
	"net"
	"sync"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

const (
	// linkIdle is how long a connection to an instance may wait for its next
	// request. It is shorter than any common server's limit: Node.js and
	// uvicorn close after 5 s. The other way round a request could be on its
	// way to a connection that is just being closed.
	linkIdle = 4 * time.Second

	maxIdleLinks = 1024 // for each port of an instance
)

// A link is a connection of the fast path to an instance. It is used by one
// request at a time.
type link struct {
	conn   *net.TCPConn
	reused bool
	idle   time.Duration // since Router.born, when its last request ended
}

// links are the connections to one port of an instance that no request uses.
type links struct {
	mu     sync.Mutex // guards what follows
	idle   []*link    // the one used last is at the end
	listed bool       // Router.idle has them
	gone   bool       // the instance is in no table: nothing is kept
}

// connect returns a connection to the upstream, a new one if need be.
func (u *upstream) connect(ctx context.Context, addr string, fresh bool, now time.Duration) (*link, error) {
	if !fresh {
		if l := u.links.take(now); l != nil {
			l.reused = true
			return l, nil
		}
	}
	conn, err := u.dialer.DialContext(ctx, "tcp", addr)
	if err != nil {
		return nil, err
	}
	return &link{conn: conn.(*net.TCPConn)}, nil
}

// take returns the connection that was used last; nil when there is none that
// is not too old.
func (p *links) take(now time.Duration) *link {
	p.mu.Lock()
	defer p.mu.Unlock()
	n := len(p.idle)
	if n == 0 || now-p.idle[n-1].idle > linkIdle {
		return nil // those that are too old are closed by reap
	}
	l := p.idle[n-1]
	p.idle[n-1] = nil
	p.idle = p.idle[:n-1]
	return l
}

// keep puts the connection back; when it is one too many it is closed.
func (r *Router) keep(u *upstream, l *link) {
	l.idle = r.now()
	p := &u.links
	p.mu.Lock()
	if p.gone || len(p.idle) >= maxIdleLinks {
		p.mu.Unlock()
		l.conn.Close()
		return
	}
	p.idle = append(p.idle, l)
	list := !p.listed
	p.listed = true
	p.mu.Unlock()
	if list {
		r.idleMu.Lock()
		r.idle = append(r.idle, p)
		r.idleMu.Unlock()
	}
}

// reap closes connections that have been idle for too long, or are lost.
func (r *Router) reap() {
	r.dialer.check()
	now := r.now()
	r.idleMu.Lock()
	all := r.idle
	r.idle = nil
	r.idleMu.Unlock()
	var stay []*links
	for _, p := range all {
		if p.expire(now) {
			stay = append(stay, p)
		}
	}
	r.idleMu.Lock()
	r.idle = append(r.idle, stay...)
	r.idleMu.Unlock()
}

// expire closes what is too old and reports whether something is left.
func (p *links) expire(now time.Duration) (left bool) {
	p.mu.Lock()
	n := 0
	for n < len(p.idle) && now-p.idle[n].idle > linkIdle {
		n++
	}
	old := append([]*link(nil), p.idle[:n]...)
	p.idle = append(p.idle[:0], p.idle[n:]...)
	clear(p.idle[len(p.idle):cap(p.idle)])
	p.listed = len(p.idle) > 0
	if !p.listed {
		p.idle = nil
	}
	left = p.listed
	p.mu.Unlock()
	for _, l := range old {
		l.conn.Close()
	}
	return left
}

// close closes all idle connections; gone says that there will be no more.
func (p *links) close(gone bool) {
	p.mu.Lock()
	old := p.idle
	p.idle = nil
	p.gone = p.gone || gone
	p.mu.Unlock()
	for _, l := range old {
		l.conn.Close()
	}
}

// hungUp reports whether the other side has closed the connection, whatever is
// left to be read.
func hungUp(conn syscall.Conn) bool {
	return shows(conn, func(fd int) bool {
		p := []unix.PollFd{{Fd: int32(fd), Events: unix.POLLRDHUP}}
		n, err := unix.Poll(p, 0)
		return err == nil && n > 0
	})
}

// ended reports whether the other side has closed the connection and nothing
// it sent is left to be read. It doesn't wait.
func ended(conn syscall.Conn) bool { return shows(conn, over) }

// shows reports whether a look at the socket of conn says yes, or we have closed it.
func shows(conn syscall.Conn, look func(fd int) bool) bool {
	raw, err := conn.SyscallConn()
	if err != nil {
		return true
	}
	yes := false
	err = raw.Control(func(fd uintptr) { yes = look(int(fd)) })
	return yes || err != nil
}
