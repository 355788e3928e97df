package cells

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime"
	"slices"
	"sync"
	"time"

	"lattice/app"
)

// Brain is what an Agent needs from the brain.
type Brain interface {
	// Work calls fn with the whole work of the cell, at once and at each
	// change, until ctx is done, the connection breaks or fn fails.
	Work(ctx context.Context, cell string, fn func(app.Work) error) error
	// Report hands over all that the cell runs.
	Report(ctx context.Context, r app.Report) error
}

// Config of an Agent. All fields are needed but Event and LogEnd.
type Config struct {
	ID      string // of the cell
	Host    string // at which other machines reach the host ports
	Dir     string // for the agent's records
	Runtime Runtime
	Network Network
	Brain   Brain
	Volumes Volumes
	// Event, when not nil, takes a line for the log of an instance: source is
	// CELL or HEALTH, stream the placement.
	Event func(stream, name string, index int, source, text string)
	// LogEnd, when not nil, returns the Seq of the last line of a container
	// that was removed, 0 if that is unknown.
	LogEnd func(guid string) uint64
	// Images, when not nil, is where images are deleted that nothing needs: those
	// unused for ImageAge, and others while DiskFull says so.
	Images   Images
	ImageAge time.Duration
	DiskFull func() bool
	// Vitals, when not nil, returns how the host is. It must be quick.
	Vitals func() app.Vitals
	// Changed, when not nil, is called when Instances may return something else,
	// for the first time when that is all that runs here. It must be quick.
	Changed func()
	Log     *slog.Logger
}

const (
	usageEvery = 5 * time.Second
	firstRetry = 100 * time.Millisecond // after the brain did not answer; doubles
	lastRetry  = 3 * time.Second
)

// An Agent runs the instances of one cell.
type Agent struct {
	cfg     Config
	records records
	probes  *prober
	starts  chan struct{} // holds a token for each container being started
	patient chan struct{} // holds one for each of these that is likely to fail
	walks   chan struct{} // holds one for each container whose files are being counted

	dirty chan struct{} // something to report

	prunes chan app.PruneOrder

	mu        sync.Mutex           // guards what follows
	instances map[string]*instance // by placement
	failing   map[string]uint64    // by app: the revision of which the last start failed
	images    []string             // that are here, the last used last
	domain    string
	running   sync.WaitGroup // one for each instance
	pruned    time.Time      // At of the last PruneOrder

	shelf *shelf
}

// New returns an Agent. It touches nothing before Run.
func New(cfg Config) *Agent {
	return &Agent{
		cfg: cfg, records: records{cfg.Dir}, probes: newProber(cfg.Runtime),
		starts: make(chan struct{}, 2*runtime.NumCPU()), patient: make(chan struct{}, 1), walks: make(chan struct{}, diskAtOnce), dirty: make(chan struct{}, 1), prunes: make(chan app.PruneOrder, 1),
		instances: map[string]*instance{}, failing: map[string]uint64{}, shelf: newShelf(),
	}
}

// Run takes over what runs already, then follows the brain until ctx is done.
// Containers go on running after that.
func (a *Agent) Run(ctx context.Context) error {
	if err := a.recover(ctx); err != nil {
		return err
	}
	if err := a.cfg.Volumes.Sweep(); err != nil {
		a.cfg.Log.Warn("a volume is still mounted", "err", err)
	}
	var loops sync.WaitGroup
	loops.Go(func() { a.follow(ctx) })
	loops.Go(func() { a.report(ctx) })
	loops.Go(func() { a.measure(ctx) })
	loops.Go(func() { a.keepVolumes(ctx) })
	loops.Go(func() { a.collect(ctx) })
	loops.Wait()
	a.running.Wait()
	return nil
}

// recover takes over the containers whose records are on disk and removes the
// others, which a crash has left half made or half removed.
func (a *Agent) recover(ctx context.Context) error {
	recs, err := a.records.load()
	if err != nil {
		a.cfg.Log.Error("some instances can't be taken over; their containers are kept until the files are mended or deleted", "err", err)
	}
	damaged := err != nil
	found, err := a.cfg.Runtime.List(ctx)
	if err != nil {
		return fmt.Errorf("take over containers: %w", err)
	}
	known := map[string]bool{}
	for _, rec := range recs {
		known[rec.GUID] = true
	}
	for _, c := range found {
		if !known[c.GUID] && !damaged {
			a.cfg.Log.Warn("removing a container without a record", "app", c.App, "instance", c.Index, "guid", c.GUID)
			if err := a.cfg.Runtime.Remove(ctx, c.GUID); err != nil {
				a.cfg.Log.Error("container not removed", "guid", c.GUID, "err", err)
			}
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, rec := range recs {
		i := slices.IndexFunc(found, func(c Container) bool { return c.GUID == rec.GUID })
		if i < 0 {
			rec.GUID, rec.HealthyAt = "", time.Time{}
		} else {
			a.holdVolumes(rec.Assignment)
			a.noteImage(rec.Assignment.App.Pulled())
		}
		a.add(ctx, newInstance(a, rec))
	}
	a.changed()
	return nil
}

// add starts to lead an instance. The caller holds a.mu.
func (a *Agent) add(life context.Context, in *instance) {
	var ctx context.Context
	ctx, in.cancel = context.WithCancelCause(life)
	a.instances[in.view.ID] = in
	a.running.Go(func() { in.run(life, ctx) })
}

// takeTurn waits until a container may be started; done says that it was. Those
// that will most likely fail, which doubtful tells, are started one at a time: a
// thousand that crash and crash again must leave the machine to the others.
func (a *Agent) takeTurn(ctx context.Context, doubtful func() bool) (done func(), err error) {
	lanes := []chan struct{}{a.starts}
	if doubtful() {
		lanes = []chan struct{}{a.patient, a.starts}
	}
	for i, lane := range lanes {
		select {
		case lane <- struct{}{}:
		case <-ctx.Done():
			release(lanes[:i])
			return nil, ctx.Err()
		}
	}
	if len(lanes) == 1 && doubtful() { // others have shown it while this one waited
		release(lanes)
		return a.takeTurn(ctx, doubtful)
	}
	return func() { release(lanes) }, nil
}

func release(lanes []chan struct{}) {
	for _, lane := range lanes {
		<-lane
	}
}

// started notes how a start of an app went: the next ones of the same revision
// will most likely go the same way.
func (a *Agent) started(of app.App, err error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err != nil {
		a.failing[of.Name] = of.Revision
	} else {
		delete(a.failing, of.Name)
	}
}

// doubts reports whether the last start of the app, as it is now, failed.
func (a *Agent) doubts(of app.App) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	revision, ok := a.failing[of.Name]
	return ok && revision == of.Revision
}

// forget takes an instance that has ended off the list.
func (a *Agent) forget(in *instance) {
	a.mu.Lock()
	delete(a.instances, in.view.ID)
	delete(a.failing, in.view.App)
	a.mu.Unlock()
	a.releaseVolumes(in.view.ID)
	a.changed()
}

// follow keeps listening to the brain.
func (a *Agent) follow(ctx context.Context) {
	wait := retry{first: firstRetry, last: lastRetry}
	level := slog.LevelWarn
	for ctx.Err() == nil {
		err := a.cfg.Brain.Work(ctx, a.cfg.ID, func(w app.Work) error {
			wait.reset()
			level = slog.LevelWarn
			a.reconcile(ctx, w)
			return nil
		})
		if ctx.Err() == nil {
			a.cfg.Log.Log(ctx, level, "lost the brain, going on without it", "err", err)
			level = slog.LevelDebug // it may take long
			a.changed()             // a brain that comes back has to be told everything again
			wait.sleep(ctx)
		}
	}
}

// reconcile compares the brain's wish with what there is.
func (a *Agent) reconcile(ctx context.Context, w app.Work) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.domain = w.Domain
	a.shelf.setDrop(w.DropVolumes)
	a.prune(w.Prune)
	wanted := make(map[string]bool, len(w.Assigned))
	for _, as := range slices.Concat(w.Assigned, w.Tasks) {
		wanted[as.ID] = true
		if in, ok := a.instances[as.ID]; ok {
			in.assign(w.Store, as)
			continue
		}
		in := newInstance(a, record{Store: w.Store, Assignment: as})
		in.fresh = true
		a.add(ctx, in)
	}
	for id, in := range a.instances {
		if in.claim(w.Store) && !wanted[id] || slices.Contains(w.Discard, id) || in.outdated(time.Now()) {
			in.cancel(errUnwanted)
		}
	}
	a.changed()
}

// measure keeps the resource figures of running instances fresh.
func (a *Agent) measure(ctx context.Context) {
	tick := time.NewTicker(usageEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		a.mu.Lock()
		all := make([]*instance, 0, len(a.instances))
		for _, in := range a.instances {
			all = append(all, in)
		}
		a.mu.Unlock()
		for _, in := range all {
			in.measure(ctx)
		}
	}
}

// errUnwanted is the cause of the end of an instance that shall stop.
var errUnwanted = errors.New("no longer wanted")

// domainNow returns the cluster's domain, as the brain last told it.
func (a *Agent) domainNow() string {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.domain
}
