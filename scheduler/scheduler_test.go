package scheduler_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/app"
	"lattice/scheduler"
	"lattice/store"
	"lattice/store/storetest"
)

// gossip stands for cluster: a list of cells that a test changes.
type gossip struct {
	mu      sync.Mutex
	cells   []app.Cell
	changed chan struct{}
}

func newGossip(cs ...app.Cell) *gossip { return &gossip{cells: cs, changed: make(chan struct{})} }

func (g *gossip) get() ([]app.Cell, <-chan struct{}) {
	g.mu.Lock()
	defer g.mu.Unlock()
	return g.cells, g.changed
}

func (g *gossip) set(cs ...app.Cell) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.cells = cs
	close(g.changed)
	g.changed = make(chan struct{})
}

// start runs a Scheduler until the test ends.
func start(t *testing.T, s scheduler.Store, g *gossip, grace time.Duration) *scheduler.Scheduler {
	t.Helper()
	return startWith(t, scheduler.Config{Store: s, Members: g.get, Grace: grace})
}

func startWith(t *testing.T, cfg scheduler.Config) *scheduler.Scheduler {
	t.Helper()
	cfg.Domain, cfg.Log = "d.test", slog.New(slog.DiscardHandler)
	sch, err := scheduler.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- sch.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	return sch
}

// until waits for a condition on the scheduler's state.
func until(t *testing.T, s *scheduler.Scheduler, what string, ok func() bool) {
	t.Helper()
	limit := time.After(10 * time.Second)
	for {
		changed := s.Changed()
		if ok() {
			return
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("not within 10 s: %s; now %+v", what, s.Statuses())
		}
	}
}

func placedOn(s *scheduler.Scheduler, name string) string {
	st, err := s.Status(name)
	if err != nil {
		return err.Error()
	}
	var on []string
	for _, in := range st.Instances {
		on = append(on, in.Cell)
	}
	return strings.Join(on, " ")
}

// obey reports all the work of a cell as running.
func obey(t *testing.T, s *scheduler.Scheduler, cell string) app.Work {
	t.Helper()
	w, err := s.Work(cell)
	if err != nil {
		t.Fatal(err)
	}
	r := app.Report{Cell: cell}
	for _, as := range w.Assigned {
		r.Instances = append(r.Instances, app.Instance{ID: as.ID, App: as.App.Name, Index: as.Index, Cell: cell, State: app.Running})
	}
	if err := s.Report(r); err != nil {
		t.Fatal(err)
	}
	return w
}

func TestLifeOfAnApp(t *testing.T) {
	ctx, st := context.Background(), storetest.Open(t)
	s := start(t, st, newGossip(cell("a", 512), cell("b", 512)), time.Minute)
	if _, err := s.Create(ctx, web(2)); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Create(ctx, web(1)); !errors.Is(err, app.ErrExists) {
		t.Errorf("created twice: %v, want ErrExists", err)
	}
	until(t, s, "both placed", func() bool { return placedOn(s, "web") == "a b" })
	if w := obey(t, s, "a"); len(w.Assigned) != 1 || w.Store != st.ID() || w.Domain != "d.test" {
		t.Errorf("work of a: %+v", w)
	}
	until(t, s, "first running", func() bool { x, _ := s.Status("web"); return x.Instances[0].State == app.Running })

	if _, err := s.Scale(ctx, "web", 5); err != nil {
		t.Fatal(err)
	}
	until(t, s, "four placed, one refused with its reason", func() bool {
		x, _ := s.Status("web")
		return len(x.Instances) == 5 && x.Instances[3].State == app.Claimed && strings.Contains(x.Instances[4].Reason, "needs 256 MiB")
	})
	if cs := s.Cells(); len(cs) != 2 || cs[0].Used.MemoryMB != 512 || cs[0].Used.Containers != 2 {
		t.Errorf("cells: %+v", cs)
	}

	obey(t, s, "a")
	if err := s.Remove(ctx, "web", false); err != nil {
		t.Fatal(err)
	}
	if x, err := s.Status("web"); err != nil || len(x.Instances) != 2 || !x.Instances[0].Stopping {
		t.Errorf("just removed: %+v %v, want two instances that stop", x, err)
	}
	obey(t, s, "a")
	if _, err := s.Status("web"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("all stopped: %v, want ErrNotFound", err)
	}
	for what, err := range map[string]error{"remove": s.Remove(ctx, "web", false), "scale": second(s.Scale(ctx, "web", 1))} {
		if !errors.Is(err, app.ErrNotFound) {
			t.Errorf("%s of nothing: %v, want ErrNotFound", what, err)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestDeadCellIsReplacedAndItsReportIgnored(t *testing.T) {
	g := newGossip(cell("a", 512), cell("b", 512))
	s := start(t, storetest.Open(t), g, time.Minute) // the grace is for cells it has not met
	if _, err := s.Create(context.Background(), web(1)); err != nil {
		t.Fatal(err)
	}
	until(t, s, "placed", func() bool { return placedOn(s, "web") == "a" })
	obey(t, s, "a")
	g.set(state(cell("a", 512), app.CellSuspect), cell("b", 512))
	until(t, s, "suspect seen", func() bool { return s.Cells()[0].State == app.CellSuspect })
	if on := placedOn(s, "web"); on != "a" {
		t.Errorf("on a suspect cell: placed on %q, want a", on)
	}
	old, _ := s.Status("web")
	g.set(cell("b", 512))
	until(t, s, "moved", func() bool { return placedOn(s, "web") == "b" })

	g.set(cell("a", 512), cell("b", 512))
	until(t, s, "a is back", func() bool { return s.Cells()[0].State == app.CellAlive })
	if err := s.Report(app.Report{Cell: "a", Instances: old.Instances}); err != nil {
		t.Fatal(err)
	}
	st, _ := s.Status("web")
	if len(st.Instances) != 2 || st.Instances[0].Cell != "b" || st.Instances[0].Stopping || !st.Instances[1].Stopping {
		t.Errorf("after a came back: %+v; want b's instance, and a's as stopping", st.Instances)
	}
	if w, _ := s.Work("a"); len(w.Assigned) != 0 {
		t.Errorf("a still has work: %+v", w)
	}
}

func TestRestartMovesNothing(t *testing.T) {
	st := storetest.Open(t)
	g := newGossip(cell("a", 512), cell("b", 512))
	first := start(t, st, g, time.Minute)
	if _, err := first.Create(context.Background(), web(2)); err != nil {
		t.Fatal(err)
	}
	until(t, first, "placed", func() bool { return placedOn(first, "web") == "a b" })
	before, _ := first.Work("b")

	late := newGossip(cell("a", 512)) // b has not heard of the new brain yet
	again := start(t, st, late, time.Minute)
	if err := again.Report(app.Report{Cell: "a"}); err != nil {
		t.Fatal(err)
	}
	late.set(cell("a", 512), cell("b", 512))
	until(t, again, "b seen", func() bool { return len(again.Cells()) == 2 })
	after, _ := again.Work("b")
	if len(after.Assigned) != 1 || after.Assigned[0].ID != before.Assigned[0].ID || after.Store != before.Store {
		t.Errorf("b's work changed from %+v to %+v", before, after)
	}
}

func TestAbsentCellIsReplacedWhenGraceIsOver(t *testing.T) {
	st := storetest.Open(t)
	if err := st.Commit(app.Change{PutApps: []app.App{web(1)}, PutRevisions: []app.Revision{{App: web(1)}}, PutPlacements: []app.Placement{{ID: "p", App: "web", Cell: "lost", Revision: 1}}}); err != nil {
		t.Fatal(err)
	}
	s := start(t, st, newGossip(cell("a", 512)), 300*time.Millisecond)
	if on := placedOn(s, "web"); on != "lost" {
		t.Errorf("at once: placed on %q, want lost", on)
	}
	until(t, s, "moved after the grace", func() bool { return placedOn(s, "web") == "a" })
}

func TestStraysAreShownAndNotCounted(t *testing.T) {
	s := start(t, storetest.Open(t), newGossip(cell("a", 512)), 0)
	stray := app.Instance{ID: "x", App: "old", Cell: "a", State: app.Running, Stray: true}
	if err := s.Report(app.Report{Cell: "a", Instances: []app.Instance{stray}}); err != nil {
		t.Fatal(err)
	}
	if got := s.Strays(); len(got) != 1 || got[0].ID != "x" {
		t.Errorf("strays: %+v", got)
	}
	if _, err := s.Status("old"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("status of a stray's app: %v, want ErrNotFound", err)
	}
}

// broken is a store whose disk is full.
type broken struct{ *store.Store }

func (broken) Commit(app.Change) error { return errors.New("no space left on device") }

func TestFailedWriteChangesNothing(t *testing.T) {
	s := start(t, broken{storetest.Open(t)}, newGossip(cell("a", 512)), 0)
	if _, err := s.Create(context.Background(), web(1)); err == nil {
		t.Error("create succeeded on a full disk")
	}
	if sts := s.Statuses(); len(sts) != 0 {
		t.Errorf("a failed create left %+v", sts)
	}
}
