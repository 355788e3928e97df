//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lattice/cells"
)

const (
	defaultMTU = 1500 // when the host has no default route to copy it from
	atOnce     = 16   // interfaces deleted at the same time
	settleTime = 100 * time.Millisecond
)

// vethName names the host end of a container's veth pair; it has 15
// characters, the most that Linux allows.
func (n *Network) vethName(subnet netip.Prefix, ip netip.Addr) string {
	return fmt.Sprintf("%s%05x", n.vethPrefix(), number(subnet, ip))
}

func (n *Network) vethPrefix() string { return "lv" + n.cfg.Name }

// mac returns the hardware address of the interface that has ip. Being made
// from it, neighbour caches are never wrong when an address changes hands.
func mac(ip netip.Addr) net.HardwareAddr {
	b := ip.As4()
	return append(net.HardwareAddr{0x02, 0x6c}, b[:]...)
}

// ensureBridge makes the bridge unless it is there, and puts right its address
// and state. It returns its index.
func (n *Network) ensureBridge(subnet netip.Prefix) (int, error) {
	l, err := n.links.LinkByName(n.bridge)
	if errors.As(err, &netlink.LinkNotFoundError{}) {
		attrs := netlink.NewLinkAttrs()
		attrs.Name, attrs.MTU, attrs.HardwareAddr = n.bridge, n.hostMTU(), mac(gateway(subnet))
		if err := n.links.LinkAdd(&netlink.Bridge{LinkAttrs: attrs}); err != nil && !errors.Is(err, unix.EEXIST) {
			return 0, fmt.Errorf("make bridge %s: %w", n.bridge, err)
		}
		l, err = n.links.LinkByName(n.bridge)
	}
	if err != nil {
		return 0, fmt.Errorf("find bridge %s: %w", n.bridge, err)
	}
	if err := disableIPv6(n.bridge); err != nil {
		return 0, err
	}
	if err := n.ensureAddress(l, subnet); err != nil {
		return 0, err
	}
	if err := n.links.LinkSetUp(l); err != nil {
		return 0, fmt.Errorf("set bridge %s up: %w", n.bridge, err)
	}
	return l.Attrs().Index, nil
}

// ensureAddress makes the gateway of subnet the only IPv4 address of l.
func (n *Network) ensureAddress(l netlink.Link, subnet netip.Prefix) error {
	want := ipNet(gateway(subnet), subnet.Bits())
	have, err := list(func() ([]netlink.Addr, error) { return n.links.AddrList(l, unix.AF_INET) })
	if err != nil {
		return fmt.Errorf("list addresses of %s: %w", n.bridge, err)
	}
	found := false
	for _, a := range have {
		if a.IPNet.String() == want.String() {
			found = true
			continue
		}
		if err := n.links.AddrDel(l, &a); err != nil {
			return fmt.Errorf("take address %v from %s: %w", a.IPNet, n.bridge, err)
		}
	}
	if found {
		return nil
	}
	if err := n.links.AddrReplace(l, &netlink.Addr{IPNet: want}); err != nil {
		return fmt.Errorf("give %s address %v: %w", n.bridge, want, err)
	}
	return nil
}

// hostMTU returns the MTU of the way out of the host.
func (n *Network) hostMTU() int {
	rs, err := list(func() ([]netlink.Route, error) { return n.links.RouteList(nil, unix.AF_INET) })
	if err != nil {
		return defaultMTU
	}
	for _, r := range rs {
		if p, ok := prefix(r.Dst); ok && p.Bits() > 0 || r.LinkIndex == 0 {
			continue
		}
		if l, err := n.links.LinkByIndex(r.LinkIndex); err == nil {
			return l.Attrs().MTU
		}
	}
	return defaultMTU
}

// enslave makes l an active port of the bridge. Hairpin mode lets a container
// reach itself through its host port even where br_netfilter bends the packet
// back before it leaves the bridge.
func (n *Network) enslave(l netlink.Link, bridge int) error {
	if err := n.links.LinkSetMasterByIndex(l, bridge); err != nil {
		return fmt.Errorf("connect %s to bridge %s: %w", l.Attrs().Name, n.bridge, err)
	}
	if err := n.links.LinkSetHairpin(l, true); err != nil {
		return fmt.Errorf("set hairpin mode of %s: %w", l.Attrs().Name, err)
	}
	if err := n.links.LinkSetUp(l); err != nil {
		return fmt.Errorf("set %s up: %w", l.Attrs().Name, err)
	}
	return nil
}

// settle waits until l carries packets. A link that has come up does so only
// once a work queue of the kernel has run, which may take its time on a busy
// host; to ask for the link runs it at once (since Linux 6.8).
func (n *Network) settle(l netlink.Link) error {
	for pause := time.Millisecond; ; pause *= 2 {
		now, err := n.links.LinkByIndex(l.Attrs().Index)
		if err != nil {
			return fmt.Errorf("look whether %s is up: %w", l.Attrs().Name, err)
		}
		if now.Attrs().OperState == netlink.OperUp || pause > settleTime {
			break
		}
		time.Sleep(pause)
	}
	_, err := n.links.LinkByName(n.bridge) // it came up with its first port
	return err
}

// deleteVeth deletes a veth pair by its host end; one that isn't there is no
// error. The kernel may be deleting it too, with the container's namespace. It
// takes the kernel 20 ms, so it isn't done by the handle that others wait for.
func (n *Network) deleteVeth(l netlink.Link) error {
	h, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return fmt.Errorf("open netlink socket: %w", err)
	}
	defer h.Close()
	if l.Attrs().Index == 0 {
		l, err = h.LinkByName(l.Attrs().Name)
	}
	if err == nil {
		err = h.LinkDel(l)
	}
	if err == nil || errors.Is(err, unix.ENODEV) || errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	return fmt.Errorf("delete interface: %w", err)
}

// deleteVeths deletes many pairs, some at a time since the kernel lets their
// waits overlap, until all are gone or ctx is done.
func (n *Network) deleteVeths(ctx context.Context, ls []netlink.Link) error {
	var (
		wg   sync.WaitGroup
		errs = make([]error, len(ls))
		busy = make(chan struct{}, atOnce)
	)
	for i, l := range ls {
		if ctx.Err() != nil {
			break
		}
		busy <- struct{}{}
		wg.Go(func() {
			errs[i] = n.deleteVeth(l)
			<-busy
		})
	}
	wg.Wait()
	return errors.Join(append(errs, ctx.Err())...)
}

// veths returns the host ends of all veth pairs of this installation by name.
func (n *Network) veths() (map[string]netlink.Link, error) {
	ls, err := list(n.links.LinkList)
	if err != nil {
		return nil, fmt.Errorf("list interfaces: %w", err)
	}
	ours := map[string]netlink.Link{}
	for _, l := range ls {
		if strings.HasPrefix(l.Attrs().Name, n.vethPrefix()) && l.Type() == "veth" {
			ours[l.Attrs().Name] = l
		}
	}
	return ours, nil
}

// mendLinks makes the bridge where it is missing, deletes the veth pairs that
// no lease names and puts the others back on the bridge where somebody took
// them off. It returns the leases whose interface is gone; those can't be
// mended from outside the container.
func (n *Network) mendLinks(ctx context.Context) (lost []cells.Lease, err error) {
	n.mu.Lock()
	subnet := n.subnet
	n.mu.Unlock()
	bridge, err := n.ensureBridge(subnet)
	if err != nil {
		return nil, err
	}
	errs := []error{n.deleteStrays(ctx, subnet)}
	for _, lease := range n.attached() {
		err := n.reconnect(n.vethName(subnet, lease.IP), bridge)
		switch {
		case err == nil || !n.isAttached(lease.GUID): // released meanwhile
		case errors.As(err, &netlink.LinkNotFoundError{}):
			lost = append(lost, lease)
		default:
			errs = append(errs, err)
		}
	}
	return lost, errors.Join(errs...)
}

// deleteStrays deletes the veth pairs that no lease names.
func (n *Network) deleteStrays(ctx context.Context, subnet netip.Prefix) error {
	strays, err := n.veths()
	if err != nil {
		return err
	}
	// The books are read after the links: what was found and isn't in the books
	// now is nobody's, and is deleted by index, which a new pair doesn't share.
	n.mu.Lock()
	for _, h := range n.held {
		delete(strays, n.vethName(subnet, h.lease.IP))
	}
	n.mu.Unlock()
	for name := range strays {
		n.log.Info("deleting interface that belongs to no container", "addr", name)
	}
	return n.deleteVeths(ctx, slices.Collect(maps.Values(strays)))
}

// reconnect puts a veth pair back on the bridge if it is off.
func (n *Network) reconnect(name string, bridge int) error {
	l, err := n.links.LinkByName(name)
	if err != nil || l.Attrs().MasterIndex == bridge && l.Attrs().Flags&net.FlagUp != 0 {
		return err
	}
	n.log.Warn("connecting container to the bridge again", "addr", name)
	if err := n.enslave(l, bridge); err != nil {
		return err
	}
	return n.settle(l)
}

// deleteLinks deletes all interfaces of the installation.
func (n *Network) deleteLinks(ctx context.Context) error {
	veths, err := n.veths()
	if err != nil {
		return err
	}
	errs := []error{n.deleteVeths(ctx, slices.Collect(maps.Values(veths)))}
	switch l, err := n.links.LinkByName(n.bridge); {
	case err == nil:
		if err := n.links.LinkDel(l); err != nil {
			errs = append(errs, fmt.Errorf("delete bridge %s: %w", n.bridge, err))
		}
	case !errors.As(err, &netlink.LinkNotFoundError{}):
		errs = append(errs, fmt.Errorf("find bridge %s: %w", n.bridge, err))
	}
	return errors.Join(errs...)
}

// disableIPv6 keeps an interface of ours, or "default" those made later in
// this thread's namespace, from configuring itself by what its neighbours say.
func disableIPv6(name string) error {
	err := os.WriteFile("/proc/sys/net/ipv6/conf/"+name+"/disable_ipv6", []byte("1"), 0)
	if err != nil && !errors.Is(err, os.ErrNotExist) { // no such file: a kernel without IPv6
		return fmt.Errorf("disable IPv6 of %s: %w", name, err)
	}
	return nil
}

// list calls dump until the kernel says that nothing changed meanwhile. On a
// host that never stands still the tenth answer is taken though it may lack
// something.
func list[T any](dump func() ([]T, error)) (ts []T, err error) {
	for range 10 {
		ts, err = dump()
		if !errors.Is(err, netlink.ErrDumpInterrupted) {
			return ts, err
		}
	}
	return ts, nil
}

func ipNet(a netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, 32)}
}
