package run

import (
	"context"
	"errors"
	"log"
	"net"
	"net/http"
	"time"
)

// HTTP returns a part that answers requests on ln with srv. When its context is
// done it takes no new connections and gives open requests drain to finish;
// what is still open then is cut off, its context cancelled, and a line in
// srv.ErrorLog says so. Streams that have no end of their own should end in a
// function given to srv.RegisterOnShutdown. HTTP sets srv.BaseContext.
//
// A part's grace must be longer than its drain.
func HTTP(ln net.Listener, srv *http.Server, drain time.Duration) func(context.Context) error {
	return func(ctx context.Context) error {
		base, cut := context.WithCancel(context.WithoutCancel(ctx))
		defer cut()
		srv.BaseContext = func(net.Listener) context.Context { return base }
		served := make(chan error, 1)
		go func() { served <- srv.Serve(ln) }()
		select {
		case err := <-served:
			return err
		case <-ctx.Done():
		}
		err := shutdown(srv, drain)
		cut()
		if e := <-served; !errors.Is(e, http.ErrServerClosed) {
			err = errors.Join(err, e)
		}
		return err
	}
}

func shutdown(srv *http.Server, drain time.Duration) error {
	ctx, cancel := context.WithTimeout(context.Background(), drain)
	defer cancel()
	err := srv.Shutdown(ctx)
	if !errors.Is(err, context.DeadlineExceeded) {
		return err
	}
	say := log.Printf
	if srv.ErrorLog != nil {
		say = srv.ErrorLog.Printf
	}
	say("cut off requests that were still open %v after the stop began", drain)
	return srv.Close()
}
