package router

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// A host that loses its power or its cable says nothing. A request that is on its way
// to it then would wait for as long as the kernel sends it again, which is a quarter of
// an hour, and one that it has got already as long as an app may think.
//
// lostAfter is how often something was sent again in vain: with the kernel's pauses,
// which double from 0.2 s, for three seconds, which a switch or a virtual machine that
// moves may be away.
const lostAfter = 4

// keepAlive makes the kernel ask a host whether it is there so long after its last
// byte. It is not if so many questions bring no answer: in time for another try, see
// retryFor.
var keepAlive = net.KeepAliveConfig{Enable: true, Idle: 3 * time.Second, Interval: time.Second, Count: 3}

// errLost is why a connection is given up.
var errLost = errors.New("the instance's host takes nothing any more")

// lost reports whether the other end acknowledges nothing any more. One that only
// does not read is not lost: the kernel then sends nothing again.
func lost(fd int) bool {
	info, err := unix.GetsockoptTCPInfo(fd, unix.IPPROTO_TCP, unix.TCP_INFO)
	return err == nil && info.Unacked > 0 && info.Retransmits >= lostAfter
}

// A dialer makes connections to instances and closes those that are lost.
type dialer struct {
	net.Dialer

	mu    sync.Mutex // guards conns
	conns map[*net.TCPConn]struct{}
}

func newDialer() *dialer {
	return &dialer{Dialer: net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive}, conns: map[*net.TCPConn]struct{}{}}
}

func (d *dialer) DialContext(ctx context.Context, network, addr string) (net.Conn, error) {
	conn, err := d.Dialer.DialContext(ctx, network, addr)
	if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
		d.mu.Lock()
		d.conns[tcp] = struct{}{}
		d.mu.Unlock()
	}
	return conn, err
}

// check closes what is lost, and forgets what is closed.
func (d *dialer) check() {
	d.mu.Lock()
	defer d.mu.Unlock()
	for conn := range d.conns {
		if shows(conn, lost) {
			conn.Close()
			delete(d.conns, conn)
		}
	}
}

// setKeepAlive does what keepAlive does for a socket that Go does not know.
func setKeepAlive(fd int) {
	_ = unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_KEEPALIVE, 1) // without, a lost host shows late
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPIDLE, int(keepAlive.Idle/time.Second))
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPINTVL, int(keepAlive.Interval/time.Second))
	_ = unix.SetsockoptInt(fd, unix.IPPROTO_TCP, unix.TCP_KEEPCNT, keepAlive.Count)
}
