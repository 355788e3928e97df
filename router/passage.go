package router

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strconv"
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
	client *net.TCPConn
	server *net.TCPConn // nil: not yet, or never
	began  time.Time
	route  tcpRoute
	flow   *flow // nil: it has no route yet
	to     *Backend

	// Ports.mu guards what follows.
	received, sent uint64 // bytes from and to the client, as last looked at
	failure        string
}

func (c *passage) cut() {
	c.client.Close()
	if c.server != nil {
		c.server.Close()
	}
}

// refuse ends the connection so that nobody takes that for an answer.
func (c *passage) refuse() {
	_ = c.client.SetLinger(0)
	c.client.Close()
}

// look asks the kernel how many bytes have come and gone.
func (c *passage) look() {
	received, sent := moved(c.client)
	c.received, c.sent = max(c.received, received), max(c.sent, sent)
}

// enter counts a connection. It reports false when there are too many.
func (p *Ports) enter(c *passage) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if len(p.open) >= maxOpen {
		return false
	}
	p.open[c] = true
	if p.closed {
		c.client.Close()
	}
	return true
}

// leave is the opposite of enter, and tells of the connection.
func (p *Ports) leave(c *passage) {
	p.mu.Lock()
	delete(p.open, c)
	if f := c.flow; f != nil {
		f.counts.Open--
		f.counts.Received += c.received
		f.counts.Sent += c.sent
		delete(f.open, c)
		if c.failure != "" {
			f.counts.Failed++
		}
		if f.gone && f.counts.Open == 0 {
			delete(p.flows, c.route.flow())
		}
	}
	p.mu.Unlock()
	if c.flow != nil {
		p.cfg.OnConnection(c.access())
	}
}

func (c *passage) access() *Access {
	a := &Access{
		App: c.route.name, Index: -1, Proto: "TCP", Method: "TCP", Host: c.route.SNI, Target: ":" + strconv.Itoa(c.route.External),
		At: c.began, Took: time.Since(c.began), Received: int64(c.received), Sent: int64(c.sent), Failure: c.failure,
	}
	a.Client, _, _ = net.SplitHostPort(c.client.RemoteAddr().String())
	if b := c.to; b != nil {
		a.Index, a.Instance, a.Addr = b.Index, b.Instance, b.Addr
	}
	return a
}

// follow makes r the connection's route. It reports false when all connections
// are being cut.
func (p *Ports) follow(c *passage, r tcpRoute) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	f := p.flows[r.flow()]
	if f == nil || p.closed {
		return false
	}
	c.route, c.flow = r, f
	f.counts.Open++
	f.counts.Total++
	if f.open == nil {
		f.open = map[*passage]bool{}
	}
	f.open[c] = true
	return true
}

// pass connects a client to an instance and carries bytes until both
// directions have ended.
func (p *Ports) pass(ctx context.Context, number int, c *passage) {
	defer c.cut()
	r, heard, err := p.find(ctx, number, c.client)
	if err != nil {
		p.cfg.Log.Debug("a connection came to nothing", "port", number, "err", err)
		return
	}
	if !p.follow(c, r) {
		c.refuse()
		return
	}
	server, to, err := p.reach(ctx, r, c.client)
	if err != nil {
		p.fail(c, err)
		return
	}
	defer p.left(endpoint{to.Addr, to.Instance})
	p.mu.Lock()
	c.server, c.to = server, to
	closed := p.closed
	p.mu.Unlock()
	if closed {
		return
	}
	if _, err := server.Write(heard); err != nil {
		p.fail(c, err)
		return
	}
	in, out := c.carry(time.Duration(r.IdleTimeout))
	p.mu.Lock()
	c.received, c.sent = max(c.received, uint64(len(heard))+in), max(c.sent, out)
	p.mu.Unlock()
}

// fail notes that a connection came to nothing.
func (p *Ports) fail(c *passage, err error) {
	p.mu.Lock()
	c.failure = err.Error()
	p.mu.Unlock()
	p.cfg.Log.Debug("a connection came to nothing", "app", c.route.name, "port", c.route.External, "err", err)
	c.refuse()
}

// find returns the route of a connection to a port, and what was read of it to
// know that.
func (p *Ports) find(ctx context.Context, number int, client *net.TCPConn) (tcpRoute, []byte, error) {
	p.mu.Lock()
	at := p.ports[number]
	if at == nil {
		p.mu.Unlock()
		return tcpRoute{}, nil, errors.New("the port has no route any more")
	}
	r, whole := at.routes[""]
	p.mu.Unlock()
	if whole {
		return r, nil, nil
	}
	name, heard, err := serverName(ctx, client)
	if err != nil {
		return tcpRoute{}, nil, err
	}
	p.mu.Lock()
	at = p.ports[number]
	ok := at != nil
	if ok {
		r, ok = at.named(name)
	}
	p.mu.Unlock()
	if !ok {
		_, _ = client.Write(unrecognised[:]) // to a client that may be gone
		return tcpRoute{}, nil, fmt.Errorf("no app has the name %.300q here", name)
	}
	return r, heard, nil
}

// reach connects to the instance with the fewest connections, or another one
// when it does not take one. It counts as one of that from then on.
func (p *Ports) reach(ctx context.Context, r tcpRoute, client *net.TCPConn) (*net.TCPConn, *Backend, error) {
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
		p.tried(key, b, err)
		if err == nil {
			return conn.(*net.TCPConn), b, nil
		}
	}
	return nil, nil, noInstance(r, len(tried))
}

// choose returns the instance with the fewest connections that was not tried;
// those that rest come last. The instances of a route that has changed
// meanwhile are those of now.
func (p *Ports) choose(r tcpRoute, tried map[endpoint]bool) *Backend {
	p.mu.Lock()
	defer p.mu.Unlock()
	if at := p.ports[r.External]; at != nil && at.routes[r.SNI].name == r.name {
		r = at.routes[r.SNI]
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
func (p *Ports) tried(key endpoint, b *Backend, err error) {
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
	times := int(e.failures)
	p.mu.Unlock()
	if err != nil {
		p.left(key)
	}
	if tell {
		p.cfg.Log.Info("an instance takes no connection", "addr", b.Addr, "err", err)
		p.cfg.OnUnreachable(b, times)
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
// ends both. It returns how many bytes came from the client and went to it.
func (c *passage) carry(idle time.Duration) (received, sent uint64) {
	if idle > 0 {
		stop := c.expire(idle)
		defer stop()
	}
	way := func(to, from *net.TCPConn) uint64 {
		n, err := io.Copy(to, from) // splices
		if err != nil {
			c.cut()
		} else {
			_ = to.CloseWrite()
		}
		return uint64(n)
	}
	var back sync.WaitGroup
	back.Go(func() { sent = way(c.client, c.server) })
	received = way(c.server, c.client)
	back.Wait()
	return received, sent
}

// expire cuts c when nothing has moved for idle. The kernel counts the bytes,
// so that they need not pass through here.
func (c *passage) expire(idle time.Duration) (stop func()) {
	done := make(chan struct{})
	go func() {
		tick := time.NewTicker(max(idle/4, 10*time.Millisecond))
		defer tick.Stop()
		last, since := bytesOf(c.client), time.Now()
		for {
			select {
			case <-done:
				return
			case <-tick.C:
			}
			if n := bytesOf(c.client); n != last {
				last, since = n, time.Now()
			} else if time.Since(since) >= idle {
				c.cut()
				return
			}
		}
	}()
	return func() { close(done) }
}

func bytesOf(conn *net.TCPConn) uint64 {
	came, arrived := moved(conn)
	return came + arrived
}

// moved returns how many bytes came from and arrived at the other side; none if
// the connection is closed.
func moved(conn *net.TCPConn) (came, arrived uint64) {
	raw, err := conn.SyscallConn()
	if err != nil {
		return 0, 0
	}
	_ = raw.Control(func(fd uintptr) {
		if info, err := unix.GetsockoptTCPInfo(int(fd), unix.IPPROTO_TCP, unix.TCP_INFO); err == nil {
			came, arrived = info.Bytes_received, info.Bytes_acked
		}
	})
	return came, arrived
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
