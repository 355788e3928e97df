package router

import (
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// An end is what is remembered of an instance of TCP routes. Ports.mu guards it.
type end struct {
	open      int // connections
	gone      bool
	failures  int64         // to connect, one after the other
	restUntil time.Duration // Ports.born; 0: not resting
	toldAt    time.Duration
}

// A passage is a client's connection with that to an instance.
type passage struct {
	client, server *net.TCPConn
}

func (c *passage) cut() {
	c.client.Close()
	c.server.Close()
}

// pass connects a client to an instance and carries bytes until both
// directions have ended.
func (p *Ports) pass(ctx context.Context, r tcpRoute, client *net.TCPConn) {
	defer client.Close()
	server, key, err := p.reach(ctx, r, client)
	if err != nil {
		p.cfg.Log.Debug("a connection came to nothing", "app", r.name, "port", r.External, "err", err)
		_ = client.SetLinger(0) // so that nobody takes this for an answer
		return
	}
	defer p.left(key)
	c := &passage{client: client, server: server}
	defer c.cut()
	p.mu.Lock()
	p.open[c] = true
	closed := p.closed
	p.mu.Unlock()
	defer func() {
		p.mu.Lock()
		delete(p.open, c)
		p.mu.Unlock()
	}()
	if closed {
		return
	}
	c.carry(time.Duration(r.IdleTimeout))
}

// reach connects to the instance with the fewest connections, or another one
// when it does not take one. It counts as one of that from then on.
func (p *Ports) reach(ctx context.Context, r tcpRoute, client *net.TCPConn) (*net.TCPConn, endpoint, error) {
	tried := map[endpoint]bool{}
	until := time.Now().Add(retryFor)
	for time.Now().Before(until) && ctx.Err() == nil {
		b := p.choose(r, tried)
		if b == nil {
			break
		}
		key := endpoint{b.Addr, b.Instance}
		tried[key] = true
		conn, err := p.dialer.DialContext(ctx, "tcp", b.Addr)
		if err == nil && r.ProxyProtocol {
			if _, err = conn.Write(proxyHeader(client)); err != nil {
				conn.Close()
			}
		}
		p.tried(key, b.Addr, err)
		if err == nil {
			return conn.(*net.TCPConn), key, nil
		}
	}
	return nil, endpoint{}, noInstance(r, len(tried))
}

// choose returns the instance with the fewest connections that was not tried;
// those that rest come last. The instances of a route that has changed
// meanwhile are those of now.
func (p *Ports) choose(r tcpRoute, tried map[endpoint]bool) *Backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.ports[r.External]; at != nil && at.route.name == r.name {
		r = at.route
	}
	now := time.Since(p.born)
	var best *Backend
	var of *end
	p.turn++
	for i := range r.backends {
		b := r.backends[(i+p.turn)%len(r.backends)]
		key := endpoint{b.Addr, b.Instance}
		e := p.ends[key]
		if e == nil || tried[key] {
			continue
		}
		resting, bestRests := e.restUntil > now, of != nil && of.restUntil > now
		if of == nil || bestRests && !resting || bestRests == resting && e.open < of.open {
			best, of = b, e
		}
	}
	if of != nil {
		of.open++
	}
	return best
}

// tried notes whether an instance took a connection.
func (p *Ports) tried(key endpoint, addr string, err error) {
	p.mu.Lock()
	e, now, tell := p.ends[key], time.Since(p.born), false
	if err == nil {
		e.failures, e.restUntil = 0, 0
	} else {
		e.failures++
		e.restUntil = now + rest(e.failures)
		if tell = e.toldAt == 0 || now >= e.toldAt+restFor; tell {
			e.toldAt = now
		}
	}
	p.mu.Unlock()
	if err != nil {
		p.left(key)
	}
	if tell {
		p.cfg.Log.Info("an instance takes no connection", "addr", addr, "err", err)
		p.cfg.OnUnreachable(addr)
	}
}

// left notes that an instance has one connection less.
func (p *Ports) left(key endpoint) {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.ends[key]
	if e.open--; e.open == 0 && e.gone {
		delete(p.ends, key)
	}
}

// carry copies both ways; the end of one direction is passed on, and an error
// ends both.
func (c *passage) carry(idle time.Duration) {
	if idle > 0 {
		stop := c.expire(idle)
		defer stop()
	}
	way := func(to, from *net.TCPConn) {
		if _, err := io.Copy(to, from); err != nil { // splices
			c.cut()
			return
		}
		_ = to.CloseWrite()
	}
	var back sync.WaitGroup
	back.Go(func() { way(c.client, c.server) })
	way(c.server, c.client)
	back.Wait()
}

// expire cuts c when nothing has moved for idle. The kernel counts the bytes,
// so that they need not pass through here.
func (c *passage) expire(idle time.Duration) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(max(idle/4, 10*time.Millisecond))
		defer tick.Stop()
		last, since := moved(c.client), time.Now()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if n := moved(c.client); n != last {
				last, since = n, time.Now()
			} else if time.Since(since) >= idle {
				c.cut()
				return
			}
		}
	}()
	return func() { close(done) }
}

// moved returns how many bytes came from and arrived at the other side.
func moved(conn *net.TCPConn) (n uint64) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			n = info.Bytes_received + info.Bytes_acked
		}
	})
	return n
}

// proxyHeader returns what the PROXY protocol, version 2, begins a connection with.
func proxyHeader(client *net.TCPConn) []byte {
	from, to := client.RemoteAddr().(*net.TCPAddr).AddrPort(), client.LocalAddr().(*net.TCPAddr).AddrPort()
	source, target := from.Addr().Unmap(), to.Addr().Unmap()
	family := byte(0x11) // TCP over IPv4
	if !source.Is4() || !target.Is4() {
		family = 0x21
		source, target = netip.AddrFrom16(source.As16()), netip.AddrFrom16(target.As16())
	}
	addrs := append(source.AsSlice(), target.AsSlice()...)
	addrs = binary.BigEndian.AppendUint16(addrs, from.Port())
	addrs = binary.BigEndian.AppendUint16(addrs, to.Port())
	head := append([]byte("\r\n\r\n\x00\r\nQUIT\n"), 0x21, family)
	return append(binary.BigEndian.AppendUint16(head, uint16(len(addrs))), addrs...)
}
