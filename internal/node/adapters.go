package node

import (
	"context"
	"crypto/tls"
	"log/slog"
	"net"

	"lattice/api"
	"lattice/app"
	"lattice/cluster"
	"lattice/internal/config"
	"lattice/internal/pki"
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
	}
	return st, err
}

func (s shownApps) Statuses() []app.Status {
	sts := s.Scheduler.Statuses()
	for i := range sts {
		sts[i].URLs = router.URLs(sts[i], s.b.cfg.Domain, s.b.routerURL())
	}
	return sts
}

// Create also lets go of the log of a former app of that name.
func (s shownApps) Create(ctx context.Context, a app.App) (app.App, error) {
	a, err := s.Scheduler.Create(ctx, a)
	if err == nil {
		s.b.hub.Forget(a.Name)
	}
	return a, err
}

// joinable is api.Cells: the scheduler's cells, and the way in for new ones.
type joinable struct {
	*scheduler.Scheduler
	b *brain
}

func (j joinable) Join(r api.JoinRequest) (api.JoinReply, error) {
	if r.Cell == "" {
		return api.JoinReply{}, app.Invalid("a cell needs an ID to join")
	}
	for _, c := range j.Cells() {
		if c.ID == r.Cell && c.State == app.CellAlive {
			j.b.log.Warn("a cell joins under the ID of one that is alive; if it is not the same one restarted, give it another --cell-id", "cell", r.Cell)
		}
	}
	reply := api.JoinReply{Cluster: j.b.store.ID(), GossipKey: j.b.secrets.GossipKey(), Gossip: []string{j.b.members.Addr()}, Domain: j.b.cfg.Domain}
	for _, m := range j.b.members.Members() {
		if m.Address != reply.Gossip[0] && len(reply.Gossip) < 5 {
			reply.Gossip = append(reply.Gossip, m.Address)
		}
	}
	return reply, nil
}

// roles is api.Auth.
type roles struct{ secrets *pki.Secrets }

func (r roles) Role(token string) (api.Role, bool) {
	switch r.secrets.Role(token) {
	case pki.RoleAdmin:
		return api.RoleUser, true
	case pki.RoleJoin:
		return api.RoleCell, true
	}
	return "", false
}

// describe fills in what a cell tells the others of itself.
func describe(m *cluster.Meta, c config.CellConfig) {
	m.Cell, m.Zone, m.Labels = c.ID, c.Zone, c.Labels
	m.Capacity = app.Resources{MemoryMB: c.MemoryMB, DiskMB: c.DiskMB, Containers: c.MaxContainers}
}

func openGossip(cfg config.Common, name string, key []byte, label string, meta cluster.Meta, log *slog.Logger) (*cluster.Cluster, error) {
	peers := peersFile{cfg.DataDir}
	return cluster.New(cluster.Config{
		Name: name, Bind: cfg.Gossip, Advertise: cfg.Advertise, Key: key, Label: label, Meta: meta,
		Log: log.With("part", "gossip"), Peers: peers.load(log), SavePeers: peers.save,
	})
}

func tlsListener(ln net.Listener, cfg *tls.Config) net.Listener { return tls.NewListener(ln, cfg) }
