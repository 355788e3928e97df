//go:build linux

package network

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"time"
)

const (
	maxConns    = 1024                   // through the proxy of one host port; more wait in the kernel's queue
	dialTimeout = 5 * time.Second        // for a container to take a connection
	acceptPause = 100 * time.Millisecond // after a failed accept, such as for want of file descriptors
)

// A proxy listens on one host port and, once told to serve, carries
// connections to a container.
type proxy struct {
	port  int
	ln    *net.TCPListener
	log   *slog.Logger
	slots chan struct{} // one element per open connection
	ctx   context.Context
	end   context.CancelFunc
	wg    sync.WaitGroup
}

// listen takes the host port on all addresses of the host.
func listen(port int, log *slog.Logger) (*proxy, error) {
	ln, err := net.Listen("tcp", ":"+strconv.Itoa(port))
	if err != nil {
		return nil, err
	}
	p := &proxy{port: port, ln: ln.(*net.TCPListener), log: log, slots: make(chan struct{}, maxConns)}
	p.ctx, p.end = context.WithCancel(context.Background())
	return p, nil
}

// serve starts to carry connections to the container. It must be called once
// at most.
func (p *proxy) serve(to netip.AddrPort) {
	p.wg.Go(func() { p.accept(to.String()) })
}

// close ends all connections, gives the port back and waits until all is done.
func (p *proxy) close() {
	p.end()
	p.ln.Close()
	p.wg.Wait()
}

func (p *proxy) accept(to string) {
	for {
		c, err := p.ln.AcceptTCP()
		switch {
		case errors.Is(err, net.ErrClosed):
			return
		case err != nil:
			p.log.Warn("host port takes no connections for a moment", "addr", p.ln.Addr(), "err", err)
			select {
			case <-p.ctx.Done():
			case <-time.After(acceptPause):
			}
			continue
		}
		select {
		case <-p.ctx.Done():
			c.Close()
			return
		case p.slots <- struct{}{}:
		}
		p.wg.Go(func() {
			p.carry(c, to)
			<-p.slots
		})
	}
}

// carry connects client to the container and copies both ways until both
// sides are done or one fails. When the container takes no connection the
// client sees a reset, as it would without a proxy.
func (p *proxy) carry(client *net.TCPConn, to string) {
	defer client.Close()
	d := net.Dialer{Timeout: dialTimeout}
	c, err := d.DialContext(p.ctx, "tcp4", to)
	if err != nil {
		client.SetLinger(0)
		return
	}
	server := c.(*net.TCPConn)
	defer server.Close()
	abort := func() {
		client.SetLinger(0)
		server.SetLinger(0)
		client.Close()
		server.Close()
	}
	defer context.AfterFunc(p.ctx, abort)()

	var back sync.WaitGroup
	back.Go(func() { pass(client, server, abort) })
	pass(server, client, abort)
	back.Wait()
}

// pass copies from src to dst, in the kernel where it can, and hands on the
// end of the stream. A failed copy ends the connection both ways.
func pass(dst, src *net.TCPConn, abort func()) {
	if _, err := io.Copy(dst, src); err != nil {
		abort()
		return
	}
	dst.CloseWrite()
}
