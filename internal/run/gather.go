package run

import (
	"context"
	"crypto/tls"
	"net"
	"net/http"
	"sync"
)

// Gathering lets the handlers of srv, which is served with TLS on what it returns,
// Gather. It sets srv.ConnContext.
func Gathering(ln net.Listener, srv *http.Server) net.Listener {
	srv.ConnContext = func(ctx context.Context, c net.Conn) context.Context {
		if t, ok := c.(*tls.Conn); ok {
			c = t.NetConn()
		}
		return context.WithValue(ctx, gatherKey{}, c)
	}
	return gatherListener{ln}
}

// Gather sends what write writes to the answer of a request at once. TLS sends each of
// its records, of 16 KiB, by itself, which costs a system call and a way through the
// network for each. Without Gathering, and for HTTP/2, it only calls write.
func Gather(r *http.Request, write func() error) error {
	c, ok := r.Context().Value(gatherKey{}).(*gatherConn)
	if !ok || r.ProtoMajor != 1 {
		return write()
	}
	c.begin()
	err := write()
	if e := c.end(); err == nil {
		err = e
	}
	return err
}

type gatherKey struct{}

type gatherListener struct{ net.Listener }

func (l gatherListener) Accept() (net.Conn, error) {
	c, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &gatherConn{Conn: c}, nil
}

var gatherBuffers = sync.Pool{New: func() any { b := make([]byte, 0, 160<<10); return &b }}

// A gatherConn is below TLS.
type gatherConn struct {
	net.Conn

	mu   sync.Mutex // guards held, and orders writes: TLS has some of its own
	held *[]byte    // what is not sent yet; nil: nothing is held
}

func (c *gatherConn) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held == nil {
		return c.Conn.Write(p)
	}
	*c.held = append(*c.held, p...)
	return len(p), nil
}

func (c *gatherConn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held = gatherBuffers.Get().(*[]byte)
}

func (c *gatherConn) end() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.held
	c.held = nil
	_, err := c.Conn.Write(*b)
	*b = (*b)[:0]
	gatherBuffers.Put(b)
	return err
}
