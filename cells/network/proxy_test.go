//go:build linux

package network

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"syscall"
	"testing"
)

// newProxy returns a proxy on a free port of loopback's, told to serve addr.
func newProxy(t *testing.T, to netip.AddrPort) *proxy {
	t.Helper()
	p, err := listen(0, slog.New(slog.DiscardHandler))
	check(t, err)
	p.serve(to)
	t.Cleanup(p.close)
	return p
}

func proxyAddr(p *proxy) string {
	return fmt.Sprintf("127.0.0.1:%d", p.ln.Addr().(*net.TCPAddr).Port)
}

func dialProxy(t *testing.T, p *proxy) *net.TCPConn {
	t.Helper()
	c, err := net.Dial("tcp4", proxyAddr(p))
	check(t, err)
	t.Cleanup(func() { c.Close() })
	return c.(*net.TCPConn)
}

// newServer returns a listener that hands out the connections it gets.
func newServer(t *testing.T) (netip.AddrPort, <-chan *net.TCPConn) {
	t.Helper()
	ln, err := net.Listen("tcp4", "127.0.0.1:0")
	check(t, err)
	t.Cleanup(func() { ln.Close() })
	conns := make(chan *net.TCPConn)
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			select {
			case conns <- c.(*net.TCPConn):
			case <-t.Context().Done():
				return
			}
		}
	}()
	return ln.Addr().(*net.TCPAddr).AddrPort(), conns
}

func TestProxyEndsEachWayByItself(t *testing.T) {
	addr, conns := newServer(t)
	client := dialProxy(t, newProxy(t, addr))
	server := <-conns
	defer server.Close()

	_, err := server.Write([]byte("hello"))
	check(t, err)
	check(t, server.CloseWrite())
	if b, err := io.ReadAll(client); string(b) != "hello" || err != nil {
		t.Errorf("client read %q, %v", b, err)
	}
	_, err = client.Write([]byte("still there"))
	check(t, err)
	check(t, client.CloseWrite())
	if b, err := io.ReadAll(server); string(b) != "still there" || err != nil {
		t.Errorf("server read %q, %v", b, err)
	}
}

func TestProxyResets(t *testing.T) {
	addr, conns := newServer(t)
	p := newProxy(t, addr)
	reset := func(what string, c net.Conn) {
		t.Helper()
		if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
			t.Errorf("%s: got %v, want a reset", what, err)
		}
	}
	a := dialProxy(t, p)
	server := <-conns
	check(t, server.SetLinger(0))
	check(t, server.Close())
	reset("server died", a)

	b := dialProxy(t, p)
	server = <-conns
	check(t, b.SetLinger(0))
	check(t, b.Close())
	reset("client died", server)

	c := dialProxy(t, p)
	server = <-conns
	_, err := server.Write([]byte("x"))
	check(t, err)
	_, err = io.ReadFull(c, make([]byte, 1)) // so the proxy has both ends
	check(t, err)
	p.close()
	reset("proxy closed, client", c)
	reset("proxy closed, server", server)
	if n := len(p.slots); n != 0 {
		t.Errorf("%d connections are still counted", n)
	}

	gone, err := net.Listen("tcp4", "127.0.0.1:0")
	check(t, err)
	gone.Close()
	p = newProxy(t, gone.Addr().(*net.TCPAddr).AddrPort())
	d, err := net.Dial("tcp4", proxyAddr(p))
	if err == nil { // else reset already
		defer d.Close()
		_, err = io.ReadAll(d)
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("nobody listens: got %v, want a reset", err)
	}
}

func TestProxyBoundsConnections(t *testing.T) {
	addr, conns := newServer(t)
	p := newProxy(t, addr)
	p2 := newProxy(t, addr)
	first := dialProxy(t, p)
	<-conns
	for range maxConns - 1 {
		p.slots <- struct{}{} // as that many open connections would
	}
	waiting := dialProxy(t, p)
	dialProxy(t, p2)
	through := <-conns // of the other port: that it came shows nothing of p did before
	defer through.Close()
	if n := len(p.slots); n != maxConns {
		t.Errorf("%d connections, want the most, %d", n, maxConns)
	}
	check(t, first.SetLinger(0))
	check(t, first.Close())
	server := <-conns
	defer server.Close()
	_, err := server.Write([]byte("x"))
	check(t, err)
	if _, err := io.ReadFull(waiting, make([]byte, 1)); err != nil {
		t.Errorf("connection that waited: %v", err)
	}
}
