package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

// CreateTask adds a task and returns it as stored. It is app.ErrExists when an
// app or a task has its name. t must be valid.
func (s *Scheduler) CreateTask(ctx context.Context, t app.Task) (app.Task, error) {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.free(t.Name); err != nil {
		return app.Task{}, err
	}
	if s.taskCount() >= maxTasks {
		return app.Task{}, app.Invalid("there are %d tasks, which is the most that are kept: delete some that have ended", maxTasks)
	}
	t.State, t.CreatedAt = app.Pending, time.Now().UTC()
	if err := s.commit(app.Change{PutTasks: []app.Task{t}}); err != nil {
		return app.Task{}, err
	}
	s.tellTasks([]app.Event{by(ctx, taskEvent(app.TaskSubmitted, t, "it runs "+t.Spec.Image))})
	s.plan()
	return t, nil
}

func (s *Scheduler) taskCount() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.tasks.all)
}

// free returns nil if neither an app nor a task has the name.
func (s *Scheduler) free(name string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, taken := s.apps[name]; taken {
		return fmt.Errorf("app %q %w", name, app.ErrExists)
	}
	if _, taken := s.tasks.all[name]; taken {
		return fmt.Errorf("task %q %w", name, app.ErrExists)
	}
	return nil
}

// Task returns a task with what is known of it. It is app.ErrNotFound when there
// is none of that name.
func (s *Scheduler) Task(name string) (app.Task, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	t, ok := s.tasks.all[name]
	if !ok {
		return app.Task{}, fmt.Errorf("task %q %w", name, app.ErrNotFound)
	}
	return s.viewTask(t), nil
}

// Tasks returns all tasks, the newest first, without their results.
func (s *Scheduler) Tasks() []app.Task {
	s.mu.Lock()
	defer s.mu.Unlock()
	all := make([]app.Task, 0, len(s.tasks.all))
	for _, t := range s.tasks.all {
		t = s.viewTask(t)
		t.Result = ""
		all = append(all, t)
	}
	slices.SortFunc(all, func(a, b app.Task) int {
		return cmp.Or(b.CreatedAt.Compare(a.CreatedAt), strings.Compare(a.Name, b.Name))
	})
	return all
}

// CancelTask ends a task: one that waits is not started any more, one that runs
// is stopped after the answer. One that has ended is app.ErrConflict.
func (s *Scheduler) CancelTask(ctx context.Context, name string) (app.Task, error) {
	s.write.Lock()
	defer s.write.Unlock()
	t, err := s.Task(name)
	if err != nil {
		return app.Task{}, err
	}
	if t.State == app.Completed {
		return app.Task{}, fmt.Errorf("task %q has ended already: %w", name, app.ErrConflict)
	}
	t.Run = nil
	s.mu.Lock()
	w := s.newTaskWriter(time.Now())
	t = cancelTask(t, "cancelled", w.now)
	w.put(t)
	w.events = append(w.events, by(ctx, taskEvent(app.TaskCancelled, t, "somebody asked for that")))
	s.mu.Unlock()
	if err := w.commit(); err != nil {
		return app.Task{}, err
	}
	s.plan()
	return t, nil
}

// DeleteTask forgets a task; one that runs is stopped after the answer.
func (s *Scheduler) DeleteTask(ctx context.Context, name string) error {
	s.write.Lock()
	defer s.write.Unlock()
	t, err := s.Task(name)
	if err != nil {
		return err
	}
	s.mu.Lock()
	w := s.newTaskWriter(time.Now())
	w.remove(name)
	w.events = append(w.events, by(ctx, taskEvent(app.TaskDeleted, t, "somebody asked for that")))
	s.mu.Unlock()
	if err := w.commit(); err != nil {
		return err
	}
	s.plan()
	return nil
}

// Callbacks returns the tasks whose end is to be told now, and when the next one
// is due after these; zero if none is.
func (s *Scheduler) Callbacks(now time.Time) (due []app.Task, next time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.tasks.calls {
		t := s.tasks.all[name]
		switch c := t.Callback; {
		case !c.NextAt.After(now):
			due = append(due, t)
		case next.IsZero() || c.NextAt.Before(next):
			next = c.NextAt
		}
	}
	return due, next
}

// CalledBack notes how a try to tell the end of a task went. The task may be
// gone meanwhile, or another of its name may be there.
func (s *Scheduler) CalledBack(t app.Task, c app.Callback) error {
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	now, ok := s.tasks.all[t.Name]
	s.mu.Unlock()
	if !ok || !now.CreatedAt.Equal(t.CreatedAt) {
		return nil
	}
	now.Callback = &c
	return s.commit(app.Change{PutTasks: []app.Task{now}})
}

// by returns e with the one who wanted it.
func by(ctx context.Context, e app.Event) app.Event {
	e.Actor = app.ActorOf(ctx)
	return e
}
