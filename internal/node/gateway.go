package node

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"sync"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/internal/run"
	"lattice/internal/systemd"
	"lattice/router"
)

const (
	tellEvery    = 5 * time.Second        // counts, to the brain
	tellLeaving  = 100 * time.Millisecond // the same while instances are on their way out
	saveEvery    = 200 * time.Millisecond // the table, to the disk
	gatewayRetry = 100 * time.Millisecond // after the brain was lost; doubles
	gatewayLate  = 3 * time.Second
)

// A gateway keeps the router of a cell up to date: by what the brain tells, by
// what it told before while it is away, and by what the cell itself knows of its
// own instances.
type gateway struct {
	front
	id     string // of the cell
	dir    string // keeps the table, certificates and their keys
	client *api.Client
	lines  *lineQueue
	own    ownCertificate

	known   chan struct{} // has one when the cell's instances have changed
	stale   chan struct{} // has one when the table on disk is not that of now
	telling chan struct{} // has one when the brain is to be told something

	mu      sync.Mutex // guards what follows
	domain  string
	routes  *router.Builder
	apps    map[string]app.Routed // as the brain told
	here    map[string]app.Instance
	taken   bool   // here is what the cell has; before, the brain's word counts
	version uint64 // of the last Routing that the router goes by
	ready   bool   // settled is closed
}

// openGateway binds the ports of the cell's router and takes up what it had
// before. Nothing of it needs the brain.
func (c *cell) openGateway(sockets *systemd.Sockets, domain string) error {
	if c.cfg.Router == nil {
		return nil
	}
	log := c.log.With("part", "router")
	g := &gateway{
		front: newFront(*c.cfg.Router, c.cfg.ID, c.log), id: c.cfg.ID, dir: c.dir("router"),
		known: make(chan struct{}, 1), stale: make(chan struct{}, 1), telling: make(chan struct{}, 1),
		domain: domain, apps: map[string]app.Routed{},
	}
	c.gateway = g
	g.lines, g.own = newLineQueue(), ownCertificate{path: filepath.Join(g.dir, "certificate.json"), log: log}
	if err := g.listen(sockets); err != nil {
		return err
	}
	if err := g.own.load(); err != nil {
		return err
	}
	if err := g.open(g.dir, g.own.certificate, g.lines); err != nil {
		return err
	}
	g.routes = router.NewBuilder(domain, g.local)
	return g.load(log)
}

// connectGateway gives the router its way to the brain.
func (c *cell) connectGateway() {
	if c.gateway != nil {
		c.gateway.client = c.client
	}
}

// add adds the router's parts to the group.
func (g *gateway) add(group *run.Group, instances func() []app.Instance) {
	group.Add("routes of the brain", g.follow)
	group.Add("routes of the cell", func(ctx context.Context) error { return g.watch(ctx, instances) })
	group.Add("routes on disk", g.keep)
	group.Add("report of the router", g.tell)
	group.Add("log of the router", func(ctx context.Context) error { return g.lines.ship(ctx, sink{g.client, g.id}) })
	if g.https.ln != nil {
		group.Add("certificate for apps", g.renew)
	}
	g.front.add(group, func() map[string]app.RouterCounts { return map[string]app.RouterCounts{"": g.counts()} })
}

// follow goes by what the brain tells, until ctx is done.
func (g *gateway) follow(ctx context.Context) error {
	log, wait := g.log.With("part", "router"), gatewayRetry
	level := slog.LevelWarn
	for {
		err := g.client.Routing(ctx, g.id, func(r app.Routing) error {
			wait, level = gatewayRetry, slog.LevelWarn
			g.take(r)
			return nil
		})
		if ctx.Err() != nil {
			return nil
		}
		log.Log(ctx, level, "lost the brain, going on with the routes of before", "err", err)
		level = slog.LevelDebug // it may take long
		if !pause(ctx, wait/2+rand.N(wait)) {
			return nil
		}
		wait = min(2*wait, gatewayLate)
	}
}

// take makes the table what the brain tells.
func (g *gateway) take(r app.Routing) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if r.Whole {
		g.moveTo(r.Domain)
		keep := map[string]bool{}
		for _, a := range r.Apps {
			keep[a.Name] = true
		}
		for name := range g.apps {
			if !keep[name] {
				r.Gone = append(r.Gone, name)
			}
		}
	}
	for _, a := range r.Apps {
		g.apps[a.Name] = a
		g.set(a)
	}
	for _, name := range r.Gone {
		delete(g.apps, name)
		g.routes.Remove(name)
		g.ports.Remove(name)
	}
	g.version = r.Version
	g.swap()
	nudge(g.stale)
}

// moveTo makes the table anew if the apps have another domain. The caller holds
// g.mu and sets the apps again.
func (g *gateway) moveTo(domain string) {
	if domain != g.domain {
		g.domain, g.routes = domain, router.NewBuilder(domain, g.local)
	}
}

// set puts an app into the table that swap brings. The caller holds g.mu.
func (g *gateway) set(a app.Routed) {
	if g.taken {
		a = a.Here(g.id, g.here)
	}
	s := a.Status()
	g.routes.Set(&s)
	g.ports.Set(&s)
}

// swap lets the router go by what was set. The caller holds g.mu.
func (g *gateway) swap() {
	g.router.Swap(g.routes.Table())
	if !g.ready {
		g.ready = true
		close(g.settled)
	}
	nudge(g.telling)
}

// nudge puts something into a channel that has room for one thing to do.
func nudge(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default: // it is to be done already
	}
}

// watch goes by what the cell knows of its own instances, before the brain tells
// it and while that is away.
func (g *gateway) watch(ctx context.Context, instances func() []app.Instance) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-g.known:
		}
		g.see(instances())
	}
}

func (g *gateway) see(all []app.Instance) {
	here, changed := make(map[string]app.Instance, len(all)), map[string]bool{}
	for _, in := range all {
		here[in.ID] = in
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	for id, in := range here {
		if !reflect.DeepEqual(app.Status{Instances: []app.Instance{in}}.Routed(), app.Status{Instances: []app.Instance{g.here[id]}}.Routed()) {
			changed[in.App] = true
		}
	}
	for id, in := range g.here {
		if _, ok := here[id]; !ok {
			changed[in.App] = true
		}
	}
	first := !g.taken
	g.here, g.taken = here, true
	for name, a := range g.apps {
		if first || changed[name] {
			g.set(a)
		}
	}
	if len(g.apps) > 0 {
		g.swap()
	}
}

// tell reports to the brain: at once which table the router goes by, soon how
// instances become idle that are on their way out, and now and then all counts.
func (g *gateway) tell(ctx context.Context) error {
	tick := time.NewTicker(tellEvery)
	defer tick.Stop()
	var leaving <-chan time.Time
	for {
		full := false
		select {
		case <-ctx.Done():
			return nil
		case <-g.telling:
		case <-leaving:
		case <-tick.C:
			full = true
		}
		report := g.report(full)
		if err := g.client.ReportRouter(ctx, report); err != nil && ctx.Err() == nil {
			g.log.Debug("report of the router not delivered", "err", err)
		}
		if leaving = nil; len(report.Leaving) > 0 {
			leaving = time.After(tellLeaving)
		}
	}
}

func (g *gateway) report(full bool) app.RouterReport {
	g.mu.Lock()
	r := app.RouterReport{Cell: g.id, Version: g.version}
	g.mu.Unlock()
	r.Leaving = g.router.Leaving() // after the version: what left with it is there
	for instance, n := range g.ports.Leaving() {
		r.Leaving[instance] += n
	}
	if full {
		counts := router.Telling(g.counts())
		r.Counts = &counts
	}
	return r
}

// The file of the table.
func (g *gateway) file() string { return filepath.Join(g.dir, "table.json") }

// load takes up the table of a former process. Without one the router waits for
// the brain's word.
func (g *gateway) load(log *slog.Logger) error {
	data, err := os.ReadFile(g.file())
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read the routes of before: %w", err)
	}
	var was app.Routing
	if err := json.Unmarshal(data, &was); err != nil {
		log.Error("the routes of before can't be read, waiting for the brain's", "file", g.file(), "err", err)
		return nil
	}
	was.Version = 0 // it was another process that went by it
	g.take(was)
	log.Info("going by the routes of before until the brain tells", "apps", len(was.Apps))
	return nil
}

// keep writes the table to the disk whenever it has changed.
func (g *gateway) keep(ctx context.Context) error {
	failed := ""
	for {
		select {
		case <-ctx.Done():
			return g.save()
		case <-g.stale:
		}
		began := time.Now()
		err := g.save()
		if why := fmt.Sprint(err); err != nil && why != failed {
			g.log.Error("the router's table is not on disk: after a restart without the brain it would be an older one", "err", err)
		}
		if failed = fmt.Sprint(err); err != nil {
			nudge(g.stale)
		}
		_ = pause(ctx, max(saveEvery, 4*time.Since(began)))
	}
}

func (g *gateway) save() error {
	g.mu.Lock()
	was := app.Routing{Version: g.version, Whole: true, Domain: g.domain, Apps: slices.Collect(maps.Values(g.apps))}
	g.mu.Unlock()
	data, err := json.Marshal(was)
	if err != nil {
		return err
	}
	return saveFile(g.file(), data)
}
