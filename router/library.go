package router

import (
	"bytes"
	"context"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
)

// preface is how an HTTP/2 connection begins: as far as an HTTP/1 parser
// reads it.
const preface = "PRI * HTTP/2.0\r\n\r\n"

// A library serves connections with net/http: those that do not speak HTTP/1.
type library struct {
	srv   *http.Server
	feed  feed
	start sync.Once
	ended chan error
}

func (l *library) init(r *Router, base context.Context) {
	l.srv = r.server(base)
	l.feed = feed{conns: make(chan net.Conn), closed: make(chan struct{})}
	l.ended = make(chan error, 1)
}

// serve takes over a connection.
func (l *library) serve(conn net.Conn) {
	l.start.Do(func() { go func() { l.ended <- l.srv.Serve(&l.feed) }() })
	select {
	case l.feed.conns <- conn:
	case <-l.feed.closed:
		conn.Close()
	}
}

func (l *library) drain(ctx context.Context) error { return l.srv.Shutdown(ctx) }

// close ends what is left and waits for it.
func (l *library) close() {
	_ = l.feed.Close() // it can't fail
	_ = l.srv.Close()  // nor is it news when one of the connections is closed already
	started := true
	l.start.Do(func() { started = false })
	if started {
		<-l.ended
	}
}

// A feed is a listener for connections that were accepted elsewhere.
type feed struct {
	conns  chan net.Conn
	close  sync.Once
	closed chan struct{}
}

func (f *feed) Accept() (net.Conn, error) {
	select {
	case c := <-f.conns:
		return c, nil
	case <-f.closed:
		return nil, net.ErrClosed
	}
}

func (f *feed) Close() error {
	f.close.Do(func() { close(f.closed) })
	return nil
}

func (f *feed) Addr() net.Addr { return &net.TCPAddr{} }

// isPreface reports whether the client speaks HTTP/2.
func (c *client) isPreface() bool {
	return len(c.buf) >= len(preface) && strings.HasPrefix(text(c.buf), preface)
}

// library hands the client's connection over to net/http.
func (s *server) library(c *client) {
	half, ok := c.conn.(halfCloser)
	if !ok {
		return
	}
	c.handed = true
	s.lib.serve(c.replayed(half, s.tls != nil))
}

// replayed returns conn as it was before what is in c.buf was read.
func (c *client) replayed(conn halfCloser, secure bool) *earlyConn {
	e := &earlyConn{halfCloser: conn, from: conn, remote: c.remote, secure: secure}
	if len(c.buf) > 0 {
		e.from = io.MultiReader(bytes.NewReader(bytes.Clone(c.buf)), conn)
	}
	return e
}

type secureKey struct{}

// schemeOf returns how a request came in, on the library's path.
func schemeOf(req *http.Request) string {
	if req.TLS != nil || req.Context().Value(secureKey{}) != nil {
		return "https"
	}
	return "http"
}

// server returns the net/http server of one listener. It has no limit for a
// whole request or answer, because both may be streams.
func (r *Router) server(base context.Context) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	return &http.Server{
		Handler:           r,
		Protocols:         protocols,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams, MaxReadFrameSize: 16 << 10},
		ReadHeaderTimeout: headerWait,
		IdleTimeout:       idleTimeout,
		MaxHeaderBytes:    maxHeader,
		ErrorLog:          slog.NewLogLogger(r.log.Handler(), slog.LevelWarn),
		BaseContext:       func(net.Listener) context.Context { return base },
		ConnContext: func(ctx context.Context, conn net.Conn) context.Context {
			if e, ok := conn.(*earlyConn); ok && e.secure {
				return context.WithValue(ctx, secureKey{}, true)
			}
			return ctx
		},
	}
}
