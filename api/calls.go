package api

import (
	"context"
	"net/http"
	"net/url"
	"strconv"

	"lattice/app"
)

// maxLogBatch is how much of log lines goes into one request, in bytes. It is
// far enough below maxCellBody for a longest line to come on top.
const maxLogBatch = 4 << 20

// Ping asks whether a brain is there. It needs no token.
func (c *Client) Ping(ctx context.Context) error {
	return c.call(ctx, http.MethodGet, "/ping", nil, nil)
}

// Info returns what the brain says of itself.
func (c *Client) Info(ctx context.Context) (Info, error) {
	return get[Info](ctx, c, "/info")
}

// CreateApp makes a new app and returns it as it was stored. It is ErrExists
// if the name is taken.
func (c *Client) CreateApp(ctx context.Context, a app.App) (app.App, error) {
	var out app.App
	err := c.call(ctx, http.MethodPost, "/apps", a, &out)
	return out, err
}

// Apps returns all apps by name.
func (c *Client) Apps(ctx context.Context) ([]app.Status, error) {
	return get[[]app.Status](ctx, c, "/apps")
}

// App returns one app. It is ErrNotFound if there is none of that name.
func (c *Client) App(ctx context.Context, name string) (app.Status, error) {
	return get[app.Status](ctx, c, appPath(name))
}

// WatchApps is Apps as a stream; see WatchApp.
func (c *Client) WatchApps(ctx context.Context, fn func([]app.Status) error) error {
	return c.stream(ctx, "/apps?watch=true", each(fn))
}

// WatchApp calls fn with the app as it is and again whenever it has changed;
// what happens while fn runs is told by one call. It returns the error that
// ended it: that of ctx, of fn, ErrNotFound when the app was removed, or
// ErrUnavailable.
func (c *Client) WatchApp(ctx context.Context, name string, fn func(app.Status) error) error {
	return c.stream(ctx, appPath(name)+"?watch=true", each(fn))
}

// Scale changes the number of instances and returns the app as it is then.
func (c *Client) Scale(ctx context.Context, name string, instances int) (app.App, error) {
	var out app.App
	err := c.call(ctx, http.MethodPut, appPath(name)+"/instances", ScaleRequest{&instances}, &out)
	return out, err
}

// RemoveApp removes an app, and its volumes if volumes is set. Its instances may
// still be stopping afterwards.
func (c *Client) RemoveApp(ctx context.Context, name string, volumes bool) error {
	path := appPath(name)
	if volumes {
		path += "?volumes=true"
	}
	return c.call(ctx, http.MethodDelete, path, nil, nil)
}

// Logs calls fn with each line that is wanted. It returns nil after the last
// one; if it follows, only the error that ended it.
func (c *Client) Logs(ctx context.Context, name string, opt LogOptions, fn func(app.LogLine) error) error {
	return c.logs(ctx, appPath(name)+"/logs", opt, fn)
}

func (c *Client) logs(ctx context.Context, path string, opt LogOptions, fn func(app.LogLine) error) error {
	q := url.Values{"lines": {strconv.Itoa(opt.Lines)}}
	if opt.Follow {
		q.Set("follow", "true")
	}
	err := c.stream(ctx, path+"?"+q.Encode(), each(fn))
	if err == errEnded && !opt.Follow {
		return nil
	}
	return err
}

// Cells returns all cells that are known, by ID.
func (c *Client) Cells(ctx context.Context) ([]CellStatus, error) {
	return get[[]CellStatus](ctx, c, "/cells")
}

// WatchCells is Cells as a stream; see WatchApp.
func (c *Client) WatchCells(ctx context.Context, fn func([]CellStatus) error) error {
	return c.stream(ctx, "/cells?watch=true", each(fn))
}

// Routes returns the routes as the router has them.
func (c *Client) Routes(ctx context.Context) ([]app.RouteStatus, error) {
	return get[[]app.RouteStatus](ctx, c, "/routes")
}

// Strays returns the containers that run though the brain doesn't know them.
func (c *Client) Strays(ctx context.Context) ([]app.Instance, error) {
	return get[[]app.Instance](ctx, c, "/strays")
}

// Work calls fn with the whole work of the cell. It and what follows want the
// cell's certificate. fn is called at once and whenever it has
// changed, as WatchApp does. It is ErrNotFound if the cell hasn't joined.
func (c *Client) Work(ctx context.Context, cell string, fn func(app.Work) error) error {
	return c.stream(ctx, cellPath(cell)+"/work", each(fn))
}

// Report tells the brain all that the cell r.Cell runs.
func (c *Client) Report(ctx context.Context, r app.Report) error {
	return c.call(ctx, http.MethodPost, cellPath(r.Cell)+"/report", r, nil)
}

// SendLogs hands lines to the brain, of any number. After an error nobody
// knows which arrived; sending some again does no harm.
func (c *Client) SendLogs(ctx context.Context, cell string, lines []app.LogLine) error {
	var batch []byte
	for i, l := range lines {
		batch = app.AppendLogLine(batch, l)
		if len(batch) < maxLogBatch && i < len(lines)-1 {
			continue
		}
		if err := c.send(ctx, http.MethodPost, cellPath(cell)+"/logs", "text/plain; charset=utf-8", batch, nil); err != nil {
			return err
		}
		batch = batch[:0]
	}
	return nil
}

// LogCursors returns the Seq of the last line that the brain has of each of
// the instances; those of which it has none are missing.
func (c *Client) LogCursors(ctx context.Context, cell string, guids []string) (map[string]uint64, error) {
	var out map[string]uint64
	err := c.call(ctx, http.MethodPost, cellPath(cell)+"/log-cursors", guids, &out)
	return out, err
}

func get[T any](ctx context.Context, c *Client, path string) (T, error) {
	var out T
	err := c.call(ctx, http.MethodGet, path, nil, &out)
	return out, err
}

func appPath(name string) string { return "/apps/" + url.PathEscape(name) }

func cellPath(id string) string { return "/cells/" + url.PathEscape(id) }
