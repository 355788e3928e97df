// Package cluster knows who is there. It wraps memberlist: nodes find each
// other by gossip, notice in two to three seconds that one has died, and carry
// each other's Meta. It decides nothing about apps; that a cell died is only
// a fact here.
//
// Gossip is encrypted with a key all nodes share, so whoever answers is one of
// ours. A node that lost the others, or died and came back elsewhere, is taken
// back without anybody's help. All types are safe for concurrent use.
package cluster

import (
	"context"
	"errors"
	"fmt"
	"log"
	"log/slog"
	"net"
	"net/netip"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/hashicorp/memberlist"

	"lattice/app"
)

// KeySize is the length of a gossip key in bytes (AES-256).
const KeySize = 32

const (
	probeEvery    = 500 * time.Millisecond
	suspicionMult = 3 // a node is given mult × max(1, log10 n) × probeEvery to refute
	suspicionMax  = 2 // and at most so many times that when nobody confirms

	streamTimeout = 2 * time.Second // to connect, and for the whole exchange of states
	spreadTimeout = 2 * time.Second // for a message to be handed to enough nodes
	leaveTimeout  = 700 * time.Millisecond
)

// A Config says who a node is and where it gossips.
type Config struct {
	Name      string // unique among all nodes
	Bind      string // "ip:port" for UDP and TCP; no ip: all; port 0: any free one
	Advertise string // ip or "ip:port" at which the others reach Bind; empty: Bind's, or the host's private address
	Key       []byte // of KeySize bytes, the same on all nodes
	Label     string // of the cluster; packets of another one are refused
	Meta      Meta
	Log       *slog.Logger

	// Peers are addresses known from before, tried whenever this node is alone.
	Peers []string
	// SavePeers, if not nil, is given the addresses of the other nodes, the
	// best first, each time they have changed. Run calls it.
	SavePeers func(addrs []string) error
}

// A Cluster is this node's view of all nodes.
type Cluster struct {
	log       *slog.Logger
	name      string
	list      *memberlist.Memberlist
	keys      *memberlist.Keyring
	addr      string
	roster    *roster
	savePeers func([]string) error

	meta     *atomic.Pointer[[]byte] // encoded, of this node
	updating sync.Mutex              // held while a new meta is handed out, so that it can't be overtaken by an older one
	current  Meta                    // guarded by updating

	rekeying sync.Mutex // held while the keys change

	ending sync.Mutex    // held while leaving and closing: memberlist panics when it is to leave after it was closed
	closed chan struct{} // closed by Close; guarded by ending
}

// New binds at once and answers other nodes from then on; Run does the rest.
// Call Close if Run isn't called.
func New(cfg Config) (*Cluster, error) {
	encoded, err := cfg.Meta.encode()
	if err != nil {
		return nil, err
	}
	ml, err := listConfig(cfg)
	if err != nil {
		return nil, err
	}
	c := &Cluster{
		log: cfg.Log, name: cfg.Name, keys: ml.Keyring, savePeers: cfg.SavePeers,
		roster: newRoster(cfg.Name, cfg.Peers),
		meta:   new(atomic.Pointer[[]byte]), current: cfg.Meta, closed: make(chan struct{}),
	}
	c.meta.Store(&encoded)
	ears := &listener{meta: c.meta, roster: c.roster, log: cfg.Log}
	ml.Delegate, ml.Events, ml.Ping, ml.Conflict = ears, ears, ears, ears
	ml.Logger = log.New(&logWriter{log: cfg.Log, suspect: c.roster.suspect}, "", 0)
	if c.list, err = memberlist.Create(ml); err != nil {
		return nil, fmt.Errorf("gossip on %s: %w", cfg.Bind, err)
	}
	c.addr = c.list.LocalNode().Address()
	return c, nil
}

// Addr returns the "ip:port" at which the others reach this node.
func (c *Cluster) Addr() string { return c.addr }

// SetMeta tells all nodes what this one is now. It returns when enough of them
// have been told, in less than a second as a rule and after two at most; the
// message goes on being spread after that.
func (c *Cluster) SetMeta(m Meta) error {
	return c.spread(m, spreadTimeout)
}

// Run keeps the nodes together until ctx is done, then says goodbye to the
// others, which takes at most two seconds, and frees the port. It also returns
// when Close is called.
func (c *Cluster) Run(ctx context.Context) error {
	ctx, stop := context.WithCancel(ctx)
	var loops sync.WaitGroup
	loops.Go(func() { c.reunite(ctx) })
	loops.Go(func() { c.doubt(ctx) })
	loops.Go(func() { c.announce(ctx) })
	select {
	case <-ctx.Done():
		c.leave()
	case <-c.closed:
	}
	stop()
	err := c.Close()
	loops.Wait()
	return err
}

// Close frees the port without a goodbye: the others will notice.
func (c *Cluster) Close() error {
	c.ending.Lock()
	defer c.ending.Unlock()
	if c.isClosed() {
		return nil
	}
	close(c.closed)
	if err := c.list.Shutdown(); err != nil {
		return fmt.Errorf("stop gossip: %w", err)
	}
	return nil
}

func (c *Cluster) isClosed() bool {
	select {
	case <-c.closed:
		return true
	default:
		return false
	}
}

// leave marks the meta first, because memberlist doesn't tell a node that left
// from one that died.
func (c *Cluster) leave() {
	c.ending.Lock()
	defer c.ending.Unlock()
	if c.isClosed() {
		return
	}
	c.updating.Lock()
	m := c.current
	c.updating.Unlock()
	m.leaving = true
	err := c.spread(m, leaveTimeout)
	if err := errors.Join(err, c.list.Leave(leaveTimeout)); err != nil {
		c.log.Warn("left without a goodbye, the others will notice", "err", err)
	}
}

func (c *Cluster) spread(m Meta, timeout time.Duration) error {
	b, err := m.encode()
	if err != nil {
		return err
	}
	c.updating.Lock()
	defer c.updating.Unlock()
	c.current = m
	c.meta.Store(&b)
	if err := c.list.UpdateNode(timeout); err != nil {
		c.log.Debug("meta is still being spread", "err", err)
	}
	return nil
}

// listConfig is memberlist's for a local network, made quicker: a crash is seen
// by all in 2.4 s (median, 3 nodes) instead of 5.3 s, and never later than
// suspicionMax allows.
func listConfig(cfg Config) (*memberlist.Config, error) {
	if cfg.Name == "" {
		return nil, app.Invalid("a node needs a name")
	}
	if len(cfg.Key) != KeySize {
		return nil, app.Invalid("the gossip key has %d bytes, it needs %d", len(cfg.Key), KeySize)
	}
	ring, err := memberlist.NewKeyring(nil, cfg.Key)
	if err != nil {
		return nil, fmt.Errorf("gossip key: %w", err)
	}
	ml := memberlist.DefaultLANConfig()
	if err := setAddresses(ml, cfg.Bind, cfg.Advertise); err != nil {
		return nil, err
	}
	ml.Name, ml.Label, ml.Keyring = cfg.Name, cfg.Label, ring
	ml.ProbeInterval, ml.ProbeTimeout = probeEvery, 200*time.Millisecond
	ml.SuspicionMult, ml.SuspicionMaxTimeoutMult = suspicionMult, suspicionMax
	ml.GossipInterval = 100 * time.Millisecond
	ml.PushPullInterval = 15 * time.Second
	ml.TCPTimeout = streamTimeout
	ml.DeadNodeReclaimTime = time.Millisecond // 0 would mean never: a dead node's name is free at once
	ml.EnableCompression = false              // LZW costs more than it saves on messages this small
	return ml, nil
}

func setAddresses(ml *memberlist.Config, bind, advertise string) error {
	host, port, err := splitHostPort(bind)
	if err != nil {
		return app.Invalid("gossip address %q: %v; write it as ip:port, for example 0.0.0.0:7946", bind, err)
	}
	if host == "" {
		host = "0.0.0.0"
	}
	ml.BindAddr, ml.BindPort, ml.AdvertisePort = host, port, port
	if net.ParseIP(host) == nil {
		return app.Invalid("gossip address %q: %q is not an ip address", bind, host)
	}
	if advertise == "" {
		return nil
	}
	if _, err := netip.ParseAddr(advertise); err == nil {
		ml.AdvertiseAddr = advertise
		return nil
	}
	ap, err := netip.ParseAddrPort(advertise)
	if err != nil {
		return app.Invalid("advertised gossip address %q: write it as ip or ip:port", advertise)
	}
	ml.AdvertiseAddr = ap.Addr().String()
	if ap.Port() != 0 {
		ml.AdvertisePort = int(ap.Port())
	}
	return nil
}

func splitHostPort(s string) (string, int, error) {
	host, p, err := net.SplitHostPort(s)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(p, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("%q is no port", p)
	}
	return host, int(port), nil
}
