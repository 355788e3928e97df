//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"runtime"
	"strconv"
	"time"

	"golang.org/x/sys/unix"

	"lattice/app"
	"lattice/cells"
)

// insideTimeout bounds a connection that is made inside a container.
const insideTimeout = 10 * time.Second

// Dial connects to host and port as programs in the container would: from its
// network, with its resolvers. "localhost" is the container.
func (n *Network) Dial(ctx context.Context, in cells.Inside, host string, port int) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, insideTimeout)
	defer cancel()
	ips, err := n.resolve(ctx, in, host)
	if err != nil {
		return nil, err
	}
	var errs []error
	for _, ip := range ips {
		var c net.Conn
		err := n.inside(in.PID, func() (err error) {
			c, err = dialHere(ctx, "tcp", netip.AddrPortFrom(ip, uint16(port)).String())
			return err
		})
		if err == nil {
			return c, nil
		}
		errs = append(errs, err)
	}
	why := errs[0]
	if op := (*net.OpError)(nil); errors.As(why, &op) {
		why = op.Err // without the address, which is said already
	}
	return nil, fmt.Errorf("nothing answers at %s inside the instance: %w", net.JoinHostPort(host, strconv.Itoa(port)), why)
}

// Listen listens inside the container; no host is localhost, and "*" all of its
// addresses.
func (n *Network) Listen(ctx context.Context, in cells.Inside, host string, port int) (ln net.Listener, err error) {
	switch host {
	case "", "localhost":
		host = "127.0.0.1"
	case "*":
		host = "0.0.0.0"
	}
	ip, err := netip.ParseAddr(host)
	if err != nil {
		return nil, app.Invalid("%q is no address to listen on inside an instance: leave it out, or give * for all", host)
	}
	err = n.inside(in.PID, func() (err error) {
		ln, err = new(net.ListenConfig).Listen(ctx, "tcp", netip.AddrPortFrom(ip, uint16(port)).String())
		return err
	})
	return ln, err
}

// resolve asks the container's resolvers, by way of its network.
func (n *Network) resolve(ctx context.Context, in cells.Inside, host string) ([]netip.Addr, error) {
	if host == "localhost" || host == "" {
		return []netip.Addr{netip.AddrFrom4([4]byte{127, 0, 0, 1}), netip.IPv6Loopback()}, nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip}, nil
	}
	next := 0
	r := net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, network, addr string) (c net.Conn, err error) {
		if len(in.Nameservers) > 0 {
			addr = netip.AddrPortFrom(in.Nameservers[next%len(in.Nameservers)], 53).String()
			next++ // the resolver asks one after the other
		}
		err = n.inside(in.PID, func() (err error) {
			c, err = dialHere(ctx, network, addr)
			return err
		})
		return c, err
	}}
	ips, err := r.LookupNetIP(ctx, "ip4", host)
	if err != nil {
		return nil, fmt.Errorf("find %s from inside the instance: %w", host, err)
	}
	return ips, nil
}

// dialHere makes the connection on the thread that calls it.
func dialHere(ctx context.Context, network, addr string) (net.Conn, error) {
	return (&net.Dialer{FallbackDelay: -1}).DialContext(ctx, network, addr)
}

// inside calls fn on a thread that is in the network namespace of the process
// and ends with it. What fn opens stays in there.
func (n *Network) inside(pid int, fn func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread is of no more use
		done <- n.enter(pid, fn)
	}()
	return <-done
}

func (n *Network) enter(pid int, fn func() error) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return fmt.Errorf("open the network of the instance: %w", err)
	}
	defer ns.Close()
	if info, err := ns.Stat(); err != nil || os.SameFile(info, n.home) {
		return errors.Join(err, fmt.Errorf("process %d has no network namespace of its own", pid))
	}
	if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
		return fmt.Errorf("enter the network of the instance: %w", err)
	}
	return fn()
}
