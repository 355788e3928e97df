//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"

	"lattice/app"
	"lattice/cells"
)

// Restore is described at cells.Network. It chooses the subnet and makes the
// bridge and the table where they are missing. A lease whose address or ports
// can't be had is an error; one whose interface or whose listener on a host
// port can't be had back is logged and kept.
func (n *Network) Restore(ctx context.Context, leases []cells.Lease) error {
	s, err := n.loadState()
	if err != nil {
		return err
	}
	subnet, err := n.chooseSubnet(s)
	if err != nil {
		return err
	}
	before, err := n.forwardPackets()
	if err != nil {
		return err
	}
	if s.IPForwardBefore == "" {
		s.IPForwardBefore = before
	}
	s.Subnet = subnet
	if err := n.saveState(s); err != nil {
		return err
	}
	n.mu.Lock()
	n.subnet, n.ips = subnet, newPool(capacity(subnet))
	n.mu.Unlock()
	if err := n.claim(leases); err != nil {
		return err
	}
	lost, err := n.mendLinks(ctx)
	if err != nil {
		return err
	}
	for _, l := range lost {
		n.log.Warn("container has lost its network interface and must be replaced", "instance", l.GUID, "addr", l.IP)
	}
	if _, err := n.survey(); err != nil {
		return err
	}
	return n.rewrite()
}

// claim puts surviving leases back into the books.
func (n *Network) claim(leases []cells.Lease) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, l := range leases {
		if n.held[l.GUID] != nil || !n.ips.claim(number(n.subnet, l.IP)) {
			return fmt.Errorf("%w: container %s has address %v, which is not in %v or is another's: remove that container, or set the subnet back",
				app.ErrConflict, l.GUID, l.IP, n.subnet)
		}
		h := &holding{lease: clone(l), proxies: make([]*proxy, len(l.Ports))}
		n.held[l.GUID] = h
		for i, pair := range l.Ports {
			// A port outside of a range that was changed meanwhile is as good.
			if at := pair.Host - n.cfg.FirstPort; at >= 0 && at < n.ports.size && !n.ports.claim(at) {
				return fmt.Errorf("%w: container %s has host port %d, which is another's: remove one of them", app.ErrConflict, l.GUID, pair.Host)
			}
			p, err := listen(pair.Host, n.log)
			if err != nil {
				n.log.Warn("another program took a container's host port", "instance", l.GUID, "addr", pair.Host, "err", err)
				continue
			}
			h.proxies[i] = p
		}
	}
	for _, h := range n.held {
		h.open()
	}
	return nil
}

// Repair looks whether all is as it should be and puts right what is not: after
// somebody flushed the nftables ruleset, deleted the bridge, or changed a
// firewall. It is cheap enough to be called every minute. The error names the
// containers that have lost their interface for good and must be replaced.
func (n *Network) Repair(ctx context.Context) error {
	if _, err := n.forwardPackets(); err != nil {
		return err
	}
	lost, err := n.mendLinks(ctx)
	if err != nil {
		return err
	}
	changed, err := n.survey()
	if err != nil {
		return err
	}
	broken := n.damage()
	if broken != nil {
		n.log.Warn("writing the nftables table anew", "addr", n.table.Name, "reason", broken)
	}
	if changed || broken != nil {
		if err := n.rewrite(); err != nil {
			return err
		}
	}
	var errs []error
	for _, l := range lost {
		errs = append(errs, fmt.Errorf("container %s has lost its network interface: replace it", l.GUID))
	}
	return errors.Join(errs...)
}
