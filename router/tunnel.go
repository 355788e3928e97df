package router

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"net/http"
)

// A tunnelWriter is the ResponseWriter of a request that asks for an upgrade.
// httputil.ReverseProxy forgets what the client sent before it had the answer,
// because that is in the buffer that comes with the hijacked connection; this
// one puts it back.
type tunnelWriter struct{ http.ResponseWriter }

// Unwrap is for http.ResponseController.
func (w tunnelWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w tunnelWriter) Hijack() (net.Conn, *bufio.ReadWriter, error) {
	conn, rw, err := http.NewResponseController(w.ResponseWriter).Hijack()
	if err != nil {
		return nil, nil, err
	}
	half, ok := conn.(halfCloser)
	n := rw.Reader.Buffered()
	if n == 0 || !ok {
		return conn, rw, nil
	}
	early, err := rw.Reader.Peek(n)
	if err != nil {
		return nil, nil, fmt.Errorf("take over what came before the upgrade: %w", err)
	}
	return &earlyConn{halfCloser: half, from: io.MultiReader(bytes.NewReader(early), conn)}, rw, nil
}

// A halfCloser is a connection whose directions end one by one, as TCP's and TLS's do.
type halfCloser interface {
	net.Conn
	CloseWrite() error
}

// An earlyConn is a connection of which something has been read already.
type earlyConn struct {
	halfCloser
	from   io.Reader
	remote net.Addr // not nil: who is connected, whatever the connection says
	secure bool     // it is TLS
}

func (c *earlyConn) RemoteAddr() net.Addr {
	if c.remote != nil {
		return c.remote
	}
	return c.halfCloser.RemoteAddr()
}

func (c *earlyConn) Read(p []byte) (int, error) { return c.from.Read(p) }
