package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

// A taskWriter gathers what changes of tasks and schedules, to be written
// together. It is used with s.mu held, but for
// commit.
type taskWriter struct {
	s         *Scheduler
	now       time.Time
	tasks     map[string]app.Task
	schedules map[string]app.Schedule
	gone      map[string]bool // tasks
	events    []app.Event
	sweepAt   time.Time // of what will be left, if swept
	swept     bool
}

func (s *Scheduler) newTaskWriter(now time.Time) *taskWriter {
	return &taskWriter{s: s, now: now.UTC(), tasks: map[string]app.Task{}, schedules: map[string]app.Schedule{}, gone: map[string]bool{}, sweepAt: s.tasks.sweepAt}
}

// change returns all of it.
func (w *taskWriter) change() app.Change {
	return app.Change{PutTasks: slices.Collect(maps.Values(w.tasks)), DeleteTasks: slices.Collect(maps.Keys(w.gone)),
		PutSchedules: slices.Collect(maps.Values(w.schedules))}
}

// commit writes it and tells of it. The caller holds s.write and not s.mu.
func (w *taskWriter) commit() error {
	if err := w.s.commit(w.change()); err != nil {
		return err
	}
	w.s.tellTasks(w.events)
	for name := range w.gone {
		w.s.cfg.Gone(name)
	}
	return nil
}

// task returns a task as it will be.
func (w *taskWriter) task(name string) (app.Task, bool) {
	if t, ok := w.tasks[name]; ok || w.gone[name] {
		return t, ok
	}
	t, ok := w.s.tasks.all[name]
	return t, ok
}

// schedule returns a schedule as it will be.
func (w *taskWriter) schedule(name string) (app.Schedule, bool) {
	if sch, ok := w.schedules[name]; ok {
		return sch, ok
	}
	sch, ok := w.s.tasks.schedules[name]
	return sch, ok
}

// put changes or adds a task.
func (w *taskWriter) put(t app.Task) {
	w.tasks[t.Name] = t
	if sch, ok := w.schedule(t.Schedule); ok && t.State == app.Completed {
		w.schedules[sch.Name] = ranTask(sch, t)
		w.trim(sch)
	}
}

// remove deletes a task.
func (w *taskWriter) remove(name string) {
	delete(w.tasks, name)
	w.gone[name] = true
}

// ranTask notes in the history of a schedule how its task ended.
func ranTask(sch app.Schedule, t app.Task) app.Schedule {
	sch.History = slices.Clone(sch.History)
	for i := range sch.History {
		if r := &sch.History[i]; r.Task == t.Name {
			r.State, r.Failed, r.Reason = t.State, t.Failed, t.Reason
		}
	}
	return sch
}

// trim deletes the oldest tasks of a schedule that have ended, so that no more
// are left than it keeps.
func (w *taskWriter) trim(sch app.Schedule) {
	var ended []app.Task
	for _, t := range w.tasksOf(sch.Name) {
		if t.State == app.Completed && t.Callback.Settled() {
			ended = append(ended, t)
		}
	}
	for _, t := range ended[:max(0, len(ended)-sch.Keep)] {
		w.remove(t.Name)
	}
}

// tasksOf returns the tasks that a schedule made, oldest first, as they will be.
func (w *taskWriter) tasksOf(schedule string) []app.Task {
	var all []app.Task
	for name, t := range w.s.tasks.all {
		if _, changed := w.tasks[name]; t.Schedule == schedule && !changed && !w.gone[name] {
			all = append(all, t)
		}
	}
	for _, t := range w.tasks {
		if t.Schedule == schedule {
			all = append(all, t)
		}
	}
	slices.SortFunc(all, func(a, b app.Task) int {
		return cmp.Or(a.CreatedAt.Compare(b.CreatedAt), strings.Compare(a.Name, b.Name))
	})
	return all
}

// settle takes in what became of the attempts.
func (w *taskWriter) settle(seen map[string]sighting) {
	for name := range w.s.tasks.live {
		before := w.s.tasks.all[name]
		cur := before.Current()
		if cur == nil {
			continue
		}
		t, news := settleTask(before, seen[cur.ID], w.now)
		if !news {
			continue
		}
		w.put(t)
		if cur.StartedAt.IsZero() && !t.Last().StartedAt.IsZero() {
			w.events = append(w.events, taskEvent(app.TaskStarted, t, "started on cell "+cur.Cell))
		}
		switch {
		case t.State == app.Completed && !t.Failed:
			w.events = append(w.events, taskEvent(app.TaskSucceeded, t, "ended with exit code 0"))
		case t.State == app.Completed:
			w.events = append(w.events, taskEvent(app.TaskFailed, t, t.Reason))
		case t.State == app.Pending:
			w.events = append(w.events, taskEvent(app.TaskFailed, t, fmt.Sprintf("%s; the next attempt is in %s", t.Reason, retryPause(len(t.Attempts)))))
		}
	}
}

// sweep deletes the tasks that were kept long enough.
func (w *taskWriter) sweep() {
	if w.sweepAt.IsZero() || w.now.Before(w.sweepAt) {
		return
	}
	w.swept, w.sweepAt = true, time.Time{}
	for name, t := range w.s.tasks.all {
		if t.State != app.Completed || !t.Callback.Settled() || w.gone[name] {
			continue
		}
		if at := t.ExpiresAt(); !w.now.Before(at) {
			w.remove(name)
		} else if w.sweepAt.IsZero() || at.Before(w.sweepAt) {
			w.sweepAt = at
		}
	}
}
