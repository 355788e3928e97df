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

// publish leads the host ports of l to its container, by the map unless
// forwarding is blocked. Where the table isn't as it should be, it is written
// anew.
func (n *Network) publish(l cells.Lease) error {
	if changed, err := n.survey(); err != nil || changed {
		return errors.Join(err, n.rewrite())
	}
	n.tableMu.RLock()
	err := n.changeElements(l, (*nftables.Conn).SetAddElements)
	n.tableMu.RUnlock()
	if err != nil {
		n.log.Warn("writing the nftables table anew", "addr", n.table.Name, "reason", err)
		return n.rewrite()
	}
	return nil
}

// unpublish undoes publish. The books must say already that l is not attached.
func (n *Network) unpublish(l cells.Lease) error {
	n.tableMu.RLock()
	err := n.changeElements(l, (*nftables.Conn).SetDeleteElements)
	n.tableMu.RUnlock()
	if errors.Is(err, unix.ENOENT) { // already gone, or only some are
		return n.rewrite()
	}
	return err
}

// changeElements adds or deletes the elements of l in one batch; there are
// none while forwarding is blocked. n.tableMu must be held for reading.
func (n *Network) changeElements(l cells.Lease, change func(*nftables.Conn, *nftables.Set, []nftables.SetElement) error) error {
	if len(l.Ports) == 0 || n.ForwardBlocked() {
		return nil
	}
	conn, err := nftables.New()
	if err != nil {
		return err
	}
	if err := change(conn, n.portMap(), elements(l)); err != nil {
		return err
	}
	return conn.Flush()
}

// rewrite replaces the whole table in one batch by what the books say.
// Connections that exist go on.
func (n *Network) rewrite() error {
	n.tableMu.Lock()
	defer n.tableMu.Unlock()
	conn, err := nftables.New(nftables.WithSockOptions(func(c *netlink.Conn) error {
		return errors.Join(c.SetWriteBuffer(batchBytes), c.SetReadBuffer(batchBytes))
	}))
	if err != nil {
		return fmt.Errorf("open nftables socket: %w", err)
	}
	conn.AddTable(n.table) // so that it can be deleted
	conn.DelTable(n.table)
	conn.AddTable(n.table)
	ports := n.portMap()
	if err := conn.AddSet(ports, nil); err != nil {
		return fmt.Errorf("make nftables map of %s: %w", n.table.Name, err)
	}
	for c := range slices.Chunk(n.wantedElements(), chunk) {
		if err := conn.SetAddElements(ports, c); err != nil {
			return fmt.Errorf("fill nftables map of %s: %w", n.table.Name, err)
		}
	}
	n.mu.Lock()
	subnet := n.subnet
	n.mu.Unlock()
	for _, c := range n.chains(subnet) {
		conn.AddChain(c.chain)
		for _, r := range c.rules {
			conn.AddRule(&nftables.Rule{Table: n.table, Chain: c.chain, Exprs: r})
		}
	}
	if err := conn.Flush(); err != nil {
		return fmt.Errorf("write nftables table %s: %w", n.table.Name, err)
	}
	return nil
}

// deleteTable deletes the table; one that isn't there is no error. n.tableMu
// must be held.
func (n *Network) deleteTable() error {
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables socket: %w", err)
	}
	conn.AddTable(n.table)
	conn.DelTable(n.table)
	if err := conn.Flush(); err != nil {
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
	n.tableMu.Lock()
	defer n.tableMu.Unlock()
	conn, err := nftables.New()
	if err != nil {
		return fmt.Errorf("open nftables socket: %w", err)
	}
	n.mu.Lock()
	subnet := n.subnet
	n.mu.Unlock()
	for _, c := range n.chains(subnet) {
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
