package scheduler

import (
	"fmt"
	"iter"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

// maxTasks bounds the tasks there are, those that have ended included.
const maxTasks = 10_000

// taskBook is what a Scheduler knows of tasks and schedules. Scheduler.mu guards
// it.
type taskBook struct {
	all       map[string]app.Task  // by name
	live      map[string]bool      // those that have not ended
	calls     map[string]bool      // those whose end is still to be told
	refused   map[string]string    // why a task fits nowhere
	away      map[string]time.Time // cells that have tasks and are dead, since when
	sweepAt   time.Time            // when the next one has been kept long enough; zero: there is none
	schedules map[string]app.Schedule
}

func newTaskBook() taskBook {
	return taskBook{all: map[string]app.Task{}, live: map[string]bool{}, refused: map[string]string{}, away: map[string]time.Time{}, calls: map[string]bool{}, schedules: map[string]app.Schedule{}}
}

// adoptTasks makes c part of the state in memory. The caller holds s.mu.
func (s *Scheduler) adoptTasks(c app.Change) {
	b := &s.tasks
	for _, name := range c.DeleteTasks {
		s.announceTask(b.all[name])
		delete(b.all, name)
		delete(b.live, name)
		delete(b.refused, name)
		delete(b.calls, name)
	}
	for _, t := range c.PutTasks {
		s.announceTask(b.all[t.Name])
		s.announceTask(t)
		b.all[t.Name] = t
		if t.State != app.Completed {
			b.live[t.Name] = true
			continue
		}
		delete(b.live, t.Name)
		delete(b.refused, t.Name)
		if b.calls[t.Name] = true; t.Callback.Settled() {
			delete(b.calls, t.Name)
		}
		if at := t.ExpiresAt(); t.Callback.Settled() && (b.sweepAt.IsZero() || at.Before(b.sweepAt)) {
			b.sweepAt = at
		}
	}
	for _, name := range c.DeleteSchedules {
		delete(b.schedules, name)
	}
	for _, sch := range c.PutSchedules {
		b.schedules[sch.Name] = sch
	}
}

// announceTask wakes the cell that has the task. The caller holds s.mu.
func (s *Scheduler) announceTask(t app.Task) {
	if cur := t.Current(); cur != nil {
		s.announceWork(cur.Cell)
	}
}

// needed returns the cells that something is placed on, or has a volume on. The caller holds s.mu.
func (s *Scheduler) needed() iter.Seq[string] {
	return func(yield func(string) bool) {
		for cell := range s.book.onCell {
			if !yield(cell) {
				return
			}
		}
		for name := range s.tasks.live {
			t := s.tasks.all[name]
			if cur := t.Current(); cur != nil && !yield(cur.Cell) {
				return
			}
		}
		for _, v := range s.volumes {
			if !v.Removing && !yield(v.Cell) {
				return
			}
		}
	}
}

// taskFacts returns the tasks that have a cell or may have one now, and what is
// reported of attempts that are not wanted any more. The caller holds s.mu.
func (s *Scheduler) taskFacts(now time.Time) (tasks []Task, current map[string]bool) {
	current = map[string]bool{}
	for name := range s.tasks.live {
		t := s.tasks.all[name]
		if cur := t.Current(); cur != nil {
			current[cur.ID] = true
			tasks = append(tasks, Task{Name: name, Spec: &t.Spec, Cell: cur.Cell, Starting: cur.StartedAt.IsZero() && now.Sub(cur.At) < startTime})
		} else if !t.RetryAt.After(now) {
			tasks = append(tasks, Task{Name: name, Spec: &t.Spec})
		}
	}
	return tasks, current
}

// settleTasks writes what became of tasks since the last round, makes the tasks
// that schedules are due to make, and forgets what was kept long enough. The
// caller holds s.write.
func (s *Scheduler) settleTasks(cells []app.Cell, now time.Time) error {
	s.mu.Lock()
	s.meet(cells)
	w := s.newTaskWriter(now)
	w.settle(s.sightings(cells, now))
	w.fireSchedules()
	w.sweep()
	s.mu.Unlock()
	if err := w.commit(); err != nil {
		return err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if w.swept {
		s.tasks.sweepAt = w.sweepAt
	}
	return nil
}

// tellTasks tells what happened to tasks.
func (s *Scheduler) tellTasks(es []app.Event) {
	for _, e := range es {
		s.cfg.Log.Info(e.Kind, "task", e.Task, "cell", e.Cell, "reason", e.Message)
		s.cfg.Emit(e)
	}
}

// tellTaskRefused tells that a task fits nowhere, when that is news. The caller
// holds s.mu.
func (s *Scheduler) tellTaskRefused(r Refusal) {
	if _, told := s.tasks.refused[r.Task]; !told {
		s.tellTasks([]app.Event{{Kind: app.TaskRefused, Task: r.Task, Index: app.NoIndex, Message: r.Reason}})
	}
}

// sightings returns what is known of the current attempts, by ID. The caller
// holds s.mu.
func (s *Scheduler) sightings(cells []app.Cell, now time.Time) map[string]sighting {
	if len(s.tasks.live) == 0 {
		return nil
	}
	s.noteAway(cells, now)
	seen := map[string]sighting{}
	for name := range s.tasks.live {
		t := s.tasks.all[name]
		if cur := t.Current(); cur != nil {
			since, away := s.tasks.away[cur.Cell]
			seen[cur.ID] = sighting{run: s.runOf(*cur), lost: away && now.Sub(since) >= s.cfg.Grace}
		}
	}
	return seen
}

// noteAway notes which cells are dead, and since when. Such a cell may come back
// with its tasks still running: when only its process died, and is started again.
// The caller holds s.mu.
func (s *Scheduler) noteAway(cells []app.Cell, now time.Time) {
	before := s.tasks.away
	s.tasks.away = map[string]time.Time{}
	for _, c := range s.withAbsent(cells) {
		if c.State != app.CellDead {
			continue
		}
		since, known := before[c.ID]
		switch _, met := s.seen[c.ID]; {
		case known:
			s.tasks.away[c.ID] = since
		case met:
			s.tasks.away[c.ID] = now
		default:
			s.tasks.away[c.ID] = s.started
		}
	}
}

// runOf returns what the cell of an attempt reports of it; without State if it
// doesn't. The caller holds s.mu.
func (s *Scheduler) runOf(a app.Attempt) app.Instance {
	for _, in := range s.reports[a.Cell].Instances {
		if in.ID == a.ID && in.Task != nil && !in.Stray {
			return in
		}
	}
	return app.Instance{}
}

// placeTasks puts what a plan decided into c.
func (s *Scheduler) placeTasks(c *app.Change, placed []TaskPlacement, now time.Time) (events []app.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.homes()
	for _, p := range placed {
		t := placeTask(s.tasks.all[p.Name], p.Cell, now.UTC())
		c.PutTasks = append(c.PutTasks, t)
		events = append(events, makeVolumes(c, at, &t.Spec, 0, p.Cell)...)
		events = append(events, taskEvent(app.TaskPlaced, t, fmt.Sprintf("attempt %d of %d goes to cell %s", len(t.Attempts), t.Retries+1, p.Cell)))
	}
	return events
}

func taskEvent(kind string, t app.Task, message string) app.Event {
	e := app.Event{Kind: kind, Task: t.Name, Index: app.NoIndex, Message: message}
	if last := t.Last(); last != nil {
		e.Cell, e.Instance, e.GUID = last.Cell, last.ID, last.GUID
	}
	return e
}

// taskOrders returns the attempts that a cell shall make, by name of the task.
// The caller holds s.mu.
func (s *Scheduler) taskOrders(cell string) []app.Assignment {
	var all []app.Assignment
	for name := range s.tasks.live {
		t := s.tasks.all[name]
		if cur := t.Current(); cur != nil && cur.Cell == cell {
			all = append(all, app.Assignment{ID: cur.ID, App: t.Spec, Volumes: s.assigned(&t.Spec, 0),
				Task: &app.TaskOrder{TaskOptions: t.TaskOptions, Started: !cur.StartedAt.IsZero()}})
		}
	}
	slices.SortFunc(all, func(a, b app.Assignment) int { return strings.Compare(a.App.Name, b.App.Name) })
	return all
}

// viewTask adds what is observed to what is stored. The caller holds s.mu.
func (s *Scheduler) viewTask(t app.Task) app.Task {
	if last := t.Last(); last != nil {
		if in := s.runOf(*last); in.State != "" && in.State != app.Completed {
			in.Stopping = in.Stopping || t.State == app.Completed
			run := *in.Task
			in.Task = &run
			t.Run = &in
		}
	}
	cur := t.Current()
	switch {
	case t.State == app.Pending && t.Reason == "":
		t.Reason = s.tasks.refused[t.Name]
	case cur != nil && !s.tasks.away[cur.Cell].IsZero():
		t.Reason = fmt.Sprintf("cell %s does not answer: unless it is back by %s, the task counts as lost", cur.Cell, s.tasks.away[cur.Cell].Add(s.cfg.Grace).UTC().Format(time.TimeOnly+" MST"))
	}
	return t
}

// taskDue returns when time alone has tasks change next; zero if it doesn't. The
// caller holds s.mu.
func (s *Scheduler) taskDue(now time.Time) time.Time {
	next := s.tasks.sweepAt
	sooner := func(at time.Time) {
		if !at.IsZero() && (next.IsZero() || at.Before(next)) {
			next = at
		}
	}
	for name := range s.tasks.live {
		t := s.tasks.all[name]
		if t.RetryAt.After(now) {
			sooner(t.RetryAt)
		}
		if cur := t.Current(); cur != nil && !s.tasks.away[cur.Cell].IsZero() {
			sooner(s.tasks.away[cur.Cell].Add(s.cfg.Grace))
		}
	}
	for _, sch := range s.tasks.schedules {
		sooner(sch.NextAt)
	}
	return next
}
