package node

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/cells"
	"lattice/cells/containerd"
	"lattice/cells/layers"
	"lattice/cells/logfile"
	"lattice/cells/network"
	"lattice/cells/session"
	"lattice/cells/volumes"
	"lattice/cluster"
	"lattice/internal/config"
	"lattice/internal/run"
)

// cell is the cell half of a process.
type cell struct {
	cfg     config.CellConfig
	version string
	log     *slog.Logger

	members  *cluster.Cluster
	layersLn net.Listener // nil: none
	taker    *layers.Taker

	stay    *stay
	net     *network.Network
	volumes *volumes.Volumes
	runtime *containerd.Runtime
	client  *api.Client
	agent   *cells.Agent
	events  *logfile.EventLog
	gateway *gateway // nil: the cell is no router
}

func newCell(cfg config.CellConfig, version string, log *slog.Logger) *cell {
	return &cell{cfg: cfg, version: version, log: log}
}

func (c *cell) dir(name string) string { return filepath.Join(c.cfg.DataDir, "cell", name) }

// open gets everything ready that runs containers, and takes over what runs.
func (c *cell) open(ctx context.Context) error {
	if os.Getuid() != 0 {
		return errors.New("a cell runs containers and needs root: start it with sudo")
	}
	bin, err := containerd.Unpack(c.dir("bin"))
	if err != nil {
		return err
	}
	c.net, err = network.Open(network.Config{Name: installation(c.cfg.Common), Dir: c.dir("network"), Log: c.log.With("part", "network")})
	if err != nil {
		return err
	}
	if c.volumes, err = volumes.Open(c.dir("volumes"), c.cfg.StateDir); err != nil {
		return err
	}
	c.runtime, err = containerd.Open(ctx, containerd.Config{
		Root: c.dir("containerd"), State: c.cfg.StateDir, Bin: bin, LogRoot: c.dir("logs"), Network: c.net,
		Address: c.cfg.Containerd, Registry: c.pullFrom, BuildCacheMB: c.cfg.BuildCacheMB, Bundled: bundledImages(), Log: c.log.With("part", "containerd"),
	})
	if err != nil {
		return err
	}
	return c.listenLayers()
}

// installation names this installation among others on the host, as eight
// hexadecimal digits.
func installation(c config.Common) string { return filepath.Base(c.StateDir) }

func (c *cell) close() {
	if c.gateway != nil {
		c.gateway.close()
	}
	if c.events != nil {
		if err := c.events.Close(); err != nil {
			c.log.Error("event log not closed", "err", err)
		}
	}
	if c.layersLn != nil {
		c.layersLn.Close() // closed already if it was served
	}
	if c.runtime != nil {
		if err := c.runtime.Close(); err != nil {
			c.log.Error("containerd not closed", "err", err)
		}
	}
	if c.net != nil {
		if err := c.net.Close(); err != nil {
			c.log.Error("network not closed", "err", err)
		}
	}
}

// connect makes the way to the brain, and the agent that goes it.
func (c *cell) connect(s *stay) (err error) {
	c.stay = s
	j := s.known()
	if c.client, err = api.NewClient(api.ClientConfig{URL: j.URL, CAHash: j.CAHash, Certificate: s.certificate}); err != nil {
		return err
	}
	_, way := c.client.Registry()
	c.taker = layers.NewTaker(way, c.trust(), c.log.With("part", "layers"))
	if c.events, err = logfile.NewEventLog(c.dir("logs"), c.log.With("part", "logs")); err != nil {
		return err
	}
	c.connectGateway()
	c.agent = cells.New(cells.Config{
		ID: c.cfg.ID, Host: c.cfg.Advertise, Dir: c.dir("instances"), Runtime: c.runtime, Network: c.net, Volumes: c.volumes,
		Brain: c.client, Event: c.events.Event, LogEnd: c.logEnd, Vitals: c.vitals,
		Images: c.runtime, ImageAge: c.cfg.ImageAge, DiskFull: fullDisk(c.cfg.DataDir, c.cfg.ImageDisk), Changed: c.instancesChanged, Log: c.log.With("part", "agent"),
	})
	return nil
}

// instancesChanged is cells.Config.Changed.
func (c *cell) instancesChanged() {
	if c.gateway != nil {
		nudge(c.gateway.known)
	}
}

// repairEvery is how often the host's network is looked over.
const repairEvery = time.Minute

func (c *cell) add(g *run.Group) {
	g.Add("network", c.repair)
	g.Add("certificate", c.renew)
	if c.layersLn != nil {
		g.Add("layers", c.giveLayers)
	}
	if c.gateway != nil {
		c.gateway.add(g, c.agent.Instances)
	}
	g.Add("agent", c.agent.Run)
	g.Add("sessions", session.New(session.Config{
		Cell: c.cfg.ID, Brain: c.client, Runtime: c.runtime, Network: c.net, Log: c.log.With("part", "sessions"),
	}).Run)
	g.Add("welcome", c.welcome)
	g.Add("log shipper", (&logfile.Shipper{
		Root: c.dir("logs"), Sink: sink{c.client, c.cfg.ID}, Live: c.liveLogs, Log: c.log.With("part", "logs"),
	}).Run)
}

// repair mends what somebody else did to our rules and links, and tells the
// operator of what it can't mend.
func (c *cell) repair(ctx context.Context) error {
	tick := time.NewTicker(repairEvery)
	defer tick.Stop()
	warned := ""
	for {
		w := c.net.Warning()
		if w != "" && w != warned {
			c.log.Warn("another firewall of this host stands in the way", "reason", w)
		}
		warned = w
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if err := c.net.Repair(ctx); err != nil && ctx.Err() == nil {
			c.log.Warn("the cell's network is not as it should be", "err", err)
		}
	}
}

// liveLogs tells whose logs may still grow: those of containers and, for what
// the platform says of them, of placements.
func (c *cell) liveLogs() map[string]bool {
	live := map[string]bool{}
	for _, in := range c.agent.Instances() {
		live[in.GUID], live[in.ID] = true, true
	}
	return live
}

// logEnd is cells.Config.LogEnd.
func (c *cell) logEnd(guid string) uint64 {
	last, err := logfile.LastSeq(filepath.Join(c.dir("logs"), guid))
	if err != nil {
		c.log.Warn("the end of a log is not known", "guid", guid, "err", err)
	}
	return last
}

// sink is where the log shipper delivers.
type sink struct {
	client *api.Client
	cell   string
}

func (s sink) LogCursors(ctx context.Context, guids []string) (map[string]uint64, error) {
	return s.client.LogCursors(ctx, s.cell, guids)
}

func (s sink) SendLogs(ctx context.Context, lines []app.LogLine) error {
	return s.client.SendLogs(ctx, s.cell, lines)
}
