//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lattice/cells"
)

const defaultMTU = 1500 // when the host has no default route to copy it from

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
	have, err := n.links.AddrList(l, unix.AF_INET)
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
	rs, err := n.links.RouteList(nil, unix.AF_INET)
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

// deleteVeth deletes a veth pair by its host end; one that isn't there is no
// error. The kernel may be deleting it too, with the container's namespace.
func (n *Network) deleteVeth(l netlink.Link) error {
	err := n.links.LinkDel(l)
	if err == nil || errors.Is(err, unix.ENODEV) || errors.Is(err, unix.EINVAL) || errors.As(err, &netlink.LinkNotFoundError{}) {
		return nil
	}
	return fmt.Errorf("delete interface %s: %w", l.Attrs().Name, err)
}

// veths returns the host ends of all veth pairs of this installation by name.
func (n *Network) veths() (map[string]netlink.Link, error) {
	ls, err := n.links.LinkList()
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
	veths, err := n.veths()
	if err != nil {
		return nil, err
	}
	// The books are read after the links: what was found and isn't in the books
	// now is nobody's, and is deleted by index, which a new pair doesn't share.
	n.mu.Lock()
	known := map[string]bool{}
	for _, h := range n.held {
		known[n.vethName(subnet, h.lease.IP)] = true
	}
	n.mu.Unlock()
	var errs []error
	for name, l := range veths {
		if known[name] || ctx.Err() != nil {
			continue
		}
		n.log.Info("deleting interface that belongs to no container", "addr", name)
		errs = append(errs, n.deleteVeth(l))
	}
	for _, lease := range n.attached() {
		l, ok := veths[n.vethName(subnet, lease.IP)]
		switch {
		case !ok:
			lost = append(lost, lease)
		case l.Attrs().MasterIndex != bridge || l.Attrs().Flags&net.FlagUp == 0:
			n.log.Warn("connecting container to the bridge again", "instance", lease.GUID)
			if err := n.enslave(l, bridge); err != nil && !errors.Is(err, unix.ENODEV) {
				errs = append(errs, err)
			}
		}
	}
	return lost, errors.Join(append(errs, ctx.Err())...)
}

// deleteLinks deletes all interfaces of the installation.
func (n *Network) deleteLinks(ctx context.Context) error {
	veths, err := n.veths()
	if err != nil {
		return err
	}
	var errs []error
	for _, l := range veths {
		if ctx.Err() != nil {
			break
		}
		errs = append(errs, n.deleteVeth(l))
	}
	switch l, err := n.links.LinkByName(n.bridge); {
	case err == nil:
		if err := n.links.LinkDel(l); err != nil {
			errs = append(errs, fmt.Errorf("delete bridge %s: %w", n.bridge, err))
		}
	case !errors.As(err, &netlink.LinkNotFoundError{}):
		errs = append(errs, fmt.Errorf("find bridge %s: %w", n.bridge, err))
	}
	return errors.Join(append(errs, ctx.Err())...)
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

func ipNet(a netip.Addr, bits int) *net.IPNet {
	return &net.IPNet{IP: a.AsSlice(), Mask: net.CIDRMask(bits, 32)}
}
