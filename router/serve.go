package router

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"
)

// Limits of what a client may do to the server.
const (
	maxHeader   = 64 << 10 // bytes of a request's header; more is 431
	headerWait  = 10 * time.Second
	idleTimeout = 90 * time.Second // between two requests of a connection
)

// Serve answers requests on ln until ctx is done. It then takes no more,
// gives those on their way at most drain to end, cuts off what is left, tunnels
// included, and returns nil, or an error when something had to be cut. It
// closes ln. It may be called for several listeners.
func (r *Router) Serve(ctx context.Context, ln net.Listener, drain time.Duration) error {
	base, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	srv := r.server(base)
	ended := make(chan error, 1)
	go func() { ended <- srv.Serve(ln) }()
	select {
	case err := <-ended:
		return fmt.Errorf("serve http on %s: %w", ln.Addr(), err)
	case <-ctx.Done():
	}

	limit, done := context.WithTimeout(base, drain)
	defer done()
	late := srv.Shutdown(limit)
	// Shutdown forgets tunnels. Their requests' contexts come from base, so
	// this ends them, and the tries of requests that are late.
	cut()
	if err := srv.Close(); err != nil && !errors.Is(err, net.ErrClosed) {
		late = errors.Join(late, err)
	}
	<-ended
	for _, up := range r.live.Load().upstreams {
		up.closeIdle()
	}
	if late != nil {
		return fmt.Errorf("drain http on %s within %v: %w", ln.Addr(), drain, late)
	}
	return nil
}

// server returns the server of one listener. It has no limit for a whole
// request or answer, because both may be streams.
func (r *Router) server(base context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	return &http.Server{
		Handler:           r,
		Protocols:         protocols,
		ReadHeaderTimeout: headerWait,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return base },
	}
}
