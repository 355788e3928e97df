package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// rehearsed answers with what a change would lead to, if that is what the caller
// asked for with dry_run=true, and reports whether it has answered.
func (s *server) rehearsed(c *gin.Context, rehearse func(context.Context) (app.Rehearsal, error)) bool {
	dry, err := flag(c, "dry_run")
	switch {
	case err != nil:
		s.fail(c, err)
	case dry:
		r, err := rehearse(c.Request.Context())
		s.done(c, http.StatusOK, r, err)
	}
	return err != nil || dry
}

// RehearseCreate returns what CreateApp would lead to. Nothing changes, and the
// errors are the same.
func (c *Client) RehearseCreate(ctx context.Context, a app.App) (app.Rehearsal, error) {
	return c.rehearse(ctx, http.MethodPost, "/apps", a)
}

// RehearseUpdate is for UpdateApp what RehearseCreate is for CreateApp.
func (c *Client) RehearseUpdate(ctx context.Context, a app.App, o app.RolloutOptions) (app.Rehearsal, error) {
	return c.rehearse(ctx, http.MethodPut, appPath(a.Name), UpdateRequest{App: a, RolloutOptions: o})
}

// RehearseScale is for Scale.
func (c *Client) RehearseScale(ctx context.Context, name string, instances int) (app.Rehearsal, error) {
	return c.rehearse(ctx, http.MethodPut, appPath(name)+"/instances", ScaleRequest{&instances})
}

func (c *Client) rehearse(ctx context.Context, method, path string, in any) (app.Rehearsal, error) {
	var out app.Rehearsal
	err := c.call(ctx, method, path+"?dry_run=true", in, &out)
	return out, err
}
