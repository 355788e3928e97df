package api

import (
	"context"
	"net/http"

	"lattice/app"
)

// UpdateApp makes a the whole new spec of the app of its name and returns it
// as it was stored. It is ErrConflict if somebody else has changed the app
// since it had a.Revision. With pull the registry is asked again what the tag of
// its image stands for.
func (c *Client) UpdateApp(ctx context.Context, a app.App, o app.RolloutOptions, pull bool) (app.App, error) {
	var out app.App
	err := c.call(ctx, http.MethodPut, appPath(a.Name), UpdateRequest{a, o, pull}, &out)
	return out, err
}

// Revisions returns the app as it was after each change, newest first. The
// values of its environment are secrets.
func (c *Client) Revisions(ctx context.Context, name string) ([]app.Revision, error) {
	return get[[]app.Revision](ctx, c, appPath(name)+"/revisions")
}

// Rollback goes back to a revision, 0 being the one before the current.
func (c *Client) Rollback(ctx context.Context, name string, revision uint64) (app.App, error) {
	return c.change(ctx, name, "rollback", RollbackRequest{revision})
}

// Restart puts a new container in the place of one instance, or for an index
// below 0 of all, a few at a time.
func (c *Client) Restart(ctx context.Context, name string, index int) (app.App, error) {
	var r RestartRequest
	if index >= 0 {
		r.Index = &index
	}
	return c.change(ctx, name, "restart", r)
}

// SetStopped stops all instances and keeps the app, or starts them again.
func (c *Client) SetStopped(ctx context.Context, name string, stopped bool) (app.App, error) {
	what := "start"
	if stopped {
		what = "stop"
	}
	return c.change(ctx, name, what, nil)
}

// Promote lets a canary that is paused go on to the other instances.
func (c *Client) Promote(ctx context.Context, name string) (app.App, error) {
	return c.change(ctx, name, "promote", nil)
}

func (c *Client) change(ctx context.Context, name, what string, in any) (app.App, error) {
	var out app.App
	err := c.call(ctx, http.MethodPost, appPath(name)+"/"+what, in, &out)
	return out, err
}

// Drain moves a cell's instances away, at most maxInFlight at a time, 0 being
// what is usual. It does not wait for that. A cell may do it to itself.
func (c *Client) Drain(ctx context.Context, cell string, maxInFlight int) error {
	return c.call(ctx, http.MethodPut, cellPath(cell)+"/drain", DrainRequest{maxInFlight}, nil)
}

// Undrain lets a cell have instances again.
func (c *Client) Undrain(ctx context.Context, cell string) error {
	return c.call(ctx, http.MethodDelete, cellPath(cell)+"/drain", nil, nil)
}

// Adopt takes the strays of an app, or all for "", under management and
// returns them.
func (c *Client) Adopt(ctx context.Context, name string) ([]app.Instance, error) {
	return c.decide(ctx, "adopt", name)
}

// Discard has the strays of an app stopped, or all for "", and returns them.
func (c *Client) Discard(ctx context.Context, name string) ([]app.Instance, error) {
	return c.decide(ctx, "discard", name)
}

func (c *Client) decide(ctx context.Context, what, name string) ([]app.Instance, error) {
	var out []app.Instance
	err := c.call(ctx, http.MethodPost, "/strays/"+what, StraysRequest{name}, &out)
	return out, err
}
