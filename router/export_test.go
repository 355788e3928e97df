package router

import (
	"context"
	"net"
	"time"
)

// ServeLibrary is Serve with every connection on the library's path.
func (r *Router) ServeLibrary(ctx context.Context, ln net.Listener, drain time.Duration) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	srv := r.server(base)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	tick := time.NewTicker(watchEvery)
	defer tick.Stop()
	for ctx.Err() == nil { // as server.watch does, for whatever way
		select {
		case <-tick.C:
			r.reap()
		case <-ctx.Done():
		}
	}
	limit, done := context.WithTimeout(base, drain)
	defer done()
	err := srv.Shutdown(limit)
	cut()
	srv.Close()
	<-ended
	return err
}

// Upstreams returns how many upstreams are remembered.
func (r *Router) Upstreams() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.upstreams)
}

// WithoutLoops gives each connection a goroutine from the beginning.
func (r *Router) WithoutLoops() *Router {
	r.noLoops = true
	return r
}
