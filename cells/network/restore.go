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
// bridge and the table where they are missing. Leases that can't be had back,
// for an address or port that is another's, are an app.ErrConflict after all
// else is done; the Network can be used then, without them. A lease whose
// interface is gone or whose host port another program took is logged and kept.
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
	conflicts := n.claim(leases)
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
	return errors.Join(n.rewrite(), conflicts)
}

// claim puts surviving leases back into the books. The error names those for
// which there is no room.
func (n *Network) claim(leases []cells.Lease) error {
	n.mu.Lock()
	defer n.mu.Unlock()
	var errs []error
	for _, l := range leases {
		if err := n.claimNumbers(l); err != nil {
			errs = append(errs, err)
			continue
		}
		h := &holding{lease: clone(l), proxies: make([]*proxy, len(l.Ports))}
		for i, pair := range l.Ports {
			p, err := listen(pair.Host, n.log)
			if err != nil {
				n.log.Warn("another program took a container's host port", "instance", l.GUID, "addr", pair.Host, "err", err)
				continue
			}
			h.proxies[i] = p
		}
		h.open()
		n.held[l.GUID] = h
	}
	return errors.Join(errs...)
}

// claimNumbers takes the address and the ports of l, or nothing. n.mu must be
// held.
func (n *Network) claimNumbers(l cells.Lease) error {
	if n.held[l.GUID] != nil || !n.ips.claim(number(n.subnet, l.IP)) {
		return fmt.Errorf("%w: container %s has address %v, which is not in %v or is another's: remove that container or set the subnet back",
			app.ErrConflict, l.GUID, l.IP, n.subnet)
	}
	for i, p := range l.Ports {
		at := p.Host - n.cfg.FirstPort
		if at < 0 || at >= n.ports.size { // the range was changed meanwhile; the port is as good
			continue
		}
		if !n.ports.claim(at) {
			n.free(&holding{lease: cells.Lease{IP: l.IP, Ports: l.Ports[:i]}})
			return fmt.Errorf("%w: container %s has host port %d, which is another's: remove one of them", app.ErrConflict, l.GUID, p.Host)
		}
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
