package api

import (
	"cmp"
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// Tasks is what the brain has of tasks and schedules. All methods may be called
// concurrently; what they return must not be changed any more. What is given
// was validated as far as it can be without looking at others. Apps.Changed
// tells of changes.
type Tasks interface {
	// CreateTask is ErrExists if an app or a task has the name.
	CreateTask(ctx context.Context, t app.Task) (app.Task, error)

	// Task is ErrNotFound if there is no such task. Tasks is without results,
	// the newest first.
	Task(name string) (app.Task, error)
	Tasks() []app.Task

	// CancelTask is ErrConflict if the task has ended.
	CancelTask(ctx context.Context, name string) (app.Task, error)
	DeleteTask(ctx context.Context, name string) error

	// CreateSchedule is ErrExists if the name is taken, and ErrInvalid if its
	// time can't be read or never comes.
	CreateSchedule(ctx context.Context, s app.Schedule) (app.Schedule, error)
	Schedule(name string) (app.Schedule, error)
	Schedules() []app.Schedule // by name
	RemoveSchedule(ctx context.Context, name string) error
}

// newTask returns what a task is before its body is read.
func newTask() app.Task { return app.Task{Spec: newApp()} }

func (s *server) createTask(c *gin.Context) {
	t := newTask()
	err := readStrict(c, &t)
	if err == nil && t.Build != nil {
		err = app.Invalid("a task can't ask for a build: POST /api/v1/builds does")
	}
	if err == nil {
		t.Name = cmp.Or(t.Name, t.Spec.Name, app.TaskName(t.Spec.Image))
		t = t.WithDefaults()
		err = errors.Join(t.Validate(), validImage(t.Spec.Image))
	}
	ctx, loginErr := withLogin(c)
	if err = errors.Join(err, loginErr); err == nil {
		t, err = s.cfg.Tasks.CreateTask(ctx, t)
	}
	s.done(c, http.StatusCreated, t.WithoutSecrets(), err)
}

func (s *server) listTasks(c *gin.Context) {
	view(s, c, func() ([]app.Task, error) { return hidden(s.cfg.Tasks.Tasks()), nil })
}

func (s *server) showTask(c *gin.Context) {
	name := c.Param("name")
	view(s, c, func() (app.Task, error) {
		t, err := s.cfg.Tasks.Task(name)
		return t.WithoutSecrets(), err
	})
}

func (s *server) cancelTask(c *gin.Context) {
	t, err := s.cfg.Tasks.CancelTask(c.Request.Context(), c.Param("name"))
	s.done(c, http.StatusOK, t.WithoutSecrets(), err)
}

func (s *server) deleteTask(c *gin.Context) {
	if err := s.cfg.Tasks.DeleteTask(c.Request.Context(), c.Param("name")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *server) createSchedule(c *gin.Context) {
	sch := app.Schedule{Task: newTask()}
	err := readStrict(c, &sch)
	if err == nil && sch.Task.Build != nil {
		err = app.Invalid("a schedule can't build images")
	}
	if err == nil {
		sch = sch.WithDefaults()
		err = errors.Join(sch.Validate(), validImage(sch.Task.Spec.Image))
	}
	ctx, loginErr := withLogin(c)
	if err = errors.Join(err, loginErr); err == nil {
		sch, err = s.cfg.Tasks.CreateSchedule(ctx, sch)
	}
	s.done(c, http.StatusCreated, sch.WithoutSecrets(), err)
}

func (s *server) listSchedules(c *gin.Context) {
	view(s, c, func() ([]app.Schedule, error) { return hidden(s.cfg.Tasks.Schedules()), nil })
}

func (s *server) showSchedule(c *gin.Context) {
	name := c.Param("name")
	view(s, c, func() (app.Schedule, error) {
		sch, err := s.cfg.Tasks.Schedule(name)
		return sch.WithoutSecrets(), err
	})
}

func (s *server) removeSchedule(c *gin.Context) {
	if err := s.cfg.Tasks.RemoveSchedule(c.Request.Context(), c.Param("name")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// hidden returns the list without secrets, but never null.
func hidden[T interface{ WithoutSecrets() T }](list []T) []T {
	out := make([]T, len(list))
	for i, v := range list {
		out[i] = v.WithoutSecrets()
	}
	return out
}
