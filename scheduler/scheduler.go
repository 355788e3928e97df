package scheduler

import (
	"cmp"
	"context"
	"log/slog"
	"maps"
	"sync"
	"time"

	"lattice/app"
)

// Store is what a Scheduler needs from the store. Commit is all or nothing
// and returns when the change is on disk.
type Store interface {
	ID() string
	Load() (app.Desired, error)
	Commit(app.Change) error
}

// Members tells who is there: the cells that gossip knows now, and a channel
// that is closed when that changes. Cells that are gone are left out.
type Members func() (cells []app.Cell, changed <-chan struct{})

// Config of a Scheduler. All fields are needed but Open, Emit and Gone.
type Config struct {
	Store   Store
	Members Members
	Domain  string        // of the cluster
	Grace   time.Duration // how long after our start a cell that has instances may take to be there
	Choose  Options       // how to choose cells

	Rebalance bool // move instances to a cell that has come, one at a time
	// Open returns how many requests an instance is serving that was taken out
	// of the routes at that time; one at least while a router may not know. Nil: none.
	Open func(in app.Instance, out time.Time) int
	// Emit takes note of what happens, at once. Nil: nobody does.
	Emit func(app.Event)
	// Gone is called when a task is forgotten. Nil: nobody cares.
	Gone func(task string)
	Log  *slog.Logger

	// TCP routes that name no port get one from First to Last. Reserved says
	// what has ports that no route can have. Nil: nothing.
	FirstTCPPort, LastTCPPort int
	Reserved                  func() map[int]string
}

// safetyTick is how often the loop plans though nobody asked for it.
const safetyTick = 10 * time.Second

// tryAgain is the shortest time before what is due and could not be written is
// tried again by itself.
const tryAgain = time.Second

// A Scheduler holds desired state and what is observed, and makes them meet.
// All methods may be called concurrently; what they return is the caller's,
// though it must not change what pointers and maps in it lead to.
type Scheduler struct {
	cfg     Config
	started time.Time
	poke    chan struct{} // something changed that may need a plan

	write   sync.Mutex // held over a plan, a write to the store and the update of what mu guards; taken before mu
	planner *Planner   // write guards it

	mu         sync.Mutex // guards what follows; never held over a write
	apps       map[string]app.App
	revisions  map[app.RevisionKey]app.Revision
	specs      map[app.RevisionKey]*app.App // of revisions; written with write held too, so that a plan may read it
	orders     map[string]app.CellOrder     // by cell
	placements map[string]app.Placement     // by ID
	retired    map[string]time.Time         // placements that are out of the router, since when
	refused    map[slot]refusal
	book       book
	tasks      taskBook
	features   []app.Feature   // by name
	prune      *app.PruneOrder // for all cells; nil: none since the start
	balance    balance
	volumes    map[string]app.StoredVolume // by ID
	reports    map[string]app.Report       // by cell, instances in order
	discard    map[string]map[string]bool  // strays to be stopped, by cell and ID
	seen       map[string]app.Cell         // last heard of, also when gone
	revision   uint64                      // of Work
	changed    chan struct{}               // closed at the next change
	work       map[string]chan struct{}    // by cell; closed at the next change of its work

	told   map[string]refusedApp // by app
	teller teller
	crowd  crowd
}

// slot names one instance of one app.
type slot struct {
	app   string
	index int
}

// New returns a Scheduler with what the store holds. It plans nothing before Run.
func New(cfg Config) (*Scheduler, error) {
	desired, err := cfg.Store.Load()
	if err != nil {
		return nil, err
	}
	if cfg.Open == nil {
		cfg.Open = func(app.Instance, time.Time) int { return 0 }
	}
	if cfg.Gone == nil {
		cfg.Gone = func(string) {}
	}
	if cfg.Reserved == nil {
		cfg.Reserved = func() map[int]string { return nil }
	}
	if cfg.Emit == nil {
		cfg.Emit = func(app.Event) {}
	}
	s := &Scheduler{
		cfg: cfg, started: time.Now(), poke: make(chan struct{}, 1), changed: make(chan struct{}),
		apps: map[string]app.App{}, revisions: map[app.RevisionKey]app.Revision{}, specs: map[app.RevisionKey]*app.App{},
		orders: map[string]app.CellOrder{}, placements: map[string]app.Placement{}, retired: map[string]time.Time{},
		refused: map[slot]refusal{}, reports: map[string]app.Report{}, discard: map[string]map[string]bool{},
		volumes: map[string]app.StoredVolume{}, seen: map[string]app.Cell{}, told: map[string]refusedApp{}, teller: teller{map[string]time.Time{}}, work: map[string]chan struct{}{},
		tasks: newTaskBook(), book: newBook(), balance: balance{moving: map[string]bool{}}, features: app.Features(),
	}
	s.planner = NewPlanner(cfg.Choose, s.specs)
	s.adopt(app.Change{PutApps: desired.Apps, PutPlacements: desired.Placements, PutRevisions: desired.Revisions, PutOrders: desired.Orders,
		PutTasks: desired.Tasks, PutSchedules: desired.Schedules, PutVolumes: desired.Volumes, PutFeatures: desired.Features})
	return s, nil
}

// Run plans whenever something changed, until ctx is done. A round that fails
// is logged, and the next one starts from fresh facts.
func (s *Scheduler) Run(ctx context.Context) error {
	tick := time.NewTicker(safetyTick)
	defer tick.Stop()
	for {
		start := time.Now()
		cells, moved := s.cfg.Members()
		least := lookAgain
		if err := s.round(cells); err != nil {
			least = tryAgain
			s.cfg.Log.Error("placements not written, will try again", "err", err)
		}
		rest(ctx, time.Since(start))
		select {
		case <-ctx.Done():
			return nil
		case <-s.poke:
		case <-moved:
		case <-s.due(start, least):
		case <-tick.C:
		}
	}
}

// rest keeps rounds from taking more than a fifth of a core. What comes meanwhile
// is for one next round.
func rest(ctx context.Context, took time.Duration) {
	if took < time.Millisecond {
		return
	}
	select {
	case <-ctx.Done():
	case <-time.After(min(4*took, time.Second)):
	}
}

// due fires when time alone changes the facts: when cells that were never met
// have used up their grace, a retired instance may have become idle, or it is time
// for a task; least is the shortest wait for that. start is when the last round
// began.
func (s *Scheduler) due(start time.Time, least time.Duration) <-chan time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.retired) > 0 {
		return time.After(lookAgain)
	}
	var wait time.Duration // 0: for ever
	if graceEnds := s.started.Add(s.cfg.Grace); start.Before(graceEnds) {
		wait = max(time.Until(graceEnds), time.Millisecond)
	}
	if now := time.Now(); !s.taskDue(now).IsZero() {
		left := max(s.taskDue(now).Sub(now), least)
		wait = cmp.Or(min(wait, left), left)
	}
	if wait == 0 {
		return nil
	}
	return time.After(wait)
}

// round plans once and writes what came of it.
func (s *Scheduler) round(cells []app.Cell) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.settleTasks(cells, time.Now()); err != nil {
		return err
	}
	if err := s.settleVolumes(); err != nil {
		return err
	}
	now, tasks := s.refresh(cells, time.Now())
	d := s.planner.Plan(tasks)
	var c app.Change
	placed := s.placeTasks(&c, d.Tasks, time.Now())
	placed = append(placed, s.makeAllVolumes(&c, d.Start)...)
	for _, p := range d.Stop {
		c.DeletePlacements = append(c.DeletePlacements, p.ID)
		s.cfg.Log.Info("instance no longer placed", "app", p.App, "instance", p.Index, "cell", p.Cell)
	}
	for i, p := range d.Start {
		p.ID, p.At = app.NewGUID(), time.Now().UTC()
		d.Start[i] = p
		c.PutPlacements = append(c.PutPlacements, p)
		s.cfg.Log.Info("instance placed", "app", p.App, "instance", p.Index, "cell", p.Cell)
	}
	for _, t := range d.Rollouts {
		s.cfg.Log.Info("rollout changed", "app", t.App, "state", t.State, "reason", t.Reason)
		c.PutApps = append(c.PutApps, s.turned(t))
	}
	if err := s.commit(c); err != nil {
		return err
	}
	s.tellPlan(d, now)
	s.tellTasks(placed)
	s.observe(d.Refused, d.Retired)
	if len(d.Rollouts)+len(d.Stop) > 0 {
		s.plan() // there may be more to do now
	}
	return s.rebalance(now)
}

// commit writes c and then shows it. The caller holds s.write.
func (s *Scheduler) commit(c app.Change) error {
	if c.Empty() {
		return nil
	}
	s.hold(c)
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
	for _, name := range c.DeleteApps {
		delete(s.apps, name)
		s.touch(name)
		maps.DeleteFunc(s.revisions, func(k app.RevisionKey, _ app.Revision) bool { return k.App == name })
		maps.DeleteFunc(s.specs, func(k app.RevisionKey, _ *app.App) bool { return k.App == name })
	}
	for _, k := range c.DeleteRevisions {
		delete(s.revisions, k)
		delete(s.specs, k)
	}
	for _, a := range c.PutApps {
		s.apps[a.Name] = a
		s.touch(a.Name)
		for p := range s.placementsOf(a.Name) {
			s.announceWork(p.Cell) // it keeps the app as it is now
		}
	}
	for _, r := range c.PutRevisions {
		k := app.RevisionKey{App: r.App.Name, Number: r.App.Revision}
		s.revisions[k] = r
		s.specs[k] = &r.App
	}
	s.adoptPlacements(c)
	s.adoptTasks(c)
	s.adoptVolumes(c)
	for _, cell := range c.DeleteOrders {
		delete(s.orders, cell)
	}
	for _, o := range c.PutOrders {
		s.orders[o.Cell] = o
	}
	s.features = putFeatures(s.features, c.PutFeatures)
	s.revision++
	s.announce()
}

func (s *Scheduler) adoptPlacements(c app.Change) {
	for _, p := range c.PutPlacements {
		s.place(p)
		delete(s.refused, slot{p.App, p.Index})
		s.announceWork(p.Cell)
	}
	for _, id := range c.DeletePlacements {
		s.announceWork(s.placements[id].Cell)
		s.unplace(id)
		delete(s.retired, id)
	}
}

// observe takes over what a plan found out and needs no writing: the instances
// that fit nowhere, and those that shall be out of the router.
func (s *Scheduler) observe(refused []Refusal, retired []app.Placement) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tellRefused(refused, time.Now())
	why, tasks := make(map[slot]refusal, len(refused)), map[string]string{}
	for _, r := range refused {
		if r.Task != "" {
			tasks[r.Task] = r.Reason
			s.tellTaskRefused(r)
			continue
		}
		why[slot{r.App, r.Index}] = refusal{r.Waits, r.Reason}
	}
	out := make(map[string]time.Time, len(retired))
	for _, p := range retired {
		if out[p.ID] = time.Now(); !s.retired[p.ID].IsZero() {
			out[p.ID] = s.retired[p.ID]
		}
	}
	s.touchRetired(out)
	if !maps.Equal(why, s.refused) || !maps.Equal(out, s.retired) || !maps.Equal(tasks, s.tasks.refused) {
		s.refused, s.retired, s.tasks.refused = why, out, tasks
		s.announce()
	}
}

// touchRetired touches the apps of what has come to be retired, or is no more. The
// caller holds s.mu.
func (s *Scheduler) touchRetired(out map[string]time.Time) {
	for id := range out {
		if s.retired[id].IsZero() {
			s.touch(s.placements[id].App)
		}
	}
	for id := range s.retired {
		if out[id].IsZero() {
			s.touch(s.placements[id].App)
		}
	}
}

// announce wakes everybody who waits for a change. The caller holds s.mu.
func (s *Scheduler) announce() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// announceWork wakes the cell, of which what it shall run is not as it was. The caller holds s.mu.
func (s *Scheduler) announceWork(cell string) {
	s.stir(cell)
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
