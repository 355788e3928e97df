package router

import (
	"crypto/tls"
	"net"

	"lattice/router/wire"
)

// open does what comes before the first request: the PROXY protocol and TLS. It
// reports false when the connection has ended or is somebody else's. The watch
// sees to it that it doesn't take for ever.
func (c *client) open() bool {
	if c.r.proxied && (len(c.r.trusted) == 0 || c.trusted) && !c.introduced() {
		return false
	}
	return c.s.tls == nil || c.encrypted()
}

// introduced reads the header of the PROXY protocol.
func (c *client) introduced() bool {
	for {
		n, err := c.conn.Read(c.buf[len(c.buf):cap(c.buf)])
		if n == 0 && err != nil {
			return false
		}
		c.buf = c.buf[:len(c.buf)+n]
		src, n, err := wire.ParseProxy(c.buf)
		if err == wire.ErrMore {
			continue
		}
		if err != nil {
			c.r.log.Warn("connection refused", "peer", c.ip, "err", err)
			return false
		}
		if src.IsValid() {
			c.remote = net.TCPAddrFromAddrPort(src)
			c.meet(c.remote)
		}
		c.buf = append(c.buf[:0], c.buf[n:]...)
		return true
	}
}

// encrypted begins TLS. A client that then speaks HTTP/2 is the library's.
func (c *client) encrypted() bool {
	under, ok := c.raw.(halfCloser)
	if !ok {
		return false
	}
	if len(c.buf) > 0 || c.remote != nil {
		under = c.replayed(under, false)
		c.buf = c.buf[:0]
	}
	conn := tls.Server(under, c.s.tls)
	if err := conn.HandshakeContext(c.s.base); err != nil {
		c.r.log.Debug("no TLS", "peer", c.ip, "err", err)
		return false
	}
	switch conn.ConnectionState().NegotiatedProtocol {
	case "h2":
		c.handed = true
		c.s.lib.serve(conn)
		return false
	case "", "http/1.1":
		c.mu.Lock()
		c.conn, c.since = conn, c.r.now()
		c.mu.Unlock()
		return true
	}
	return false // it wanted no more than the certificate
}
