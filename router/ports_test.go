package router

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

const longest = 30 * time.Second

// listening returns a listener that hands each connection to serve, which
// must end by itself.
func listening(t *testing.T, serve func(*net.TCPConn)) (addr string) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			go serve(conn.(*net.TCPConn))
		}
	}()
	return ln.Addr().String()
}

// unusedPort returns a port that was free a moment ago.
func unusedPort(t *testing.T) int {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().(*net.TCPAddr).Port
}

// tcpApp returns an app "db" with a route and an instance at each address.
func tcpApp(r app.TCPRoute, addrs ...string) *app.Status {
	s := &app.Status{App: app.App{Name: "db", TCPRoutes: []app.TCPRoute{r}}}
	for i, addr := range addrs {
		to := netip.MustParseAddrPort(addr)
		s.Instances = append(s.Instances, app.Instance{
			App: "db", Index: i, GUID: "g" + strconv.Itoa(i), State: app.Running, Host: to.Addr().String(),
			Ports: []app.PortPair{{Container: 6379, Host: int(to.Port())}},
		})
	}
	return s
}

// running runs ports until the test ends.
func running(t *testing.T) *Ports {
	t.Helper()
	p := NewPorts(PortsConfig{Host: "127.0.0.1"})
	runPorts(t, p)
	return p
}

func runPorts(t *testing.T, p *Ports) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				t.Error(err)
			}
		case <-time.After(longest):
			t.Error("Run goes on")
		}
	})
}

// until waits for what must come true.
func until(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(longest); !ok(); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it never came true that %s", what)
		}
	}
}

// connected connects to a route, which may not listen yet.
func connected(t *testing.T, port int) *net.TCPConn {
	t.Helper()
	var conn net.Conn
	until(t, "the route listens", func() bool {
		var err error
		conn, err = net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
		return err == nil
	})
	t.Cleanup(func() { conn.Close() })
	_ = conn.SetDeadline(time.Now().Add(longest))
	return conn.(*net.TCPConn)
}

// afterEOF answers, in capitals, when the client has said all.
func afterEOF(conn *net.TCPConn) {
	defer conn.Close()
	b, _ := io.ReadAll(conn)
	_, _ = io.WriteString(conn, strings.ToUpper(string(b)))
}

func TestTCPHalfClose(t *testing.T) {
	r := app.TCPRoute{External: unusedPort(t)}
	p := running(t)
	gone := unusedPort(t) // its instance takes no connection
	for gone == r.External {
		gone = unusedPort(t)
	}
	p.Set(tcpApp(r, "127.0.0.1:"+strconv.Itoa(gone), listening(t, afterEOF)))
	for range 4 {
		c := connected(t, r.External)
		if _, err := io.WriteString(c, "hello"); err != nil {
			t.Fatal(err)
		}
		if err := c.CloseWrite(); err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(c); err != nil || string(b) != "HELLO" {
			t.Errorf("answer %q, %v", b, err)
		}
	}
	s := p.RouteStatuses()
	if len(s) != 1 || !s[0].Backends[0].Ejected || s[0].Backends[1].Ejected {
		t.Errorf("the instance that takes no connection is not ejected, or the other is: %+v", s)
	}
}

// TestTCPLeastConnections looks at where connections go and that those to an
// instance on its way out count to their end.
func TestTCPLeastConnections(t *testing.T) {
	r := app.TCPRoute{External: unusedPort(t)}
	p := running(t)
	a, b := listening(t, afterEOF), listening(t, afterEOF)
	both := tcpApp(r, a, b)
	p.Set(both)
	var conns []*net.TCPConn
	for n := range 4 {
		conns = append(conns, connected(t, r.External))
		until(t, "the connection is counted", func() bool { return p.InFlight("g0")+p.InFlight("g1") == n+1 })
	}
	if x, y := p.InFlight("g0"), p.InFlight("g1"); x != 2 || y != 2 {
		t.Errorf("%d and %d connections, want 2 each", x, y)
	}
	both.Instances[0].Draining = true
	p.Set(both)
	conns = append(conns, connected(t, r.External))
	until(t, "the next one goes to the other", func() bool { return p.InFlight("g1") == 3 })
	if n := p.InFlight("g0"); n != 2 {
		t.Errorf("the draining instance has %d connections, want its 2", n)
	}
	for _, c := range conns {
		_, _ = io.WriteString(c, "bye")
		_ = c.CloseWrite()
		if b, err := io.ReadAll(c); err != nil || string(b) != "BYE" {
			t.Errorf("answer %q, %v", b, err)
		}
	}
	until(t, "all are gone", func() bool { return p.InFlight("g0")+p.InFlight("g1") == 0 })

	p.Remove("db")
	until(t, "nobody listens", func() bool {
		c, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(r.External)))
		if err == nil {
			c.Close()
		}
		return err != nil
	})
}

func TestTCPIdleTimeout(t *testing.T) {
	r := app.TCPRoute{External: unusedPort(t), IdleTimeout: app.Duration(200 * time.Millisecond)}
	p := running(t)
	p.Set(tcpApp(r, listening(t, afterEOF)))
	c := connected(t, r.External)
	if _, err := c.Read(make([]byte, 1)); err == nil || strings.Contains(err.Error(), "timeout") {
		t.Errorf("the connection was not ended: %v", err)
	}
	until(t, "it counts no more", func() bool { return p.InFlight("g0") == 0 })
}

func TestTCPProxyHeader(t *testing.T) {
	r := app.TCPRoute{External: unusedPort(t), ProxyProtocol: true}
	p := running(t)
	p.Set(tcpApp(r, listening(t, func(c *net.TCPConn) {
		defer c.Close()
		b := make([]byte, 28)
		_, _ = io.ReadFull(c, b)
		_, _ = c.Write(b)
	})))
	c := connected(t, r.External)
	b, err := io.ReadAll(c)
	if err != nil || len(b) != 28 || string(b[:12]) != "\r\n\r\n\x00\r\nQUIT\n" || b[12] != 0x21 || b[13] != 0x11 {
		t.Fatalf("header %q, %v", b, err)
	}
	if port := binary.BigEndian.Uint16(b[24:]); int(port) != c.LocalAddr().(*net.TCPAddr).Port {
		t.Errorf("the header says port %d, the client has %s", port, c.LocalAddr())
	}
}

// TestTCPPortInUse looks at what is said, and that it mends itself.
func TestTCPPortInUse(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	r := app.TCPRoute{External: ln.Addr().(*net.TCPAddr).Port}
	p := running(t)
	p.Set(tcpApp(r, listening(t, afterEOF)))
	until(t, "the problem is told", func() bool { return strings.Contains(p.Problems()[r.External], "address already in use") })
	ln.Close()
	until(t, "the port is open", func() bool { return p.Problems()[r.External] == "" })
}
