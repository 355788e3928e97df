package router

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"time"
)

// Limits of what a client may do to the server.
const (
	maxHeader   = 64 << 10 // bytes of a request's header; more is 431
	headerWait  = 10 * time.Second
	idleTimeout = 90 * time.Second       // between two requests of a connection
	maxStreams  = 250                    // requests at a time on a connection of HTTP/2
	lastCall    = 300 * time.Millisecond // for a request that is on its way when the server stops
)

// Serve answers requests on ln until ctx is done. It then takes no more,
// gives those on their way at most drain to end, cuts off what is left, tunnels
// included, and returns nil, or an error when something had to be cut. It
// closes ln. It may be called for several listeners.
func (r *Router) Serve(ctx context.Context, ln net.Listener, drain time.Duration) error {
	return r.ServeTLS(ctx, ln, nil, drain)
}

// ServeTLS is Serve over TLS as cfg has it; its NextProtos should have "h2" and
// "http/1.1".
func (r *Router) ServeTLS(ctx context.Context, ln net.Listener, cfg *tls.Config, drain time.Duration) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	s := newServer(r, base, cfg)
	if err := s.startLoops(); err != nil {
		return errors.Join(err, ln.Close())
	}
	var work sync.WaitGroup
	work.Go(func() { s.watch(base) })
	ended := make(chan error, 1)
	go func() { ended <- s.accept(ln) }()
	var err error
	select {
	case err = <-ended:
		err = fmt.Errorf("serve http on %s: %w", ln.Addr(), err)
		drain = 0
	case <-ctx.Done():
		ln.Close()
		<-ended
	}
	late := s.drain(drain)
	// Tunnels are not waited for. What comes from base ends here, as do the
	// tries of requests that are late.
	cut()
	s.cutAll()
	work.Wait()
	r.closeIdle()
	if err == nil && late {
		err = fmt.Errorf("drain http on %s within %v: %w", ln.Addr(), drain, context.DeadlineExceeded)
	}
	return err
}

// A server is what serves one listener.
type server struct {
	r        *Router
	base     context.Context // ends with Serve
	scheme   string
	tls      *tls.Config // nil: there is none
	draining atomic.Bool
	lib      library
	running  sync.WaitGroup
	loops    []*loop
	looping  sync.WaitGroup

	mu      sync.Mutex // guards what follows
	clients map[*client]struct{}
	guests  int // clients that loops have
	tunnels int
	quiet   chan struct{} // closed when drained; nil: nobody waits
}

func newServer(r *Router, base context.Context, cfg *tls.Config) *server {
	s := &server{r: r, base: base, scheme: "http", tls: cfg, clients: make(map[*client]struct{})}
	if cfg != nil {
		s.scheme = "https"
	}
	s.lib.init(r, base)
	r.date.set(time.Now())
	return s
}

// accept takes connections until the listener is closed.
func (s *server) accept(ln net.Listener) error {
	wait := 5 * time.Millisecond
	for {
		conn, err := ln.Accept()
		if err == nil {
			wait = 5 * time.Millisecond
			s.take(conn)
			continue
		}
		if errors.Is(err, net.ErrClosed) {
			return err
		}
		// There are too many files open, or the client is gone already.
		s.r.log.Warn("connection not accepted", "err", err)
		select {
		case <-s.base.Done():
			return err
		case <-time.After(wait):
		}
		wait = min(2*wait, time.Second)
	}
}

// take serves one connection.
func (s *server) take(conn net.Conn) {
	s.r.count.clients.Add(1)
	s.mu.Lock()
	s.guests++
	s.mu.Unlock()
	if tcp, ok := conn.(*net.TCPConn); ok && len(s.loops) > 0 && s.invite(tcp) {
		return
	}
	c := newClient(s, conn)
	s.adopt(c, c.serve)
}

// invite makes the client a guest of the loop that has the fewest. It reports
// false when there is none any more.
func (s *server) invite(conn *net.TCPConn) bool {
	l := slices.MinFunc(s.loops, func(a, b *loop) int { return cmp.Compare(a.load.Load(), b.load.Load()) })
	l.load.Add(1)
	who := conn.RemoteAddr()
	return l.post(func() { l.enter(conn, who) })
}

// adopt serves in a goroutine a client that was counted as a guest so far.
func (s *server) adopt(c *client, serve func()) {
	s.mu.Lock()
	s.guests--
	s.clients[c] = struct{}{}
	s.mu.Unlock()
	s.running.Go(func() {
		defer s.r.count.clients.Add(-1)
		defer s.forget(c)
		serve()
	})
}

// guestLeft notes that a guest has ended.
func (s *server) guestLeft() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.guests--
	s.settle()
}

// startLoops starts loops if the server's clients can be their guests: without
// TLS, and without anything before the first request.
func (s *server) startLoops() error {
	if s.tls != nil || s.r.proxied || s.r.noLoops {
		return nil
	}
	for range runtime.GOMAXPROCS(0) {
		l, err := newLoop(s)
		if err != nil {
			s.endLoops()
			return fmt.Errorf("serve http: %w", err)
		}
		s.loops = append(s.loops, l)
		s.looping.Go(l.run)
	}
	s.r.haveLoops(s.loops, true)
	return nil
}

// endLoops ends all guests and waits until it is done.
func (s *server) endLoops() {
	s.r.haveLoops(s.loops, false)
	for _, l := range s.loops {
		l.post(func() { l.over = true })
	}
	s.looping.Wait()
}

func (s *server) forget(c *client) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.clients, c)
	if c.phase == tunnelling {
		s.tunnels--
	}
	s.settle()
}

// tunnelling notes that c has become a tunnel. It reports false when there are
// to be none any more.
func (s *server) tunnelling(c *client) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	c.enter(tunnelling, s.r.now())
	s.tunnels++
	s.settle()
	gone, _ := c.state()
	return !gone
}

// settle says so when nothing is left but tunnels. mu must be held.
func (s *server) settle() {
	if s.quiet != nil && len(s.clients)+s.guests == s.tunnels {
		close(s.quiet)
		s.quiet = nil
	}
}

// all appends all clients to list.
func (s *server) all(list []*client) []*client {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.clients {
		list = append(list, c)
	}
	return list
}

// drain lets requests end for as long as limit. It reports whether some are late.
func (s *server) drain(limit time.Duration) (late bool) {
	s.draining.Store(true)
	quiet := make(chan struct{})
	s.mu.Lock()
	s.quiet = quiet
	s.settle()
	s.mu.Unlock()
	for _, c := range s.all(nil) {
		c.dismiss()
	}
	for _, l := range s.loops {
		l.post(l.drain)
		defer time.AfterFunc(lastCall+time.Millisecond, func() { l.post(l.check) }).Stop()
	}
	ctx, stop := context.WithTimeout(context.WithoutCancel(s.base), limit)
	defer stop()
	library := s.lib.drain(ctx)
	select {
	case <-quiet:
	case <-ctx.Done():
		late = true
	}
	return library != nil || late
}

// cutAll closes everything and waits until it has ended.
func (s *server) cutAll() {
	s.endLoops()
	for _, c := range s.all(nil) {
		c.sever()
	}
	s.lib.close()
	s.running.Wait()
}

// dismiss closes the connection if no request comes any more. One may be on its
// way: it was sent before the client could know, and nobody else would answer it.
func (c *client) dismiss() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.phase == waiting || c.phase == reading {
		c.conn.SetReadDeadline(time.Now().Add(lastCall))
	}
}

// sever closes the connection and that of its request.
func (c *client) sever() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.cut = true
	c.closeLink()
	c.raw.Close()
}
