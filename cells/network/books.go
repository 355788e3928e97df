//go:build linux

package network

import (
	"encoding/binary"
	"fmt"
	"net/netip"
	"slices"

	"lattice/app"
	"lattice/cells"
)

// A pool hands out the numbers from 0 to size-1, the longest unused first.
type pool struct {
	size  int
	fresh int // this one and those above were never taken, though perhaps claimed
	used  map[int]bool
	freed []int // in the order they were put back; all below fresh
}

func newPool(size int) *pool { return &pool{size: size, used: map[int]bool{}} }

// take returns a free number, or false when there is none.
func (p *pool) take() (int, bool) {
	for p.fresh < p.size {
		i := p.fresh
		p.fresh++
		if p.claim(i) {
			return i, true
		}
	}
	if len(p.freed) == 0 {
		return 0, false
	}
	i := p.freed[0]
	p.freed = p.freed[1:]
	return i, p.claim(i)
}

// claim takes i and says whether it was there and free. A number that was put
// back must not be claimed.
func (p *pool) claim(i int) bool {
	if i < 0 || i >= p.size || p.used[i] {
		return false
	}
	p.used[i] = true
	return true
}

// put frees i.
func (p *pool) put(i int) {
	if !p.used[i] {
		return
	}
	delete(p.used, i)
	if i < p.fresh {
		p.freed = append(p.freed, i)
	}
}

// A holding is a lease with what belongs to it in this process.
type holding struct {
	lease    cells.Lease
	proxies  []*proxy // of lease.Ports; nil where the port could not be had
	serving  bool     // the proxies were started
	attached bool     // its interface is in place and its ports are to be published
}

// open starts the proxies and says that the container is connected. The
// mutex of the Network must be held.
func (h *holding) open() {
	for i, p := range h.proxies {
		if p != nil && !h.serving {
			p.serve(netip.AddrPortFrom(h.lease.IP, uint16(h.lease.Ports[i].Container)))
		}
	}
	h.serving, h.attached = true, true
}

// close ends the proxies.
func (h *holding) close() {
	for _, p := range h.proxies {
		if p != nil {
			p.close()
		}
	}
}

// Reserve is described at cells.Network. It listens on the host ports at once,
// so that no other program takes one. A GUID that has a lease is
// app.ErrExists; app.ErrUnavailable says that addresses or ports have run out.
func (n *Network) Reserve(guid string, ports []int) (cells.Lease, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.held[guid] != nil {
		return cells.Lease{}, fmt.Errorf("reserve network of %s: %w", guid, app.ErrExists)
	}
	i, ok := n.ips.take()
	if !ok {
		return cells.Lease{}, fmt.Errorf("%w: all %d addresses of %v are in use", app.ErrUnavailable, n.ips.size, n.subnet)
	}
	h := &holding{lease: cells.Lease{GUID: guid, IP: address(n.subnet, i), Ports: []app.PortPair{}}}
	for _, port := range ports {
		p, err := n.takePort()
		if err != nil {
			n.free(h)
			h.close() // nothing was served yet, so nothing to wait for
			return cells.Lease{}, err
		}
		h.proxies = append(h.proxies, p)
		h.lease.Ports = append(h.lease.Ports, app.PortPair{Container: port, Host: p.port})
	}
	n.held[guid] = h
	return clone(h.lease), nil
}

// takePort returns a proxy that listens on a host port nobody uses. Those in
// use by other programs go to the end of the queue. n.mu must be held.
func (n *Network) takePort() (*proxy, error) {
	for range n.ports.size - len(n.ports.used) {
		i, ok := n.ports.take()
		if !ok {
			break
		}
		if p, err := listen(n.cfg.FirstPort+i, n.log); err == nil {
			return p, nil
		}
		n.ports.put(i)
	}
	return nil, fmt.Errorf("%w: all host ports from %d to %d are in use", app.ErrUnavailable, n.cfg.FirstPort, n.cfg.LastPort)
}

// free puts back the address and ports of h. n.mu must be held.
func (n *Network) free(h *holding) {
	n.ips.put(number(n.subnet, h.lease.IP))
	for _, p := range h.lease.Ports {
		n.ports.put(p.Host - n.cfg.FirstPort)
	}
}

// holding returns what is held for l, or an error when that differs from l.
func (n *Network) holding(l cells.Lease) (*holding, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.held[l.GUID]
	if h == nil || h.lease.IP != l.IP || !slices.Equal(h.lease.Ports, l.Ports) {
		return nil, fmt.Errorf("%w: %s does not hold address %v with these ports", app.ErrNotFound, l.GUID, l.IP)
	}
	return h, nil
}

// attached returns the leases whose containers are connected.
func (n *Network) attached() []cells.Lease {
	n.mu.Lock()
	defer n.mu.Unlock()
	var ls []cells.Lease
	for _, h := range n.held {
		if h.attached {
			ls = append(ls, h.lease)
		}
	}
	return ls
}

func (n *Network) isAttached(guid string) bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	h := n.held[guid]
	return h != nil && h.attached
}

func clone(l cells.Lease) cells.Lease {
	l.Ports = slices.Clone(l.Ports)
	return l
}

// The first addresses of a subnet are the network's and the bridge's, the last
// is for broadcast; containers have those between, numbered from 0.
const firstAddress = 2

// capacity returns how many containers a subnet has addresses for.
func capacity(subnet netip.Prefix) int { return 1<<(32-subnet.Bits()) - firstAddress - 1 }

// gateway returns the bridge's own address.
func gateway(subnet netip.Prefix) netip.Addr { return subnet.Masked().Addr().Next() }

// address returns the address of container i.
func address(subnet netip.Prefix, i int) netip.Addr {
	b := subnet.Masked().Addr().As4()
	binary.BigEndian.PutUint32(b[:], binary.BigEndian.Uint32(b[:])+uint32(i)+firstAddress)
	return netip.AddrFrom4(b)
}

// number is the inverse of address; it is negative, or not below capacity,
// for an address that no container can have.
func number(subnet netip.Prefix, ip netip.Addr) int {
	if !ip.Is4() {
		return -1
	}
	a, b := ip.As4(), subnet.Masked().Addr().As4()
	return int(binary.BigEndian.Uint32(a[:])) - int(binary.BigEndian.Uint32(b[:])) - firstAddress
}
