package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lattice/app"
	"lattice/scheduler"
	"lattice/store/storetest"
)

// obedient is a cell that reports all its work as running, at each change,
// but what sick names by image.
type obedient struct {
	mu   sync.Mutex
	sick map[string]bool
}

func (o *obedient) follow(t *testing.T, s *scheduler.Scheduler, id string) {
	ctx, stop := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			changed := s.WorkChanged(id)
			w, err := s.Work(id)
			if err == nil {
				err = s.Report(o.report(id, w))
			}
			if err != nil {
				t.Errorf("cell %s: %v", id, err)
			}
			select {
			case <-changed:
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() { stop(); <-done })
}

func (o *obedient) report(id string, w app.Work) app.Report {
	o.mu.Lock()
	defer o.mu.Unlock()
	r := app.Report{Cell: id}
	for _, as := range w.Assigned {
		in := app.Instance{ID: as.ID, App: as.App.Name, Index: as.Index, Revision: as.App.Revision, Cell: id, State: app.Running}
		if o.sick[as.App.Image] {
			in.State, in.Crashes, in.Reason = app.Crashed, 2, "exited with code 7"
		}
		r.Instances = append(r.Instances, in)
	}
	return r
}

// revisions renders the revisions of the instances that serve, by index.
func revisions(s *scheduler.Scheduler, name string) string {
	st, err := s.Status(name)
	if err != nil {
		return err.Error()
	}
	var out []string
	for _, in := range st.Instances {
		if in.State == app.Running && !in.Draining && !in.Stopping {
			out = append(out, fmt.Sprint(in.Revision))
		}
	}
	return strings.Join(out, " ")
}

// cluster runs a Scheduler with two obedient cells and an app of three instances.
func cluster(t *testing.T, open func(app.Instance, time.Time) int) (*scheduler.Scheduler, *obedient) {
	t.Helper()
	g := newGossip(cell("a", 2048), cell("b", 2048))
	s := startWith(t, scheduler.Config{Store: storetest.Open(t), Members: g.get, Grace: time.Minute, Open: open})
	o := &obedient{sick: map[string]bool{}}
	for _, id := range []string{"a", "b"} {
		o.follow(t, s, id)
	}
	if _, err := s.Create(context.Background(), web(3)); err != nil {
		t.Fatal(err)
	}
	until(t, s, "three run", func() bool { return revisions(s, "web") == "1 1 1" })
	return s, o
}

// change updates the image of web.
func change(t *testing.T, s *scheduler.Scheduler, image string, o app.RolloutOptions) app.App {
	t.Helper()
	st, err := s.Status("web")
	if err != nil {
		t.Fatal(err)
	}
	a := st.App
	a.Image = image
	if a, err = s.Update(context.Background(), a, o); err != nil {
		t.Fatal(err)
	}
	return a
}

func rolloutState(s *scheduler.Scheduler) app.RolloutState {
	st, err := s.Status("web")
	if err != nil || st.App.Rollout == nil {
		return ""
	}
	return st.App.Rollout.State
}

func TestUpdateRollsOutAndBack(t *testing.T) {
	ctx := context.Background()
	s, _ := cluster(t, nil)
	for _, strategy := range []app.Strategy{app.Rolling, app.Recreate} {
		a := change(t, s, "img-"+string(strategy), app.RolloutOptions{Strategy: strategy, MaxInFlight: 3})
		until(t, s, "rolled out", func() bool {
			return rolloutState(s) == app.RolloutDone && revisions(s, "web") == fmt.Sprintf("%[1]d %[1]d %[1]d", a.Revision)
		})
	}
	if a, err := s.Rollback(ctx, "web", 0); err != nil || a.Image != "img-rolling" || a.Revision != 2 {
		t.Fatalf("rollback: %+v %v, want revision 2 with its image", a, err)
	}
	until(t, s, "rolled back", func() bool { return rolloutState(s) == app.RolloutDone && revisions(s, "web") == "2 2 2" })

	rs, err := s.Revisions("web")
	if err != nil || len(rs) != 3 || rs[0].App.Image != "img-recreate" || rs[2].Cause != "create" {
		t.Errorf("revisions: %+v %v", rs, err)
	}
	for what, err := range map[string]error{
		"to where it is":    second(s.Rollback(ctx, "web", 2)),
		"of nothing":        second(s.Rollback(ctx, "no", 1)),
		"to what never was": second(s.Rollback(ctx, "web", 9)),
		"promote no canary": second(s.Promote(ctx, "web")),
		"restart no index":  second(s.Restart(ctx, "web", 9)),
	} {
		if !errors.Is(err, app.ErrInvalid) && !errors.Is(err, app.ErrNotFound) {
			t.Errorf("%s: got %v", what, err)
		}
	}
	stale := rs[2].App
	if _, err := s.Update(ctx, stale, app.RolloutOptions{}); !errors.Is(err, app.ErrConflict) {
		t.Errorf("update of what was revision 1: %v, want ErrConflict", err)
	}
}

func TestFailedRolloutComesBackByItself(t *testing.T) {
	s, o := cluster(t, nil)
	o.mu.Lock()
	o.sick["bad"] = true
	o.mu.Unlock()
	change(t, s, "bad", app.RolloutOptions{})
	until(t, s, "failed and back", func() bool { return rolloutState(s) == app.RolloutFailed && revisions(s, "web") == "1 1 1" })
	st, _ := s.Status("web")
	if st.App.Revision != 1 || st.App.Image != "img" || !strings.Contains(st.App.Rollout.Reason, "exited with code 7") {
		t.Errorf("after the failure: %+v %+v", st.App, st.App.Rollout)
	}
	until(t, s, "the failed instance is gone", func() bool { st, _ = s.Status("web"); return len(st.Instances) == 3 })
}

func TestCanaryWaitsToBePromoted(t *testing.T) {
	s, _ := cluster(t, nil)
	change(t, s, "new", app.RolloutOptions{Strategy: app.Canary})
	until(t, s, "paused with one", func() bool { return rolloutState(s) == app.RolloutPaused && revisions(s, "web") == "2 1 1" })
	if _, err := s.Promote(context.Background(), "web"); err != nil {
		t.Fatal(err)
	}
	until(t, s, "promoted", func() bool { return rolloutState(s) == app.RolloutDone && revisions(s, "web") == "2 2 2" })
}

func TestRetiredInstanceIsKeptWhileRequestsAreOpen(t *testing.T) {
	var open atomic.Bool
	open.Store(true)
	s, _ := cluster(t, func(in app.Instance, _ time.Time) int {
		if open.Load() && in.Index == 2 {
			return 1
		}
		return 0
	})
	if _, err := s.Scale(context.Background(), "web", 2); err != nil {
		t.Fatal(err)
	}
	draining := func() bool {
		st, _ := s.Status("web")
		return slices.ContainsFunc(st.Instances, func(in app.Instance) bool { return in.Index == 2 && in.Draining })
	}
	until(t, s, "out of the router", draining)
	time.Sleep(3 * 250 * time.Millisecond) // longer than routers take to drop it
	if !draining() {
		t.Fatal("stopped though a request was open")
	}
	open.Store(false)
	until(t, s, "stopped", func() bool { st, _ := s.Status("web"); return len(st.Instances) == 2 })
}

func TestDrainMovesInstancesAndIsRemembered(t *testing.T) {
	ctx := context.Background()
	s, _ := cluster(t, nil)
	if err := s.Drain(ctx, "nobody", 0); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("drain of no cell: %v", err)
	}
	if err := s.Drain(ctx, "a", 1); err != nil {
		t.Fatal(err)
	}
	until(t, s, "a is empty", func() bool { return placedOn(s, "web") == "b b b" })
	if cs := s.Cells(); !cs[0].Draining || cs[1].Draining {
		t.Errorf("cells: %+v", cs)
	}
	if _, err := s.Scale(ctx, "web", 4); err != nil {
		t.Fatal(err)
	}
	until(t, s, "new ones elsewhere", func() bool { return placedOn(s, "web") == "b b b b" })
	if err := errors.Join(s.Undrain(ctx, "a"), s.Undrain(ctx, "a")); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Scale(ctx, "web", 5); err != nil {
		t.Fatal(err)
	}
	until(t, s, "a works again", func() bool { return placedOn(s, "web") == "b b b b a" })
}

func TestStopStartAndRestart(t *testing.T) {
	ctx := context.Background()
	s, _ := cluster(t, nil)
	if _, err := s.SetStopped(ctx, "web", true); err != nil {
		t.Fatal(err)
	}
	until(t, s, "stopped", func() bool { st, _ := s.Status("web"); return len(st.Instances) == 0 })
	if _, err := s.SetStopped(ctx, "web", false); err != nil {
		t.Fatal(err)
	}
	until(t, s, "started", func() bool { return revisions(s, "web") == "1 1 1" })

	ids := func() (ids []string) {
		st, _ := s.Status("web")
		for _, in := range st.Instances {
			ids = append(ids, in.ID)
		}
		return ids
	}
	before := ids()
	if _, err := s.Restart(ctx, "web", 1); err != nil {
		t.Fatal(err)
	}
	until(t, s, "one is new", func() bool {
		now := ids()
		return len(now) == 3 && now[0] == before[0] && now[1] != before[1] && now[2] == before[2]
	})
	if _, err := s.Restart(ctx, "web", -1); err != nil {
		t.Fatal(err)
	}
	until(t, s, "all are new", func() bool { return rolloutState(s) == app.RolloutDone && revisions(s, "web") == "2 2 2" })
}

func TestStraysAreAdoptedOrDiscarded(t *testing.T) {
	ctx := context.Background()
	s := start(t, storetest.Open(t), newGossip(cell("a", 2048)), 0)
	report := app.Report{Cell: "a"}
	for i := range 2 {
		old := web(2)
		old.Revision = 4
		id := fmt.Sprint("old", i)
		report.Instances = append(report.Instances, app.Instance{ID: id, App: "web", Index: i, Revision: 4, Cell: "a", State: app.Running, Stray: true})
		report.Strays = append(report.Strays, app.Assignment{ID: id, Index: i, App: old})
	}
	report.Instances = append(report.Instances, app.Instance{ID: "x", App: "other", Cell: "a", State: app.Running, Stray: true})
	if err := s.Report(report); err != nil {
		t.Fatal(err)
	}
	if got, err := s.Adopt(ctx, "web"); err != nil || len(got) != 2 {
		t.Fatalf("adopt: %+v %v, want two", got, err)
	}
	until(t, s, "under management", func() bool {
		w, _ := s.Work("a")
		return len(w.Assigned) == 2 && w.Assigned[0].ID == "old0" && w.Assigned[1].App.Revision == 4
	})
	if got, err := s.Discard(ctx, ""); err != nil || len(got) != 1 || got[0].ID != "x" {
		t.Errorf("discard: %+v %v, want x", got, err)
	}
	if w, _ := s.Work("a"); !slices.Equal(w.Discard, []string{"x"}) {
		t.Errorf("work: %+v, want x to be discarded", w)
	}
	report.Instances = report.Instances[:2]
	if err := s.Report(report); err != nil {
		t.Fatal(err)
	}
	if w, _ := s.Work("a"); len(w.Discard) != 0 {
		t.Errorf("work after x is gone: %+v", w)
	}
	if _, err := s.Adopt(ctx, "web"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("adopt again: %v, want ErrNotFound", err)
	}
}

// What never came up is nothing to go back to.
func TestRollbackPassesWhatNeverCameUp(t *testing.T) {
	s, _ := cluster(t, nil)
	st, err := s.Status("web")
	if err != nil {
		t.Fatal(err)
	}
	huge := st.App
	for _, mb := range []int{1 << 20, 1 << 21} {
		huge.MemoryMB = mb
		if huge, err = s.Update(t.Context(), huge, app.RolloutOptions{}); err != nil {
			t.Fatal(err)
		}
		if huge.Rollout.From != 1 {
			t.Errorf("revision %d: goes back to %d, want 1", huge.Revision, huge.Rollout.From)
		}
	}
	a, err := s.Rollback(t.Context(), "web", 0)
	if err != nil || a.Revision != 1 || a.MemoryMB != st.App.MemoryMB {
		t.Fatalf("rollback: %+v %v, want revision 1", a, err)
	}
	until(t, s, "rolled back", func() bool { return rolloutState(s) == app.RolloutDone && revisions(s, "web") == "1 1 1" })
}
