//go:build linux

package network

import (
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"
)

// stateFile is the file in Config.Dir with a state in it.
const stateFile = "network.json"

// A state is what has to be remembered between two runs.
type state struct {
	Subnet          netip.Prefix `json:"subnet"`
	IPForwardBefore string       `json:"ip_forward_before"` // net.ipv4.ip_forward before it was touched
}

func (n *Network) loadState() (state, error) {
	var s state
	b, err := os.ReadFile(filepath.Join(n.cfg.Dir, stateFile))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return s, fmt.Errorf("read remembered subnet: %w", err)
	}
	if err := json.Unmarshal(b, &s); err != nil || s.Subnet != (netip.Prefix{}) && !validSubnet(s.Subnet) {
		n.log.Warn("remembered subnet can't be read and is chosen anew", "addr", filepath.Join(n.cfg.Dir, stateFile), "err", err)
		return state{}, nil
	}
	return s, nil
}

func (n *Network) saveState(s state) error {
	b, err := json.Marshal(s)
	if err != nil {
		return err
	}
	path := filepath.Join(n.cfg.Dir, stateFile)
	if err := writeSynced(path+".tmp", append(b, '\n')); err != nil {
		return fmt.Errorf("remember subnet: %w", err)
	}
	return os.Rename(path+".tmp", path)
}

func writeSynced(path string, b []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	return errors.Join(err, f.Sync(), f.Close())
}

// candidates are the subnets to choose from, most wanted first: rarely used
// by others, Docker's and Podman's first choices among the last.
func candidates() []netip.Prefix {
	ps := []netip.Prefix{netip.MustParsePrefix("172.30.0.0/16"), netip.MustParsePrefix("172.31.0.0/16")}
	for i := range 12 {
		ps = append(ps, netip.PrefixFrom(netip.AddrFrom4([4]byte{10, byte(99 - i), 0, 0}), 16))
	}
	return ps
}

// chooseSubnet returns the subnet to use: the configured one, the remembered
// one, or the first candidate that overlaps no route of the host. A remembered
// one in conflict is kept while the bridge, and so perhaps containers, exist.
func (n *Network) chooseSubnet(s state) (netip.Prefix, error) {
	if n.cfg.Subnet != (netip.Prefix{}) {
		return n.cfg.Subnet.Masked(), nil
	}
	taken, hasBridge, err := n.routes()
	if err != nil {
		return netip.Prefix{}, err
	}
	if s.Subnet.IsValid() {
		other := overlap(s.Subnet, taken)
		if !other.IsValid() {
			return s.Subnet, nil
		}
		if hasBridge {
			n.log.Warn("subnet overlaps a route of the host; containers may not reach it", "addr", s.Subnet, "reason", other)
			return s.Subnet, nil
		}
	}
	for _, p := range candidates() {
		if !overlap(p, taken).IsValid() {
			return p, nil
		}
	}
	return netip.Prefix{}, errors.New("no free subnet for containers: all that would be tried overlap a route of this host; name one in the configuration")
}

func overlap(p netip.Prefix, taken []netip.Prefix) netip.Prefix {
	for _, t := range taken {
		if t.Overlaps(p) {
			return t
		}
	}
	return netip.Prefix{}
}

// minRoute is the shortest prefix that counts as a route to somewhere: shorter
// ones, such as the two halves of everything that a VPN sets, are defaults.
const minRoute = 8

// routes returns the IPv4 networks that the host has routes to, local
// addresses included, but without those of our own bridge.
func (n *Network) routes() (taken []netip.Prefix, hasBridge bool, err error) {
	own := -1
	if l, err := n.links.LinkByName(n.bridge); err == nil {
		own = l.Attrs().Index
	}
	rs, err := list(func() ([]netlink.Route, error) {
		return n.links.RouteListFiltered(unix.AF_INET, &netlink.Route{Table: unix.RT_TABLE_UNSPEC}, netlink.RT_FILTER_TABLE)
	})
	if err != nil {
		return nil, false, fmt.Errorf("list routes: %w", err)
	}
	for _, r := range rs {
		if r.LinkIndex == own {
			continue
		}
		if p, ok := prefix(r.Dst); ok && p.Bits() >= minRoute {
			taken = append(taken, p)
		}
	}
	return taken, own >= 0, nil
}

// prefix converts an IPv4 network; nil, the default route, gives false.
func prefix(w *net.IPNet) (netip.Prefix, bool) {
	if w == nil {
		return netip.Prefix{}, false
	}
	a, ok := netip.AddrFromSlice(w.IP)
	ones, _ := w.Mask.Size()
	return netip.PrefixFrom(a.Unmap(), ones), ok
}

// validSubnet says whether p has room for a container and its containers can
// be numbered by five hexadecimal digits.
func validSubnet(p netip.Prefix) bool {
	return p.IsValid() && p.Addr().Is4() && p.Bits() >= 12 && p.Bits() <= 29
}

const ipForward = "/proc/sys/net/ipv4/ip_forward"

// forwardPackets switches net.ipv4.ip_forward on and returns what it was.
func (n *Network) forwardPackets() (before string, err error) {
	b, err := os.ReadFile(ipForward)
	if err != nil {
		return "", fmt.Errorf("read net.ipv4.ip_forward: %w", err)
	}
	before = strings.TrimSpace(string(b))
	if before != "0" {
		return before, nil
	}
	if err := os.WriteFile(ipForward, []byte("1"), 0); err != nil {
		return "", fmt.Errorf("switch net.ipv4.ip_forward on: %w", err)
	}
	n.log.Info("switched net.ipv4.ip_forward on")
	return before, nil
}
