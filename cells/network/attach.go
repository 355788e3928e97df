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
	"time"

	"github.com/vishvananda/netlink"
	"github.com/vishvananda/netns"
	"golang.org/x/sys/unix"

	"lattice/cells"
)

// Attach is described at cells.Network. It gives the namespace an eth0 with
// the lease's address and a default route, and publishes the lease's ports.
// The process may live in a user namespace. If Attach fails, nothing is left
// behind but the lease.
func (n *Network) Attach(ctx context.Context, l cells.Lease, pid int) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	start := time.Now()
	h, err := n.holding(l)
	if err != nil {
		return err
	}
	if err := n.connect(l, pid); err != nil {
		return fmt.Errorf("connect %s: %w", l.GUID, err)
	}
	connected := time.Now()
	if err := n.publish(h); err != nil {
		return errors.Join(fmt.Errorf("publish ports of %s: %w", l.GUID, err), n.detach(h))
	}
	n.log.Debug("attached container", "instance", l.GUID, "addr", l.IP, "took", time.Since(start), "links", connected.Sub(start))
	return nil
}

// Release is described at cells.Network. When it fails the lease is kept, so
// that its address is given to nobody else, and Release may be called again.
// It doesn't stop half-way when ctx ends.
func (n *Network) Release(_ context.Context, guid string) error {
	n.mu.Lock()
	h := n.held[guid]
	n.mu.Unlock()
	if h == nil {
		return nil
	}
	start := time.Now()
	if err := n.detach(h); err != nil {
		return fmt.Errorf("release network of %s: %w", guid, err)
	}
	h.close()
	n.mu.Lock()
	if n.held[guid] == h {
		delete(n.held, guid)
		n.free(h)
	}
	n.mu.Unlock()
	n.log.Debug("released container", "instance", guid, "addr", h.lease.IP, "took", time.Since(start))
	return nil
}

// detach undoes what Attach told the kernel.
func (n *Network) detach(h *holding) error {
	n.mu.Lock()
	name := n.vethName(n.subnet, h.lease.IP)
	n.mu.Unlock()
	return errors.Join(n.unpublish(h), n.deleteVeth(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: name}}))
}

// connect makes the veth pair of l into the namespace of pid.
func (n *Network) connect(l cells.Lease, pid int) error {
	ns, err := os.Open(fmt.Sprintf("/proc/%d/ns/net", pid))
	if err != nil {
		return fmt.Errorf("open network namespace: %w", err)
	}
	defer ns.Close()
	if info, err := ns.Stat(); err != nil || os.SameFile(info, n.home) {
		return errors.Join(err, fmt.Errorf("process %d has no network namespace of its own", pid))
	}
	n.mu.Lock()
	subnet := n.subnet
	n.mu.Unlock()

	in, err := handleIn(ns)
	if err != nil {
		return err
	}
	defer in.Close()
	veth, err := n.addVeth(l, subnet, ns)
	if err != nil {
		return err
	}
	err = configure(in, l.IP, subnet)
	if err == nil {
		err = n.settle(veth)
	}
	if err != nil {
		return errors.Join(err, n.deleteVeth(veth))
	}
	return nil
}

// addVeth makes a veth pair, its host end a port of the bridge and its peer,
// eth0, born in the container's namespace: to move it there would take longer.
func (n *Network) addVeth(l cells.Lease, subnet netip.Prefix, ns *os.File) (netlink.Link, error) {
	bridge, err := n.links.LinkByName(n.bridge)
	if err != nil {
		return nil, fmt.Errorf("find bridge %s: %w", n.bridge, err)
	}
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = n.vethName(subnet, l.IP), bridge.Attrs().MTU
	attrs.NumTxQueues, attrs.NumRxQueues = 1, 1 // else the kernel makes one per CPU and drops them again, which takes 0.5 ms
	veth := &netlink.Veth{
		LinkAttrs:        attrs,
		PeerName:         "eth0",
		PeerHardwareAddr: mac(l.IP),
		PeerNamespace:    netlink.NsFd(int(ns.Fd())),
		PeerTxQLen:       -1,
	}
	err = n.links.LinkAdd(veth)
	if errors.Is(err, unix.EEXIST) { // of an Attach that was cut short
		if err := n.deleteVeth(&netlink.Veth{LinkAttrs: netlink.LinkAttrs{Name: attrs.Name}}); err != nil {
			return nil, err
		}
		err = n.links.LinkAdd(veth)
	}
	if err != nil {
		return nil, fmt.Errorf("make interface %s: %w", attrs.Name, err)
	}
	if err := n.enslave(veth, bridge.Attrs().Index); err != nil {
		return nil, errors.Join(err, n.deleteVeth(veth))
	}
	return veth, nil
}

// configure sets up eth0 and lo by a handle inside the container's namespace.
func configure(in *netlink.Handle, ip netip.Addr, subnet netip.Prefix) error {
	eth0, err := in.LinkByName("eth0")
	if err != nil {
		return fmt.Errorf("find eth0 of the container: %w", err)
	}
	if err := in.AddrAdd(eth0, &netlink.Addr{IPNet: ipNet(ip, subnet.Bits())}); err != nil {
		return fmt.Errorf("give eth0 of the container address %v: %w", ip, err)
	}
	if err := in.LinkSetUp(eth0); err != nil {
		return fmt.Errorf("set eth0 of the container up: %w", err)
	}
	if err := in.LinkSetUp(&netlink.Device{LinkAttrs: netlink.LinkAttrs{Name: "lo", Index: loIndex}}); err != nil {
		return fmt.Errorf("set lo of the container up: %w", err)
	}
	route := &netlink.Route{LinkIndex: eth0.Attrs().Index, Gw: net.IP(gateway(subnet).AsSlice())}
	if err := in.RouteAdd(route); err != nil {
		return fmt.Errorf("set default route of the container: %w", err)
	}
	return nil
}

const loIndex = 1 // of lo in every network namespace

// handleIn returns a netlink handle that works in ns, where it has new
// interfaces keep to IPv4.
func handleIn(ns *os.File) (h *netlink.Handle, err error) {
	err = enter(ns, func() error {
		if err := disableIPv6("default"); err != nil {
			return err
		}
		h, err = netlink.NewHandleAt(netns.None(), unix.NETLINK_ROUTE)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("enter network namespace of the container: %w", err)
	}
	return h, nil
}

// enter calls do on a thread that is in ns. A thread that can't be brought
// back is given up with its goroutine, so no other code ever runs in ns.
func enter(ns *os.File, do func() error) error {
	done := make(chan error, 1)
	go func() {
		runtime.LockOSThread()
		home, err := os.Open("/proc/thread-self/ns/net")
		if err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		defer home.Close()
		if err := unix.Setns(int(ns.Fd()), unix.CLONE_NEWNET); err != nil {
			runtime.UnlockOSThread()
			done <- err
			return
		}
		err = do()
		if unix.Setns(int(home.Fd()), unix.CLONE_NEWNET) == nil {
			runtime.UnlockOSThread()
		}
		done <- err
	}()
	return <-done
}
