package scheduler_test

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/scheduler"
	"lattice/store/storetest"
)

// job is a valid task.
func job(name string, change ...func(*app.Task)) app.Task {
	t := app.Task{Name: name, Spec: app.App{Image: "i", MemoryMB: 128}}
	for _, f := range change {
		f(&t)
	}
	return t.WithDefaults()
}

func submit(t *testing.T, s *scheduler.Scheduler, x app.Task) {
	t.Helper()
	if _, err := s.CreateTask(context.Background(), x); err != nil {
		t.Fatal(err)
	}
}

// attempt waits until the cell has the task to do, and returns it.
func attempt(t *testing.T, s *scheduler.Scheduler, cell, name string) (as app.Assignment) {
	t.Helper()
	until(t, s, name+" on cell "+cell, func() bool {
		w, err := s.Work(cell)
		i := slices.IndexFunc(w.Tasks, func(as app.Assignment) bool { return as.App.Name == name })
		if err != nil || i < 0 {
			return false
		}
		as = w.Tasks[i]
		return true
	})
	return as
}

// says has the cell report an attempt and nothing else.
func says(t *testing.T, s *scheduler.Scheduler, cell string, as app.Assignment, state app.State, change func(*app.Instance)) {
	t.Helper()
	in := app.Instance{ID: as.ID, App: as.App.Name, Cell: cell, GUID: "g", State: state, MemoryMB: as.App.MemoryMB, Task: &app.TaskRun{}}
	if state != app.Claimed {
		in.Task.StartedAt = time.Now()
	}
	if state == app.Completed {
		in.Task.EndedAt = time.Now()
	}
	if change != nil {
		change(&in)
	}
	if err := s.Report(app.Report{Cell: cell, Instances: []app.Instance{in}}); err != nil {
		t.Fatal(err)
	}
}

func exits(code int) func(*app.Instance) {
	return func(in *app.Instance) {
		in.Task.ExitCode, in.Task.Failed = &code, code != 0
		if code != 0 {
			in.Reason = fmt.Sprintf("exited with code %d", code)
		}
	}
}

func taskIs(t *testing.T, s *scheduler.Scheduler, name string, state app.State) (x app.Task) {
	t.Helper()
	until(t, s, name+" is "+string(state), func() bool {
		x, _ = s.Task(name)
		return x.State == state
	})
	return x
}

func TestLifeOfATask(t *testing.T) {
	ctx, st := context.Background(), storetest.Open(t)
	s := start(t, st, newGossip(cell("a", 512)), time.Minute)
	submit(t, s, job("job", func(x *app.Task) { x.Timeout, x.ResultFile = app.Duration(time.Hour), "/r" }))
	if _, err := s.CreateTask(ctx, job("job")); !errors.Is(err, app.ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	if a := web(1); true {
		a.Name = "job"
		if _, err := s.Create(ctx, a); !errors.Is(err, app.ErrExists) {
			t.Errorf("an app of its name: %v", err)
		}
	}
	as := attempt(t, s, "a", "job")
	if as.Task.Timeout != app.Duration(time.Hour) || as.Task.ResultFile != "/r" || as.Task.Started || as.App.Image != "i" {
		t.Errorf("order: %+v", as)
	}
	if saved, err := st.Load(); err != nil || len(saved.Tasks) != 1 || saved.Tasks[0].Current().ID != as.ID {
		t.Errorf("a cell hears of an attempt that is not in the store: %+v %v", saved.Tasks, err)
	}
	if used := s.Cells()[0].Used; used.MemoryMB != 128 || used.Containers != 1 {
		t.Errorf("booked: %+v", used)
	}
	says(t, s, "a", as, app.Claimed, nil)
	says(t, s, "a", as, app.Running, nil)
	taskIs(t, s, "job", app.Running)
	if as := attempt(t, s, "a", "job"); !as.Task.Started {
		t.Error("the order does not say that it was started")
	}
	says(t, s, "a", as, app.Completed, func(in *app.Instance) { exits(0)(in); in.Task.Result, in.Task.LogLines = "42", 7 })
	x := taskIs(t, s, "job", app.Completed)
	if x.Failed || *x.ExitCode != 0 || x.Result != "42" || x.Last().LogLines != 7 || x.Last().GUID != "g" || x.EndedAt.IsZero() {
		t.Errorf("%+v", x)
	}
	if w, err := s.Work("a"); err != nil || len(w.Tasks) != 0 {
		t.Errorf("the cell still has work: %+v %v", w, err)
	}
	if list := s.Tasks(); len(list) != 1 || list[0].Result != "" {
		t.Errorf("list: %+v", list)
	}
	if err := s.DeleteTask(ctx, "job"); err != nil {
		t.Error(err)
	}
	if saved, err := st.Load(); err != nil || len(saved.Tasks) != 0 {
		t.Errorf("after it was deleted: %+v %v", saved.Tasks, err)
	}
}

func TestTaskIsTriedAgainOnlyWhereThatIsAskedFor(t *testing.T) {
	s := start(t, storetest.Open(t), newGossip(cell("a", 512)), time.Minute)
	submit(t, s, job("once"))
	submit(t, s, job("twice", func(x *app.Task) { x.Retries = 1 }))
	says(t, s, "a", attempt(t, s, "a", "once"), app.Completed, exits(3))
	if x := taskIs(t, s, "once", app.Completed); !x.Failed || *x.ExitCode != 3 || x.Reason != "exited with code 3" || len(x.Attempts) != 1 {
		t.Errorf("%+v", x)
	}
	first := attempt(t, s, "a", "twice")
	says(t, s, "a", first, app.Completed, exits(3))
	if x := taskIs(t, s, "twice", app.Pending); !strings.Contains(x.Reason, "attempt 1 of 2 failed: exited with code 3") || !x.RetryAt.After(x.Attempts[0].At) {
		t.Errorf("%+v", x)
	}
	second := attempt(t, s, "a", "twice")
	if second.ID == first.ID || second.Task.Started {
		t.Errorf("the same attempt again: %+v", second)
	}
	says(t, s, "a", second, app.Completed, exits(0))
	if x := taskIs(t, s, "twice", app.Completed); x.Failed || len(x.Attempts) != 2 || !x.Attempts[0].Failed {
		t.Errorf("%+v", x)
	}
}

func TestTaskOfALostCellFails(t *testing.T) {
	for _, tt := range []struct {
		name    string
		retries int
		started bool
		back    bool
		want    string
	}{
		{"started", 0, true, false, "was lost while the task was running"},
		{"not said to be started", 0, false, false, "before it said that the task had started"},
		{"with a retry", 1, true, false, ""},
		{"back in time", 0, true, true, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			grace := 300 * time.Millisecond
			if tt.back {
				grace = time.Minute
			}
			g := newGossip(cell("a", 512))
			s := start(t, storetest.Open(t), g, grace)
			submit(t, s, job("job", func(x *app.Task) { x.Retries = tt.retries }))
			as := attempt(t, s, "a", "job")
			if tt.started {
				says(t, s, "a", as, app.Running, nil)
				taskIs(t, s, "job", app.Running)
			}
			g.set(cell("b", 512))
			switch {
			case tt.back:
				until(t, s, "it is in doubt", func() bool { x, _ := s.Task("job"); return strings.Contains(x.Reason, "does not answer") })
				g.set(cell("a", 512), cell("b", 512))
				says(t, s, "a", as, app.Completed, exits(0))
				if x := taskIs(t, s, "job", app.Completed); x.Failed || len(x.Attempts) != 1 {
					t.Errorf("%+v", x)
				}
			case tt.retries > 0:
				if again := attempt(t, s, "b", "job"); again.ID == as.ID {
					t.Error("the same attempt again")
				}
				if x := taskIs(t, s, "job", app.Claimed); !strings.Contains(x.Attempts[0].Reason, "was lost") {
					t.Errorf("%+v", x)
				}
			default:
				if x := taskIs(t, s, "job", app.Completed); !x.Failed || x.ExitCode != nil || !strings.Contains(x.Reason, tt.want) {
					t.Errorf("%+v", x)
				}
			}
		})
	}
}

func TestCancelledTaskStops(t *testing.T) {
	ctx := context.Background()
	s := start(t, storetest.Open(t), newGossip(cell("a", 200)), time.Minute)
	submit(t, s, job("runs", func(x *app.Task) { x.Retries = 3 }))
	as := attempt(t, s, "a", "runs")
	says(t, s, "a", as, app.Running, nil)
	submit(t, s, job("waits"))
	until(t, s, "a reason", func() bool { x, _ := s.Task("waits"); return strings.Contains(x.Reason, "memory") })
	for _, name := range []string{"runs", "waits"} {
		if x, err := s.CancelTask(ctx, name); err != nil || x.State != app.Completed || !x.Cancelled || !x.Failed {
			t.Errorf("%+v %v", x, err)
		}
		if _, err := s.CancelTask(ctx, name); !errors.Is(err, app.ErrConflict) {
			t.Errorf("cancelled twice: %v", err)
		}
	}
	if w, _ := s.Work("a"); len(w.Tasks) != 0 {
		t.Errorf("still to do: %+v", w.Tasks)
	}
	if x, _ := s.Task("runs"); x.Run == nil || !x.Run.Stopping {
		t.Errorf("its container is still reported: %+v", x.Run)
	}
	submit(t, s, job("next")) // its room is taken until the container is gone
	until(t, s, "a reason", func() bool { x, _ := s.Task("next"); return strings.Contains(x.Reason, "memory") })
	if err := s.Report(app.Report{Cell: "a"}); err != nil {
		t.Fatal(err)
	}
	attempt(t, s, "a", "next")
	if x, _ := s.Task("runs"); x.Run != nil || len(x.Attempts) != 1 {
		t.Errorf("%+v", x)
	}
}

func TestTaskOfADrainingCellMayEnd(t *testing.T) {
	s := start(t, storetest.Open(t), newGossip(cell("a", 512), cell("b", 512)), time.Minute)
	submit(t, s, job("job"))
	var on, other string
	until(t, s, "placed", func() bool { x, _ := s.Task("job"); on = x.Cell(); return on != "" })
	if other = "a"; on == "a" {
		other = "b"
	}
	as := attempt(t, s, on, "job")
	says(t, s, on, as, app.Running, nil)
	if err := s.Drain(context.Background(), on, 0); err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		name := fmt.Sprint("next", i)
		submit(t, s, job(name))
		attempt(t, s, other, name)
	}
	if w, _ := s.Work(on); len(w.Tasks) != 1 || w.Tasks[0].ID != as.ID {
		t.Errorf("work of the draining cell: %+v", w.Tasks)
	}
}

func TestBrainThatRestartsKnowsItsTasks(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brain.db")
	g := newGossip(cell("a", 512))
	var as app.Assignment
	t.Run("before", func(t *testing.T) {
		s := start(t, storetest.OpenAt(t, path), g, time.Minute)
		submit(t, s, job("job"))
		as = attempt(t, s, "a", "job")
		says(t, s, "a", as, app.Running, nil)
		taskIs(t, s, "job", app.Running)
	})
	s := start(t, storetest.OpenAt(t, path), g, time.Minute)
	if x := taskIs(t, s, "job", app.Running); len(x.Attempts) != 1 || x.StartedAt.IsZero() {
		t.Errorf("%+v", x)
	}
	if again := attempt(t, s, "a", "job"); again.ID != as.ID || !again.Task.Started {
		t.Errorf("%+v, want %s", again, as.ID)
	}
	says(t, s, "a", as, app.Completed, exits(0))
	taskIs(t, s, "job", app.Completed)
}

func TestStrayTaskIsAdoptedWithItsEnd(t *testing.T) {
	s := start(t, storetest.Open(t), newGossip(cell("a", 512)), time.Minute)
	x := job("job", func(x *app.Task) { x.Retries = 2 })
	as := app.Assignment{ID: "other-store", App: x.Spec, Task: &app.TaskOrder{TaskOptions: x.TaskOptions}}
	report := func(stray bool) {
		in := app.Instance{ID: as.ID, App: "job", Cell: "a", State: app.Running, Stray: stray, Task: &app.TaskRun{StartedAt: time.Now()}}
		r := app.Report{Cell: "a", Instances: []app.Instance{in}}
		if stray {
			r.Strays = []app.Assignment{as}
		}
		if err := s.Report(r); err != nil {
			t.Fatal(err)
		}
	}
	report(true)
	if taken, err := s.Adopt(context.Background(), "job"); err != nil || len(taken) != 1 {
		t.Fatalf("%+v %v", taken, err)
	}
	if got := attempt(t, s, "a", "job"); got.ID != as.ID || got.Task.Retries != 2 {
		t.Errorf("%+v", got)
	}
	report(false)
	says(t, s, "a", as, app.Completed, exits(0))
	if x := taskIs(t, s, "job", app.Completed); x.Failed || len(x.Attempts) != 1 {
		t.Errorf("%+v", x)
	}
}

func TestTasksAreForgottenAfterTheirTime(t *testing.T) {
	s := start(t, storetest.Open(t), newGossip(cell("a", 512)), time.Minute)
	submit(t, s, job("brief", func(x *app.Task) { x.TTL = app.Duration(time.Second) }))
	submit(t, s, job("called", func(x *app.Task) { x.TTL, x.CallbackURL = app.Duration(time.Second), "http://x" }))
	submit(t, s, job("long"))
	for _, name := range []string{"brief", "called", "long"} {
		if _, err := s.CancelTask(context.Background(), name); err != nil {
			t.Fatal(err)
		}
	}
	gone := func(name string) func() bool {
		return func() bool { _, err := s.Task(name); return errors.Is(err, app.ErrNotFound) }
	}
	until(t, s, "brief is gone", gone("brief"))
	due, _ := s.Callbacks(time.Now())
	if len(due) != 1 || due[0].Name != "called" {
		t.Fatalf("a task whose end is not told yet is forgotten: %+v", due)
	}
	if err := s.CalledBack(due[0], app.Callback{Tries: 1, Done: true}); err != nil {
		t.Fatal(err)
	}
	until(t, s, "called is gone", gone("called"))
	if _, err := s.Task("long"); err != nil {
		t.Error(err)
	}
}

func TestScheduleKeepsToItsConcurrency(t *testing.T) {
	ctx := context.Background()
	s := start(t, storetest.Open(t), newGossip(cell("a", 1<<20)), time.Minute)
	for _, c := range []app.Concurrency{app.Allow, app.Forbid, app.Replace} {
		sch := app.Schedule{Name: string(c), Cron: "@every 1s", Concurrency: c, Keep: 1, Task: job("x")}.WithDefaults()
		if err := sch.Validate(); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreateSchedule(ctx, sch); err != nil {
			t.Fatal(err)
		}
		if _, err := s.CreateSchedule(ctx, sch); !errors.Is(err, app.ErrExists) {
			t.Errorf("created twice: %v", err)
		}
	}
	tasks := func(schedule string, state app.State) (n int) {
		for _, x := range s.Tasks() {
			if x.Schedule == schedule && x.State == state {
				n++
			}
		}
		return n
	}
	until(t, s, "two at the same time", func() bool { return tasks("allow", app.Claimed) >= 2 })
	until(t, s, "one was skipped", func() bool {
		sch, _ := s.Schedule("forbid")
		return sch.Runs == 1 && len(sch.History) > 1 && strings.Contains(sch.History[1].Note, "forbid-1 has not ended")
	})
	until(t, s, "two were replaced, of which one is kept", func() bool {
		sch, _ := s.Schedule("replace")
		return sch.Runs >= 3 && sch.History[0].Failed && strings.Contains(sch.History[0].Reason, "replaced") &&
			tasks("replace", app.Completed) == 1 && tasks("replace", app.Claimed)+tasks("replace", app.Pending) == 1
	})
	for _, name := range []string{"allow", "forbid", "replace"} {
		if err := s.RemoveSchedule(ctx, name); err != nil {
			t.Error(err)
		}
	}
	if _, err := s.Task("forbid-1"); err != nil {
		t.Errorf("a task is gone with its schedule: %v", err)
	}
}

// A brain that was down while a schedule was due makes one task for all the
// times that passed.
func TestMissedTimesAreMadeUpForOnce(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brain.db")
	st := storetest.OpenAt(t, path)
	sch := app.Schedule{Name: "tick", Cron: "@every 1m", Task: job("x")}.WithDefaults()
	sch.CreatedAt = time.Now().Add(-time.Hour).UTC()
	sch.NextAt = sch.CreatedAt.Add(time.Minute)
	if err := st.Commit(app.Change{PutSchedules: []app.Schedule{sch}}); err != nil {
		t.Fatal(err)
	}
	s := start(t, st, newGossip(cell("a", 512)), time.Minute)
	attempt(t, s, "a", "tick-1")
	got, err := s.Schedule("tick")
	if err != nil || got.Runs != 1 || len(got.History) != 1 || got.History[0].Missed < 58 || !got.NextAt.After(time.Now().Add(-time.Second)) {
		t.Errorf("%+v %v", got, err)
	}
}
