//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"sync"

	"github.com/google/nftables"
	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lattice/cells"
)

// The host ports given out when Config names none. They lie above the
// kernel's range for outgoing connections, so nothing takes them by chance.
const (
	DefaultFirstPort = 61000
	DefaultLastPort  = 64999
)

// Config says what a Network is to be.
type Config struct {
	Name      string       // of the installation: 8 hexadecimal digits, lower case
	Dir       string       // where the subnet is remembered; made when missing
	Subnet    netip.Prefix // IPv4, /12 to /29; zero: the one used before, else the first of some private ones that the host has no use for
	FirstPort int          // of the host ports; 0: DefaultFirstPort
	LastPort  int          // the last one; 0: DefaultLastPort
	Log       *slog.Logger // nil: slog.DiscardHandler
}

// A Network connects the containers of one installation. It is a
// cells.Network; its methods may be called concurrently once Restore returned.
type Network struct {
	cfg    Config
	log    *slog.Logger
	bridge string
	table  *nftables.Table
	links  *netlink.Handle // in the host's network namespace; safe for concurrent use
	home   os.FileInfo     // of the host's network namespace

	nftMu sync.Mutex     // guards nft and is held over each batch, which takes some 20 µs
	nft   *nftables.Conn // nil: to be opened

	mu       sync.Mutex // guards all below; never held over a call that may take long
	subnet   netip.Prefix
	ips      *pool
	ports    *pool
	held     map[string]*holding // by GUID
	blockers []blocker
}

var _ cells.Network = (*Network)(nil)

var validName = regexp.MustCompile(`^[0-9a-f]{8}$`)

// Open returns the Network of an installation. It changes nothing on the host;
// Restore does. The caller must Close it.
func Open(cfg Config) (*Network, error) {
	if cfg.FirstPort == 0 {
		cfg.FirstPort = DefaultFirstPort
	}
	if cfg.LastPort == 0 {
		cfg.LastPort = DefaultLastPort
	}
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if err := cfg.validate(); err != nil {
		return nil, err
	}
	if err := os.MkdirAll(cfg.Dir, 0o700); err != nil {
		return nil, fmt.Errorf("make network state folder: %w", err)
	}
	home, err := os.Stat("/proc/thread-self/ns/net")
	if err != nil {
		return nil, fmt.Errorf("find network namespace of the host: %w", err)
	}
	links, err := netlink.NewHandle(unix.NETLINK_ROUTE)
	if err != nil {
		return nil, fmt.Errorf("open netlink socket: %w", err)
	}
	return &Network{
		cfg:    cfg,
		log:    cfg.Log,
		bridge: "lat-" + cfg.Name,
		table:  &nftables.Table{Name: "lattice-" + cfg.Name, Family: nftables.TableFamilyIPv4},
		links:  links,
		home:   home,
		ips:    newPool(0),
		ports:  newPool(cfg.LastPort - cfg.FirstPort + 1),
		held:   map[string]*holding{},
	}, nil
}

func (c Config) validate() error {
	switch {
	case !validName.MatchString(c.Name):
		return fmt.Errorf("network name %q: must be 8 hexadecimal digits in lower case", c.Name)
	case c.Dir == "":
		return errors.New("network state folder: must be given")
	case c.FirstPort < 1 || c.LastPort > 65535 || c.FirstPort > c.LastPort:
		return fmt.Errorf("host ports %d to %d: must be a range within 1 to 65535", c.FirstPort, c.LastPort)
	case c.Subnet != netip.Prefix{} && !validSubnet(c.Subnet):
		return fmt.Errorf("subnet %v: must be an IPv4 network of /12 to /29 such as 172.30.0.0/16", c.Subnet)
	}
	return nil
}

// Close ends the proxies and lets go of the sockets; no other method may be
// running or called any more. Containers keep their network: what is in the
// kernel stays.
func (n *Network) Close() error {
	n.forgetAll()
	n.links.Close()
	n.nftMu.Lock()
	defer n.nftMu.Unlock()
	if n.nft == nil {
		return nil
	}
	err := n.nft.CloseLasting()
	n.nft = nil
	return err
}

// forgetAll empties the books and ends the proxies.
func (n *Network) forgetAll() {
	n.mu.Lock()
	held := n.held
	n.held = map[string]*holding{}
	n.mu.Unlock()
	for _, h := range held {
		h.close()
	}
}

// Destroy removes all that the installation ever made on this host: table,
// veth pairs, bridge and the remembered subnet. Containers that still run lose
// their network. It needs no Restore before it; only Close may follow.
// net.ipv4.ip_forward stays on, since others may have come to need it.
func (n *Network) Destroy(ctx context.Context) error {
	n.forgetAll()
	if s, err := n.loadState(); err == nil && s.IPForwardBefore == "0" {
		n.log.Info("net.ipv4.ip_forward stays on, it was off before", "reason", "others may need it by now")
	}
	errs := []error{n.deleteTable(), n.deleteLinks(ctx)}
	if err := os.Remove(filepath.Join(n.cfg.Dir, stateFile)); err != nil && !errors.Is(err, os.ErrNotExist) {
		errs = append(errs, fmt.Errorf("forget subnet: %w", err))
	}
	return errors.Join(errs...)
}

// Proxied returns how many connections pass through this process now.
func (n *Network) Proxied() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	sum := 0
	for _, h := range n.held {
		for _, p := range h.proxies {
			sum += len(p.slots)
		}
	}
	return sum
}
