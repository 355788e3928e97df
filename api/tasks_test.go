package api_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"

	"lattice/api"
	"lattice/app"
)

// taskList is an api.Tasks that runs nothing.
type taskList struct {
	changed func()

	mu        sync.Mutex // guards what follows
	tasks     []app.Task
	schedules []app.Schedule
}

func newTaskList(changed func()) *taskList { return &taskList{changed: changed} }

func (l *taskList) CreateTask(_ context.Context, t app.Task) (app.Task, error) {
	if _, err := l.Task(t.Name); err == nil {
		return app.Task{}, fmt.Errorf("task %q %w", t.Name, app.ErrExists)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	t.State = app.Pending
	l.tasks = append(l.tasks, t)
	return t, nil
}

func (l *taskList) Task(name string) (app.Task, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, t := range l.tasks {
		if t.Name == name {
			return t, nil
		}
	}
	return app.Task{}, fmt.Errorf("task %q %w", name, app.ErrNotFound)
}

func (l *taskList) Tasks() []app.Task {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.tasks)
}

func (l *taskList) CancelTask(_ context.Context, name string) (app.Task, error) {
	defer l.changed()
	t, err := l.Task(name)
	if err != nil {
		return t, err
	}
	if t.State == app.Completed {
		return t, fmt.Errorf("task %q has ended already: %w", name, app.ErrConflict)
	}
	t.State, t.Cancelled = app.Completed, true
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tasks[slices.IndexFunc(l.tasks, func(x app.Task) bool { return x.Name == name })] = t
	return t, nil
}

func (l *taskList) DeleteTask(_ context.Context, name string) error {
	if _, err := l.Task(name); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.tasks = slices.DeleteFunc(l.tasks, func(t app.Task) bool { return t.Name == name })
	return nil
}

func (l *taskList) CreateSchedule(_ context.Context, s app.Schedule) (app.Schedule, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.schedules = append(l.schedules, s)
	return s, nil
}

func (l *taskList) Schedule(name string) (app.Schedule, error) {
	for _, s := range l.Schedules() {
		if s.Name == name {
			return s, nil
		}
	}
	return app.Schedule{}, fmt.Errorf("schedule %q %w", name, app.ErrNotFound)
}

func (l *taskList) Schedules() []app.Schedule {
	l.mu.Lock()
	defer l.mu.Unlock()
	return slices.Clone(l.schedules)
}

func (l *taskList) RemoveSchedule(_ context.Context, name string) error {
	if _, err := l.Schedule(name); err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.schedules = slices.DeleteFunc(l.schedules, func(s app.Schedule) bool { return s.Name == name })
	return nil
}

func TestLifeOfATask(t *testing.T) {
	ctx, b := t.Context(), start(t, &backend{})
	made, err := b.user.CreateTask(ctx, app.Task{Spec: app.App{Image: "alpine:3", MemoryMB: 64, Env: map[string]string{"KEY": "secret"}}})
	if err != nil || !strings.HasPrefix(made.Name, "alpine-") || made.Spec.Name != made.Name || made.Spec.Instances != 1 || made.Spec.Check.Type != app.CheckNone || made.TTL == 0 {
		t.Fatalf("created: %+v %v", made, err)
	}
	if _, err := b.user.CreateTask(ctx, app.Task{Name: made.Name, Spec: app.App{Image: "alpine"}}); !errors.Is(err, app.ErrExists) {
		t.Errorf("created twice: %v", err)
	}
	all, err := b.user.Tasks(ctx)
	if err != nil || len(all) != 1 {
		t.Fatalf("tasks: %+v %v", all, err)
	}
	one, err := b.user.Task(ctx, made.Name)
	for _, x := range []app.Task{made, all[0], one} {
		if x.Spec.Env["KEY"] != app.Hidden || err != nil {
			t.Errorf("a value of the environment is shown: %v %v", x.Spec.Env, err)
		}
	}
	var states []app.State
	err = b.user.WatchTask(ctx, made.Name, func(x app.Task) error {
		if states = append(states, x.State); x.State == app.Completed {
			return context.Canceled
		}
		go b.user.CancelTask(ctx, made.Name)
		return nil
	})
	if !slices.Equal(states, []app.State{app.Pending, app.Completed}) {
		t.Errorf("watched: %v %v", states, err)
	}
	if _, err := b.user.CancelTask(ctx, made.Name); !errors.Is(err, app.ErrConflict) {
		t.Errorf("cancelled twice: %v", err)
	}
	if err := b.user.DeleteTask(ctx, made.Name); err != nil {
		t.Error(err)
	}
	if _, err := b.user.Task(ctx, made.Name); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("deleted: %v", err)
	}
}

func TestLifeOfASchedule(t *testing.T) {
	ctx, b := t.Context(), start(t, &backend{})
	made, err := b.user.CreateSchedule(ctx, app.Schedule{Name: "nightly", Cron: "@daily", Task: app.Task{Spec: app.App{Image: "alpine", Env: map[string]string{"KEY": "secret"}}}})
	if err != nil || made.Concurrency != app.Allow || made.Keep != app.DefaultScheduleKeep || made.Task.Spec.Env["KEY"] != app.Hidden {
		t.Fatalf("created: %+v %v", made, err)
	}
	if all, err := b.user.Schedules(ctx); err != nil || len(all) != 1 || all[0].Task.Spec.Env["KEY"] != app.Hidden {
		t.Errorf("schedules: %+v %v", all, err)
	}
	if one, err := b.user.Schedule(ctx, "nightly"); err != nil || one.Name != "nightly" || one.Task.Spec.Env["KEY"] != app.Hidden {
		t.Errorf("schedule: %+v %v", one, err)
	}
	if err := b.user.RemoveSchedule(ctx, "nightly"); err != nil {
		t.Error(err)
	}
	if _, err := b.user.Schedule(ctx, "nightly"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("removed: %v", err)
	}
}

func TestTasksThatAreRefused(t *testing.T) {
	b := start(t, &backend{})
	for _, tt := range []struct{ method, path, body, says string }{
		{"POST", "/tasks", `{"spec":{"image":"Alpine"}}`, "upper-case"},
		{"POST", "/tasks", `{"spec":{"image":"a"},"colour":1}`, "colour"},
		{"POST", "/tasks", `{"spec":{"image":"a","instances":2}}`, "one instance"},
		{"POST", "/tasks", `{"spec":{"image":"a","routes":[{"host":"x"}]}}`, "no routes"},
		{"POST", "/tasks", `{"spec":{"image":"a","check":{"type":"port"}}}`, "no checks"},
		{"POST", "/tasks", `{"spec":{"image":"a"},"retries":21}`, "0 to 20"},
		{"POST", "/tasks", `{"spec":{"image":"a"},"timeout":"-1s"}`, "timeout"},
		{"POST", "/tasks", `{"spec":{"image":"a"},"result_file":"x"}`, "absolute path"},
		{"POST", "/tasks", `{"spec":{"image":"a"},"callback_url":"ftp://user:word@x"}`, "https://HOST/PATH"},
		{"POST", "/schedules", `{"name":"x","task":{"spec":{"image":"a"}},"concurrency":"some"}`, "forbid"},
		{"POST", "/schedules", `{"name":"` + strings.Repeat("x", 60) + `","task":{"spec":{"image":"a"}}}`, "NAME-1"},
	} {
		resp, body := b.raw(t, tt.method, "/api/v1"+tt.path, userToken, strings.NewReader(tt.body))
		if code := resp.StatusCode; code/100 != 4 || !strings.Contains(body, tt.says) || strings.Contains(body, "word") {
			t.Errorf("%s: got %d %s, want %q in it", tt.body, resp.StatusCode, body, tt.says)
		}
	}
}

var _ api.Tasks = (*taskList)(nil)
