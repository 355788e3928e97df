package scheduler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

const (
	maxSchedules  = 1000
	maxUnfinished = 50          // tasks of one schedule that have not ended
	lateness      = time.Minute // from which on a schedule's being late is worth a note
)

// CreateSchedule adds a schedule and returns it as stored. It is app.ErrExists
// when the name is taken. sch must be valid, but for its time.
func (s *Scheduler) CreateSchedule(_ context.Context, sch app.Schedule) (app.Schedule, error) {
	c, err := newClock(sch.Cron, sch.Zone)
	if err != nil {
		return app.Schedule{}, err
	}
	sch.CreatedAt = time.Now().UTC()
	if sch.NextAt = c.next(sch.CreatedAt); sch.NextAt.IsZero() {
		return app.Schedule{}, app.Invalid("the schedule %q never comes: there is no such day", sch.Cron)
	}
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	_, taken := s.tasks.schedules[sch.Name]
	n := len(s.tasks.schedules)
	s.mu.Unlock()
	switch {
	case taken:
		return app.Schedule{}, fmt.Errorf("schedule %q %w", sch.Name, app.ErrExists)
	case n >= maxSchedules:
		return app.Schedule{}, app.Invalid("there are %d schedules, which is the most that are possible", maxSchedules)
	}
	if err := s.commit(app.Change{PutSchedules: []app.Schedule{sch}}); err != nil {
		return app.Schedule{}, err
	}
	s.plan() // for the loop must know when it is due
	return sch, nil
}

// RemoveSchedule forgets a schedule. The tasks it made stay.
func (s *Scheduler) RemoveSchedule(_ context.Context, name string) error {
	s.write.Lock()
	defer s.write.Unlock()
	if _, err := s.Schedule(name); err != nil {
		return err
	}
	return s.commit(app.Change{DeleteSchedules: []string{name}})
}

// Schedule returns a schedule. It is app.ErrNotFound when there is none of that
// name.
func (s *Scheduler) Schedule(name string) (app.Schedule, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sch, ok := s.tasks.schedules[name]
	if !ok {
		return app.Schedule{}, fmt.Errorf("schedule %q %w", name, app.ErrNotFound)
	}
	return s.viewSchedule(sch), nil
}

// Schedules returns all schedules by name.
func (s *Scheduler) Schedules() []app.Schedule {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]app.Schedule, 0, len(s.tasks.schedules))
	for _, name := range slices.Sorted(maps.Keys(s.tasks.schedules)) {
		all = append(all, s.viewSchedule(s.tasks.schedules[name]))
	}
	return all
}

// viewSchedule adds to the history how the tasks are that have not ended. The
// caller holds s.mu.
func (s *Scheduler) viewSchedule(sch app.Schedule) app.Schedule {
	sch.History = slices.Clone(sch.History)
	for i := range sch.History {
		if t, ok := s.tasks.all[sch.History[i].Task]; ok && s.tasks.live[t.Name] {
			sch.History[i].State, sch.History[i].Reason = t.State, t.Reason
		}
	}
	return sch
}

// fireSchedules makes the tasks that are due.
func (w *taskWriter) fireSchedules() {
	for _, name := range slices.Sorted(maps.Keys(w.s.tasks.schedules)) {
		if sch, _ := w.schedule(name); !sch.NextAt.IsZero() && !sch.NextAt.After(w.now) {
			w.fire(sch)
		}
	}
}

// fire does what a schedule asks for when its time has come. However many times
// were missed, it makes one task.
func (w *taskWriter) fire(sch app.Schedule) {
	c, err := newClock(sch.Cron, sch.Zone)
	if err != nil { // it was valid when it was made; a newer version may think otherwise
		sch.NextAt = time.Time{}
		w.skip(sch, app.ScheduleRun{At: w.now}, err.Error())
		return
	}
	var r app.ScheduleRun
	r.At, r.Missed, sch.NextAt = c.catchUp(sch.NextAt, w.now)
	sch.LastAt = r.At
	if late := w.now.Sub(r.At); late > lateness {
		r.Note = fmt.Sprintf("%s late, because the brain was not there", late.Round(time.Second))
	}
	running := slices.DeleteFunc(w.tasksOf(sch.Name), func(t app.Task) bool { return t.State == app.Completed })
	off := disabled(w.s.features, sch.Task.Spec)
	switch {
	case off != "":
		w.skip(sch, r, "the feature "+off+" is disabled")
		return
	case sch.Concurrency == app.Forbid && len(running) > 0:
		w.skip(sch, r, running[0].Name+" has not ended")
		return
	case sch.Concurrency == app.Replace:
		for _, t := range running {
			t = cancelTask(t, "replaced by the next task of schedule "+sch.Name, w.now)
			w.put(t)
			w.events = append(w.events, taskEvent(app.TaskCancelled, t, t.Reason))
		}
		sch.History = w.history(sch)
	case len(running) >= maxUnfinished:
		w.skip(sch, r, fmt.Sprintf("%d of its tasks have not ended", len(running)))
		return
	case len(w.s.tasks.all)+len(w.tasks) >= maxTasks:
		w.skip(sch, r, fmt.Sprintf("there are %d tasks, which is the most that are kept", maxTasks))
		return
	}
	t := w.spawn(&sch)
	r.Task = t.Name
	w.record(sch, r)
	w.put(t)
	w.events = append(w.events, taskEvent(app.ScheduleFired, t, "schedule "+sch.Name+" made the task"+also(r.Missed)))
}

// history returns that of the schedule as it will be.
func (w *taskWriter) history(sch app.Schedule) []app.ScheduleRun {
	now, _ := w.schedule(sch.Name)
	return now.History
}

func also(missed int) string {
	if missed == 0 {
		return ""
	}
	return fmt.Sprintf("; %d times before were missed", missed)
}

// spawn returns the next task of a schedule, by the first number that is free.
func (w *taskWriter) spawn(sch *app.Schedule) app.Task {
	t := sch.Task
	for {
		sch.Runs++
		t.Name = fmt.Sprintf("%s-%d", sch.Name, sch.Runs)
		_, isApp := w.s.apps[t.Name]
		if _, isTask := w.task(t.Name); !isApp && !isTask {
			break
		}
	}
	t.Spec.Name, t.Schedule, t.State, t.CreatedAt = t.Name, sch.Name, app.Pending, w.now
	return t
}

func (w *taskWriter) skip(sch app.Schedule, r app.ScheduleRun, why string) {
	r.Note = strings.TrimPrefix(r.Note+"; "+why, "; ")
	w.record(sch, r)
	w.events = append(w.events, app.Event{Kind: app.ScheduleSkipped, Index: app.NoIndex, Message: "schedule " + sch.Name + " makes no task this time: " + why})
}

// record puts r into the history.
func (w *taskWriter) record(sch app.Schedule, r app.ScheduleRun) {
	sch.History = append(slices.Clone(sch.History), r)
	sch.History = sch.History[max(0, len(sch.History)-app.MaxScheduleHistory):]
	w.schedules[sch.Name] = sch
}
