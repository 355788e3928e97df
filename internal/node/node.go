// Package node puts the parts of a process together: a brain, a cell, or both.
// It is the only package that knows all the others, and it decides nothing.
package node

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"lattice/app"
	"lattice/internal/config"
	"lattice/internal/run"
	"lattice/internal/systemd"
)

const (
	// grace is how long a part may take to stop; more than drain, and than a
	// cell's instances need to be stopped.
	grace = 20 * time.Second
	// drain is how long requests that are under way may take when a server stops.
	drain = 5 * time.Second
	// away is how long a cell may be away without being replaced after it said
	// goodbye, as it does when lattice is upgraded, or after the brain started.
	away = 30 * time.Second
	// settling is how long a router that starts waits for cells with instances
	// that gossip does not know either, longestSettling for those that are there and
	// have yet to tell what they run.
	settling        = 5 * time.Second
	longestSettling = 20 * time.Second
)

// Ready says what a node that has come up offers.
type Ready struct {
	Roles     string // "brain and cell", "brain", "cell"
	API       string // URL; empty on a cell
	CA        string // PEM
	Token     string // of a user; a secret
	Domain    string
	RouterURL string // of the domain
	Note      string // what the user should know about the ports, or ""
	Address   string // at which other nodes reach this one
	DataDir   string
	Service   bool // systemd runs it: what it prints is for its journal
}

// Up runs brain and cell in one process until ctx is done. It calls ready when
// apps can be created.
func Up(ctx context.Context, cfg config.UpConfig, version string, log *slog.Logger, ready func(Ready)) error {
	g, release, err := begin(cfg.Brain.Common, log)
	if err != nil {
		return err
	}
	defer release()
	debug, log := newDebugLog(cfg.Cell.ID, log)
	b, err := openBrain(cfg.Brain, cfg.Cell.ID, version, log)
	if err != nil {
		return err
	}
	defer b.close()
	members, err := b.gossip(&cfg.Cell)
	if err != nil {
		return err
	}
	b.add(g, members)
	c := newCell(cfg.Cell, version, log)
	c.members = members
	defer c.close()
	if err := c.open(ctx); err != nil {
		return err
	}
	stay, err := b.admit(cfg.Cell.ID)
	if err != nil {
		return err
	}
	if err := c.connect(stay); err != nil {
		return err
	}
	c.add(g)
	g.Add("debug log", func(ctx context.Context) error { return debug.ship(ctx, hubSink{b.hub}) })
	g.Add("start", func(ctx context.Context) error {
		if b.waitForCell(ctx, cfg.Cell.ID) {
			r := b.ready()
			r.Roles = "brain and cell"
			tellReady(ready, r, log)
		}
		<-ctx.Done()
		return nil
	})
	return g.Run(c.evacuating(ctx), grace)
}

// A Crowd tells of cells that are there without gossiping, and gives a channel
// that is closed when that changes. It is for benchmarks: a machine can't carry
// a thousand members of a gossip beside what is measured.
type Crowd func() ([]app.Cell, <-chan struct{})

// Brain runs a brain until ctx is done. It calls ready when it answers.
func Brain(ctx context.Context, cfg config.BrainConfig, version string, log *slog.Logger, ready func(Ready)) error {
	return BrainAmong(ctx, nil, cfg, version, log, ready)
}

// BrainAmong is Brain with a crowd.
func BrainAmong(ctx context.Context, crowd Crowd, cfg config.BrainConfig, version string, log *slog.Logger, ready func(Ready)) error {
	g, release, err := begin(cfg.Common, log)
	if err != nil {
		return err
	}
	defer release()
	debug, log := newDebugLog("brain", log)
	b, err := openBrain(cfg, "", version, log)
	if err != nil {
		return err
	}
	b.crowd = crowd
	defer b.close()
	members, err := b.gossip(nil)
	if err != nil {
		return err
	}
	b.add(g, members)
	g.Add("debug log", func(ctx context.Context) error { return debug.ship(ctx, hubSink{b.hub}) })
	g.Add("start", func(ctx context.Context) error {
		tellReady(ready, b.ready(), log)
		<-ctx.Done()
		return nil
	})
	return g.Run(ctx, grace)
}

// Cell runs a cell until ctx is done. It calls ready when the brain gave it
// its work for the first time, or when it goes on with what it had.
func Cell(ctx context.Context, cfg config.CellConfig, version string, log *slog.Logger, ready func(Ready)) error {
	g, release, err := begin(cfg.Common, log)
	if err != nil {
		return err
	}
	defer release()
	debug, log := newDebugLog(cfg.ID, log)
	sockets, err := systemd.Inherit()
	if err != nil {
		return err
	}
	c := newCell(cfg, version, log)
	defer c.close()
	if err := c.open(ctx); err != nil {
		return err
	}
	stay, err := c.join(ctx)
	if err != nil {
		return err
	}
	if err := c.openGateway(sockets, stay.known().Domain); err != nil {
		return err
	}
	if err := sockets.Release(); err != nil {
		return err
	}
	members, err := c.gossip(stay.known())
	if err != nil {
		return err
	}
	g.Add("gossip", members.Run)
	c.members = members
	if err := c.connect(stay); err != nil {
		return err
	}
	g.Add("membership", func(ctx context.Context) error { return c.follow(ctx, members) })
	c.add(g)
	g.Add("debug log", func(ctx context.Context) error { return debug.ship(ctx, sink{c.client, cfg.ID}) })
	g.Add("start", func(ctx context.Context) error {
		r := Ready{Roles: "cell " + cfg.ID, Address: cfg.Advertise, DataDir: cfg.DataDir, Domain: stay.known().Domain}
		if c.gateway != nil {
			r.Roles, r.Note = r.Roles+" and router", c.gateway.note
		}
		tellReady(ready, r, log)
		<-ctx.Done()
		return nil
	})
	return g.Run(c.evacuating(ctx), grace)
}

// tellReady tells the caller and systemd.
func tellReady(ready func(Ready), r Ready, log *slog.Logger) {
	r.Service = systemd.Watched()
	ready(r)
	if err := systemd.Ready(); err != nil {
		log.Error("systemd does not know that lattice is ready", "err", err)
	}
}

// begin claims the data folder, until release is called, and returns the group
// for the parts of the process.
func begin(c config.Common, log *slog.Logger) (g *run.Group, release func(), err error) {
	if release, err = claim(c); err != nil {
		return nil, nil, err
	}
	g = &run.Group{Log: log}
	g.Add("memory", trimMemory)
	return g, release, nil
}

// saveFile replaces the file at path, for its owner only; it is only ever seen whole.
func saveFile(path string, data []byte) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*") // 0600
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err = errors.Join(err, f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("save %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}
