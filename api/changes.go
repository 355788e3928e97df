package api

import (
	"context"
	"errors"
	"net/http"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

func (s *server) updateApp(c *gin.Context) {
	r, err := readUpdate(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	if s.rehearsed(c, func(ctx context.Context) (app.Rehearsal, error) {
		return s.cfg.Apps.RehearseUpdate(ctx, r.App, r.RolloutOptions)
	}) {
		return
	}
	ctx, err := withLogin(c)
	if err == nil {
		r.App, err = s.cfg.Apps.Update(ctx, r.App, r.RolloutOptions, r.Pull)
	}
	s.done(c, http.StatusOK, r.App, err)
}

// readUpdate returns the body, valid as far as that can be told here.
func readUpdate(c *gin.Context) (UpdateRequest, error) {
	name, r := c.Param("name"), UpdateRequest{App: newApp()}
	if err := readStrict(c, &r); err != nil {
		return r, err
	}
	if r.App.Name == "" {
		r.App.Name = name
	}
	if r.App.Name != name {
		return r, app.Invalid("the app %.100q can't be renamed to %.100q: create one of the new name, then remove the old one", name, r.App.Name)
	}
	if r.App.Revision == 0 {
		return r, app.Invalid(`the app's revision is missing: send the one you saw, so that nobody's change is lost`)
	}
	seen := r.App.Revision
	r.App = completed(r.App)
	r.App.Revision = seen
	return r, errors.Join(r.App.Validate(), validImage(r.App.Image), r.RolloutOptions.Validate())
}

func (s *server) listRevisions(c *gin.Context) {
	list, err := s.cfg.Apps.Revisions(c.Param("name"))
	s.done(c, http.StatusOK, some(list), err)
}

func (s *server) rollbackApp(c *gin.Context) {
	var r RollbackRequest
	if err := readStrict(c, &r); err != nil {
		s.fail(c, err)
		return
	}
	a, err := s.cfg.Apps.Rollback(c.Request.Context(), c.Param("name"), r.Revision)
	s.done(c, http.StatusOK, a, err)
}

func (s *server) restartApp(c *gin.Context) {
	var r RestartRequest
	err := readStrict(c, &r)
	index := allInstances
	if r.Index != nil {
		if index = *r.Index; index < 0 {
			err = errors.Join(err, app.Invalid("there is no instance %d: leave the index out to restart all", index))
		}
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	a, err := s.cfg.Apps.Restart(c.Request.Context(), c.Param("name"), index)
	s.done(c, http.StatusOK, a, err)
}

const allInstances = -1

func (s *server) stopApp(c *gin.Context) {
	a, err := s.cfg.Apps.SetStopped(c.Request.Context(), c.Param("name"), true)
	s.done(c, http.StatusOK, a, err)
}

func (s *server) startApp(c *gin.Context) {
	a, err := s.cfg.Apps.SetStopped(c.Request.Context(), c.Param("name"), false)
	s.done(c, http.StatusOK, a, err)
}

func (s *server) promoteApp(c *gin.Context) {
	a, err := s.cfg.Apps.Promote(c.Request.Context(), c.Param("name"))
	s.done(c, http.StatusOK, a, err)
}

func (s *server) drain(c *gin.Context) {
	var r DrainRequest
	err := readStrict(c, &r)
	if err == nil {
		err = app.ValidInFlight(r.MaxInFlight)
	}
	if err == nil {
		err = s.cfg.Cells.Drain(c.Request.Context(), c.Param("id"), r.MaxInFlight)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *server) undrain(c *gin.Context) {
	if err := s.cfg.Cells.Undrain(c.Request.Context(), c.Param("id")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *server) adoptStrays(c *gin.Context) { s.strays(c, s.cfg.Cells.Adopt) }

func (s *server) discardStrays(c *gin.Context) { s.strays(c, s.cfg.Cells.Discard) }

// strays does with strays what a person decided.
func (s *server) strays(c *gin.Context, do func(ctx context.Context, app string) ([]app.Instance, error)) {
	var r StraysRequest
	if err := readStrict(c, &r); err != nil {
		s.fail(c, err)
		return
	}
	list, err := do(c.Request.Context(), r.App)
	s.done(c, http.StatusOK, some(list), err)
}
