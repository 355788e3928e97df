package api

import (
	"context"
	"net/http"
	"net/url"

	"lattice/app"
)

// CreateTask makes a new task and returns it as it was stored, under a name that
// the brain chose if it had none. It is ErrExists if the name is taken. Here and
// in what follows the brain shows no values of the environment.
func (c *Client) CreateTask(ctx context.Context, t app.Task) (app.Task, error) {
	var out app.Task
	err := c.call(ctx, http.MethodPost, "/tasks", t, &out)
	return out, err
}

// Tasks returns all tasks, the newest first, without their results.
func (c *Client) Tasks(ctx context.Context) ([]app.Task, error) {
	return get[[]app.Task](ctx, c, "/tasks")
}

// Task returns one task. It is ErrNotFound if there is none of that name.
func (c *Client) Task(ctx context.Context, name string) (app.Task, error) {
	return get[app.Task](ctx, c, taskPath(name))
}

// WatchTask is Task as a stream; see WatchApp.
func (c *Client) WatchTask(ctx context.Context, name string, fn func(app.Task) error) error {
	return c.stream(ctx, taskPath(name)+"?watch=true", each(fn))
}

// CancelTask ends a task. Its container may still be stopping afterwards. It is
// ErrConflict if the task has ended.
func (c *Client) CancelTask(ctx context.Context, name string) (app.Task, error) {
	var out app.Task
	err := c.call(ctx, http.MethodPost, taskPath(name)+"/cancel", nil, &out)
	return out, err
}

// DeleteTask ends a task, if that is still to do, and forgets it.
func (c *Client) DeleteTask(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, taskPath(name), nil, nil)
}

// CreateSchedule makes a new schedule and returns it as it was stored. It is
// ErrExists if the name is taken.
func (c *Client) CreateSchedule(ctx context.Context, s app.Schedule) (app.Schedule, error) {
	var out app.Schedule
	err := c.call(ctx, http.MethodPost, "/schedules", s, &out)
	return out, err
}

// Schedules returns all schedules by name.
func (c *Client) Schedules(ctx context.Context) ([]app.Schedule, error) {
	return get[[]app.Schedule](ctx, c, "/schedules")
}

// Schedule returns one schedule. It is ErrNotFound if there is none of that name.
func (c *Client) Schedule(ctx context.Context, name string) (app.Schedule, error) {
	return get[app.Schedule](ctx, c, schedulePath(name))
}

// RemoveSchedule forgets a schedule. The tasks it made stay.
func (c *Client) RemoveSchedule(ctx context.Context, name string) error {
	return c.call(ctx, http.MethodDelete, schedulePath(name), nil, nil)
}

func taskPath(name string) string { return "/tasks/" + url.PathEscape(name) }

func schedulePath(name string) string { return "/schedules/" + url.PathEscape(name) }
