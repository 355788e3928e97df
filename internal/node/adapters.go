package node

import (
	"context"
	"errors"
	"log/slog"

	"lattice/app"
	"lattice/cluster"
	"lattice/internal/config"
	"lattice/router"
	"lattice/scheduler"
)

// shownApps is api.Apps: the scheduler's apps with their URLs.
type shownApps struct {
	*scheduler.Scheduler
	b *brain
}

func (s shownApps) Status(name string) (app.Status, error) {
	st, err := s.Scheduler.Status(name)
	if err == nil {
		st.URLs = router.URLs(st, s.b.cfg.Domain, s.b.routerURL())
		st.TCP = s.b.tcpAddresses(st.App)
	}
	return st, err
}

func (s shownApps) Statuses() []app.Status {
	sts := s.Scheduler.Statuses()
	for i := range sts {
		sts[i].URLs = router.URLs(sts[i], s.b.cfg.Domain, s.b.routerURL())
		sts[i].TCP = s.b.tcpAddresses(sts[i].App)
	}
	return sts
}

// Create also chooses the bits of the image, and lets go of the log of a former
// app of that name.
func (s shownApps) Create(ctx context.Context, a app.App) (app.App, error) {
	a, undo, err := s.b.choose(ctx, ownsApp+a.Name, a)
	if err != nil {
		return a, err
	}
	if a, err = s.Scheduler.Create(ctx, a); err != nil {
		undo()
		return a, err
	}
	s.b.hub.Forget(a.Name)
	return a, nil
}

// Update chooses the bits of the image anew if it is another one, or pull is
// set, or it has a login now.
func (s shownApps) Update(ctx context.Context, a app.App, o app.RolloutOptions, pull bool) (app.App, error) {
	now, err := s.Scheduler.Status(a.Name)
	if err != nil {
		return a, err
	}
	undo, same := func() {}, a.Image == now.App.Image
	if pull || !same || app.LoginOf(ctx).Username != "" {
		if a, undo, err = s.b.choose(ctx, ownsApp+a.Name, a); err != nil {
			return a, err
		}
		if same && !pull {
			a.Digest = now.App.Digest
		}
	}
	if a, err = s.Scheduler.Update(ctx, a, o); err != nil {
		undo()
	}
	return a, err
}

// Remove also forgets what the app's images were pulled with.
func (s shownApps) Remove(ctx context.Context, name string, volumes bool) error {
	err := s.Scheduler.Remove(ctx, name, volumes)
	if err == nil {
		s.b.forgetLogins(ownsApp + name)
	}
	return err
}

// loggedTasks is api.Tasks: the scheduler's, whose logs begin with them.
type loggedTasks struct {
	*scheduler.Scheduler
	b *brain
}

// CreateTask also lets go of the log of a former app or task of that name.
func (s loggedTasks) CreateTask(ctx context.Context, t app.Task) (app.Task, error) {
	spec, undo, err := s.b.choose(ctx, ownsTask+t.Name, t.Spec)
	if err != nil {
		return t, err
	}
	t.Spec = spec
	if t, err = s.Scheduler.CreateTask(ctx, t); err != nil {
		undo()
		return t, err
	}
	s.b.hub.Forget(t.Name)
	return t, nil
}

// CreateSchedule chooses the bits once, for all its tasks.
func (s loggedTasks) CreateSchedule(ctx context.Context, x app.Schedule) (app.Schedule, error) {
	spec, undo, err := s.b.choose(ctx, ownsSchedule+x.Name, x.Task.Spec)
	if err != nil {
		return x, err
	}
	x.Task.Spec = spec
	if x, err = s.Scheduler.CreateSchedule(ctx, x); err != nil {
		undo()
	}
	return x, err
}

// RemoveSchedule also forgets what the image was pulled with.
func (s loggedTasks) RemoveSchedule(ctx context.Context, name string) error {
	err := s.Scheduler.RemoveSchedule(ctx, name)
	if err == nil {
		s.b.forgetLogins(ownsSchedule + name)
	}
	return err
}

// describe fills in what a cell tells the others of itself.
func describe(m *cluster.Meta, c config.CellConfig) {
	m.Cell, m.Zone, m.Labels, m.Router = c.ID, c.Zone, c.Labels, c.Router != nil
	m.Trusting = c.AllowPrivileged
	m.Capacity = app.Resources{MemoryMB: c.MemoryMB, DiskMB: c.DiskMB, Containers: c.MaxContainers, CPUMilli: 1000 * c.CPUs}
}

// openGossip takes the keys as cluster.SetKeys does.
func openGossip(cfg config.Common, name string, keys [][]byte, label string, meta cluster.Meta, log *slog.Logger) (*cluster.Cluster, error) {
	if len(keys) == 0 {
		return nil, app.Invalid("there is no gossip key: this node must join again")
	}
	peers := peersFile{cfg.DataDir}
	c, err := cluster.New(cluster.Config{
		Name: name, Bind: cfg.Gossip, Advertise: cfg.Advertise, Key: keys[0], Label: label, Meta: meta,
		Log: log.With("part", "gossip"), Peers: peers.load(log), SavePeers: peers.save,
	})
	if err != nil {
		return nil, err
	}
	if err := c.SetKeys(keys); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}
