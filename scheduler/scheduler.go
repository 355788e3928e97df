package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"lattice/app"
)

// Store is what a Scheduler needs from the store. Commit is all or nothing
// and returns when the change is on disk.
type Store interface {
	ID() string
	Load() ([]app.App, []app.Placement, error)
	Commit(app.Change) error
}

// Members tells who is there: the cells that gossip knows now, and a channel
// that is closed when that changes. Cells that are gone are left out.
type Members func() (cells []app.Cell, changed <-chan struct{})

// Config of a Scheduler. All fields are needed.
type Config struct {
	Store   Store
	Members Members
	Domain  string        // of the cluster
	Grace   time.Duration // how long after our start a cell that has instances may take to be there
	Log     *slog.Logger
}

// safetyTick is how often the loop plans though nobody asked for it.
const safetyTick = 10 * time.Second

// A Scheduler holds desired state and what is observed, and makes them meet.
// All methods may be called concurrently; what they return is the caller's.
type Scheduler struct {
	cfg     Config
	started time.Time
	poke    chan struct{} // something changed that may need a plan

	write sync.Mutex // held over a write to the store and the update of what mu guards; taken before mu

	mu         sync.Mutex // guards what follows; never held over a write
	apps       map[string]app.App
	placements map[string]app.Placement // by ID
	refused    map[slot]string
	reports    map[string][]app.Instance // by cell
	seen       map[string]app.Cell       // last heard of, also when gone
	revision   uint64                    // of Work
	changed    chan struct{}             // closed at the next change
	work       map[string]chan struct{}  // by cell; closed at the next change of its work
}

// New returns a Scheduler with what the store holds. It plans nothing before Run.
func New(cfg Config) (*Scheduler, error) {
	apps, placements, err := cfg.Store.Load()
	if err != nil {
		return nil, err
	}
	s := &Scheduler{
		cfg: cfg, started: time.Now(), poke: make(chan struct{}, 1), changed: make(chan struct{}),
		apps: map[string]app.App{}, placements: map[string]app.Placement{}, refused: map[slot]string{},
		reports: map[string][]app.Instance{}, seen: map[string]app.Cell{}, work: map[string]chan struct{}{},
	}
	s.adopt(app.Change{PutApps: apps, PutPlacements: placements})
	return s, nil
}

// Run plans whenever something changed, until ctx is done. A round that fails
// is logged, and the next one starts from fresh facts.
func (s *Scheduler) Run(ctx context.Context) error {
	tick := time.NewTicker(safetyTick)
	defer tick.Stop()
	for {
		cells, moved := s.cfg.Members()
		if err := s.round(cells); err != nil {
			s.cfg.Log.Error("placements not written, will try again", "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-s.poke:
		case <-moved:
		case <-s.expiry():
		case <-tick.C:
		}
	}
}

// expiry fires when the next absent cell has used up its grace.
func (s *Scheduler) expiry() <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if left := s.cfg.Grace - time.Since(s.started); left > 0 {
		return time.After(left)
	}
	return nil
}

// round plans once and writes what came of it.
func (s *Scheduler) round(cells []app.Cell) error {
	s.write.Lock()
	defer s.write.Unlock()
	apps, placements := s.facts(cells)
	d := Plan(apps, placements, s.withAbsent(cells, placements))
	var c app.Change
	for _, p := range d.Stop {
		c.DeletePlacements = append(c.DeletePlacements, p.ID)
		s.cfg.Log.Info("instance no longer placed", "app", p.App, "instance", p.Index, "cell", p.Cell)
	}
	for _, p := range d.Start {
		p.ID, p.At = app.NewGUID(), time.Now().UTC()
		c.PutPlacements = append(c.PutPlacements, p)
		s.cfg.Log.Info("instance placed", "app", p.App, "instance", p.Index, "cell", p.Cell)
	}
	if err := s.commit(c); err != nil {
		return err
	}
	s.refuse(d.Refused)
	return nil
}

// facts takes note of who is there and returns what to plan with.
func (s *Scheduler) facts(cells []app.Cell) ([]app.App, []app.Placement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	before := maps.Clone(s.seen)
	for id, c := range s.seen {
		c.State = app.CellDead
		s.seen[id] = c
	}
	for _, c := range cells {
		s.seen[c.ID] = c
	}
	s.forget(before)
	if !maps.EqualFunc(before, s.seen, sameCell) {
		s.announce()
	}
	return slices.Collect(maps.Values(s.apps)), slices.Collect(maps.Values(s.placements))
}

// sameCell compares what others can see of a cell.
func sameCell(a, b app.Cell) bool {
	return a.State == b.State && a.Capacity == b.Capacity && a.Address == b.Address && a.Zone == b.Zone &&
		a.Version == b.Version && maps.Equal(a.Labels, b.Labels)
}

// forget drops what cells reported that have just died, and dead cells that
// nothing is placed on.
func (s *Scheduler) forget(before map[string]app.Cell) {
	needed := map[string]bool{}
	for _, p := range s.placements {
		needed[p.Cell] = true
	}
	for id, c := range s.seen {
		if c.State == app.CellDead && before[id].State != app.CellDead {
			delete(s.reports, id)
		}
		if c.State == app.CellDead && !needed[id] {
			delete(s.seen, id)
		}
	}
}

// withAbsent adds the cells that have placements and are not there. One that
// this brain has met is dead. One that it has not may not have heard of our
// start yet: until the grace is over it counts as suspect.
func (s *Scheduler) withAbsent(cells []app.Cell, placements []app.Placement) []app.Cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	known := make(map[string]bool, len(cells))
	for _, c := range cells {
		known[c.ID] = true
	}
	all := slices.Clone(cells)
	for _, p := range placements {
		if known[p.Cell] {
			continue
		}
		known[p.Cell] = true
		c := app.Cell{ID: p.Cell, State: app.CellSuspect}
		if _, met := s.seen[p.Cell]; met || time.Since(s.started) >= s.cfg.Grace {
			c.State = app.CellDead
		}
		all = append(all, c)
	}
	return all
}

// commit writes c and then shows it. The caller holds s.write.
func (s *Scheduler) commit(c app.Change) error {
	if c.Empty() {
		return nil
	}
	if err := s.cfg.Store.Commit(c); err != nil {
		return err
	}
	s.adopt(c)
	return nil
}

// adopt makes c part of the state in memory.
func (s *Scheduler) adopt(c app.Change) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, a := range c.PutApps {
		s.apps[a.Name] = a
	}
	for _, name := range c.DeleteApps {
		delete(s.apps, name)
	}
	for _, p := range c.PutPlacements {
		s.placements[p.ID] = p
		delete(s.refused, slot{p.App, p.Index})
		s.announceWork(p.Cell)
	}
	for _, id := range c.DeletePlacements {
		s.announceWork(s.placements[id].Cell)
		delete(s.placements, id)
	}
	s.revision++
	s.announce()
}

// refuse replaces the list of instances that fit nowhere.
func (s *Scheduler) refuse(rs []Refusal) {
	s.mu.Lock()
	defer s.mu.Unlock()
	refused := make(map[slot]string, len(rs))
	for _, r := range rs {
		refused[slot{r.App, r.Index}] = r.Reason
	}
	if !maps.Equal(refused, s.refused) {
		s.refused = refused
		s.announce()
	}
}

// announce wakes everybody who waits for a change. The caller holds s.mu.
func (s *Scheduler) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// announceWork wakes the cell. The caller holds s.mu.
func (s *Scheduler) announceWork(cell string) {
	if ch, ok := s.work[cell]; ok {
		close(ch)
		delete(s.work, cell)
	}
}

// WorkChanged returns a channel that is closed at the next change of what Work
// returns for the cell. Take it before reading, then wait.
func (s *Scheduler) WorkChanged(cell string) <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.work[cell] == nil {
		s.work[cell] = make(chan struct{})
	}
	return s.work[cell]
}

// Changed returns a channel that is closed at the next change of anything a
// method of s returns. Take it before reading, then wait.
func (s *Scheduler) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// plan asks the loop for a round.
func (s *Scheduler) plan() {
	select {
	case s.poke <- struct{}{}:
	default: // one is asked for already
	}
}

// Create adds an app and returns it as stored. It is app.ErrExists when the
// name is taken. a must be valid.
func (s *Scheduler) Create(_ context.Context, a app.App) (app.App, error) {
	s.write.Lock()
	defer s.write.Unlock()
	if _, taken := s.app(a.Name); taken {
		return app.App{}, fmt.Errorf("app %q %w", a.Name, app.ErrExists)
	}
	a.Revision, a.CreatedAt = 1, time.Now().UTC()
	if err := s.commit(app.Change{PutApps: []app.App{a}}); err != nil {
		return app.App{}, err
	}
	s.plan()
	return a, nil
}

// Scale sets how many instances of an app there shall be and returns the app.
// It is app.ErrNotFound when there is none of that name.
func (s *Scheduler) Scale(_ context.Context, name string, instances int) (app.App, error) {
	s.write.Lock()
	defer s.write.Unlock()
	a, ok := s.app(name)
	if !ok {
		return app.App{}, fmt.Errorf("app %q %w", name, app.ErrNotFound)
	}
	a.Instances = instances
	if err := app.ValidInstances(instances); err != nil {
		return app.App{}, err
	}
	if err := s.commit(app.Change{PutApps: []app.App{a}}); err != nil {
		return app.App{}, err
	}
	s.plan()
	return a, nil
}

// Remove deletes an app; its instances are stopped afterwards. It is
// app.ErrNotFound when there is none of that name.
func (s *Scheduler) Remove(_ context.Context, name string) error {
	s.write.Lock()
	defer s.write.Unlock()
	if _, ok := s.app(name); !ok {
		return fmt.Errorf("app %q %w", name, app.ErrNotFound)
	}
	c := app.Change{DeleteApps: []string{name}}
	s.mu.Lock()
	for id, p := range s.placements {
		if p.App == name {
			c.DeletePlacements = append(c.DeletePlacements, id)
		}
	}
	s.mu.Unlock()
	if err := s.commit(c); err != nil {
		return err
	}
	s.plan()
	return nil
}

func (s *Scheduler) app(name string) (app.App, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.apps[name]
	return a, ok
}

// Report takes what a cell says it runs; it replaces the cell's last report.
func (s *Scheduler) Report(r app.Report) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.reports[r.Cell] = slices.SortedFunc(slices.Values(r.Instances), func(a, b app.Instance) int {
		return cmp.Or(strings.Compare(a.App, b.App), cmp.Compare(a.Index, b.Index), strings.Compare(a.ID, b.ID))
	})
	s.announce()
	return nil
}
