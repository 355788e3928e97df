//go:build linux

package network

import (
	"errors"
	"fmt"
	"maps"
	"net/netip"
	"slices"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/mdlayher/netlink"
	"golang.org/x/sys/unix"

	"lattice/cells"
)

const (
	portsID    = 1       // of the map within one batch; the library's own numbering isn't safe for concurrent use
	chunk      = 1000    // elements in one message, which has room for 64 KiB
	batchBytes = 4 << 20 // socket buffer for a whole table; one of 4,000 ports takes 400 KiB
)

// batch calls do with the nftables socket. It is kept open, since to close one
// makes the kernel wait until all that was deleted by anybody is gone for good,
// 12 ms; but after an error it is, for what may be left in it.
func (n *Network) batch(do func(*nftables.Conn) error) error {
	n.nftMu.Lock()
	defer n.nftMu.Unlock()
	if n.nft == nil {
		conn, err := nftables.New(nftables.AsLasting(), nftables.WithSockOptions(func(c *netlink.Conn) error {
			return errors.Join(c.SetWriteBuffer(batchBytes), c.SetReadBuffer(batchBytes))
		}))
		if err != nil {
			return fmt.Errorf("open nftables socket: %w", err)
		}
		n.nft = conn
	}
	err := do(n.nft)
	if err != nil {
		n.nft.CloseLasting()
		n.nft = nil
	}
	return err
}

// publish leads the host ports of h to its container, by the map unless
// forwarding is blocked. Where the table isn't as it should be, it is written
// anew.
func (n *Network) publish(h *holding) error {
	changed, err := n.survey()
	if err != nil {
		return err
	}
	err = n.setElements(h, true)
	if err != nil {
		n.log.Warn("writing the nftables table anew", "addr", n.table.Name, "reason", err)
	}
	if err != nil || changed {
		return n.rewrite()
	}
	return nil
}

// unpublish undoes publish.
func (n *Network) unpublish(h *holding) error {
	err := n.setElements(h, false)
	if errors.Is(err, unix.ENOENT) { // already gone, or only some are
		return n.rewrite()
	}
	return err
}

// setElements writes into the books whether h is attached, starts its proxies
// if so, and adds or deletes its elements, of which there are none while
// forwarding is blocked.
func (n *Network) setElements(h *holding, attached bool) error {
	return n.batch(func(conn *nftables.Conn) error {
		n.mu.Lock()
		if attached {
			h.open()
		} else {
			h.attached = false
		}
		none := len(h.lease.Ports) == 0 || len(n.blockers) > 0
		n.mu.Unlock()
		if none {
			return nil
		}
		change := conn.SetDeleteElements
		if attached {
			change = conn.SetAddElements
		}
		if err := change(n.portMap(), elements(h.lease)); err != nil {
			return err
		}
		return conn.Flush()
	})
}

// rewrite replaces the whole table in one batch by what the books say.
// Connections that exist go on.
func (n *Network) rewrite() error {
	err := n.batch(func(conn *nftables.Conn) error {
		conn.AddTable(n.table) // so that it can be deleted
		conn.DelTable(n.table)
		conn.AddTable(n.table)
		wanted := n.wantedElements()
		ports := n.portMap()
		// All that may come, and those with a port of an older range. A map of a
		// known size is never resized, which would make listings incomplete.
		ports.Size = uint32(n.ports.size + len(wanted))
		if err := conn.AddSet(ports, nil); err != nil {
			return err
		}
		for c := range slices.Chunk(wanted, chunk) {
			if err := conn.SetAddElements(ports, c); err != nil {
				return err
			}
		}
		for _, c := range n.chains() {
			conn.AddChain(c.chain)
			for _, r := range c.rules {
				conn.AddRule(&nftables.Rule{Table: n.table, Chain: c.chain, Exprs: r})
			}
		}
		return conn.Flush()
	})
	if err != nil {
		return fmt.Errorf("write nftables table %s (the kernel must have nf_tables with nat, masquerade and fib): %w", n.table.Name, err)
	}
	return nil
}

// deleteTable deletes the table; one that isn't there is no error.
func (n *Network) deleteTable() error {
	err := n.batch(func(conn *nftables.Conn) error {
		conn.AddTable(n.table)
		conn.DelTable(n.table)
		return conn.Flush()
	})
	if err != nil {
		return fmt.Errorf("delete nftables table %s: %w", n.table.Name, err)
	}
	return nil
}

// wantedElements returns what the books say has to be in the map.
func (n *Network) wantedElements() []nftables.SetElement {
	if n.ForwardBlocked() {
		return nil
	}
	var es []nftables.SetElement
	for _, l := range n.attached() {
		es = append(es, elements(l)...)
	}
	return es
}

// damage says in what the kernel's table differs from what rewrite makes; nil
// if in nothing.
func (n *Network) damage() error {
	return n.batch(func(conn *nftables.Conn) error {
		for _, c := range n.chains() {
			rules, err := conn.GetRules(n.table, c.chain)
			if err != nil {
				return fmt.Errorf("list chain %s: %w", c.chain.Name, err)
			}
			if len(rules) != len(c.rules) {
				return fmt.Errorf("chain %s has %d rules instead of %d", c.chain.Name, len(rules), len(c.rules))
			}
		}
		have, err := conn.GetSetElements(n.portMap())
		if err != nil {
			return fmt.Errorf("list map of host ports: %w", err)
		}
		if !maps.Equal(byKey(have), byKey(n.wantedElements())) {
			return errors.New("the map of host ports has missing or foreign elements")
		}
		return nil
	})
}

func byKey(es []nftables.SetElement) map[string]string {
	m := make(map[string]string, len(es))
	for _, e := range es {
		m[string(e.Key)] = string(e.Val)
	}
	return m
}

// portMap returns the map from host port to container address and port.
func (n *Network) portMap() *nftables.Set {
	return &nftables.Set{
		Table:        n.table,
		ID:           portsID,
		Name:         "ports",
		IsMap:        true,
		KeyType:      nftables.TypeInetService,
		DataType:     nftables.MustConcatSetType(nftables.TypeIPAddr, nftables.TypeInetService),
		KeyByteOrder: binaryutil.BigEndian,
	}
}

// elements returns the elements of the map for l, one per port.
func elements(l cells.Lease) []nftables.SetElement {
	es := make([]nftables.SetElement, len(l.Ports))
	for i, p := range l.Ports {
		es[i] = nftables.SetElement{
			Key: binaryutil.BigEndian.PutUint16(uint16(p.Host)),
			Val: destination(l.IP, p.Container),
		}
	}
	return es
}

// destination is the concatenation of address and port, each padded to a
// register of 4 bytes.
func destination(ip netip.Addr, port int) []byte {
	return append(append(ip.AsSlice(), binaryutil.BigEndian.PutUint16(uint16(port))...), 0, 0)
}
