package api

import (
	"context"
	"errors"
	"net/http"
	"strconv"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

const defaultLines = 100 // of logs, when the query doesn't say

func (s *server) createApp(c *gin.Context) {
	a, err := readApp(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	if s.rehearsed(c, func(ctx context.Context) (app.Rehearsal, error) { return s.cfg.Apps.RehearseCreate(ctx, a) }) {
		return
	}
	ctx, err := withLogin(c)
	if err == nil {
		a, err = s.cfg.Apps.Create(ctx, a)
	}
	s.done(c, http.StatusCreated, a, err)
}

// readApp returns the app of the body, valid as far as that can be told here.
func readApp(c *gin.Context) (app.App, error) {
	a := newApp()
	if err := readStrict(c, &a); err != nil {
		return app.App{}, err
	}
	a = completed(a)
	return a, errors.Join(a.Validate(), validImage(a.Image))
}

// newApp returns what an app is before its body is read: a zero in the body
// means zero, so what is left out is set before.
func newApp() app.App { return app.App{Instances: 1, MemoryMB: app.DefaultMemoryMB} }

// completed returns a with its defaults and without what is the brain's to set.
func completed(a app.App) app.App {
	a = a.WithDefaults()
	a.Revision, a.Stopped, a.Held, a.Rollout, a.CreatedAt, a.Digest = 0, false, "", nil, time.Time{}, ""
	return a
}

func (s *server) listApps(c *gin.Context) {
	view(s, c, func() ([]app.Status, error) { return some(s.cfg.Apps.Statuses()), nil })
}

func (s *server) showApp(c *gin.Context) {
	name := c.Param("name")
	view(s, c, func() (app.Status, error) { return s.cfg.Apps.Status(name) })
}

func (s *server) scaleApp(c *gin.Context) {
	var r ScaleRequest
	err := readStrict(c, &r)
	if err == nil && r.Instances == nil {
		err = app.Invalid(`the number of instances is missing: send {"instances":N}`)
	}
	if err == nil {
		err = app.ValidInstances(*r.Instances)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	name := c.Param("name")
	if s.rehearsed(c, func(ctx context.Context) (app.Rehearsal, error) {
		return s.cfg.Apps.RehearseScale(ctx, name, *r.Instances)
	}) {
		return
	}
	a, err := s.cfg.Apps.Scale(c.Request.Context(), name, *r.Instances)
	s.done(c, http.StatusOK, a, err)
}

func (s *server) removeApp(c *gin.Context) {
	volumes, err := flag(c, "volumes")
	if err == nil {
		err = s.cfg.Apps.Remove(c.Request.Context(), c.Param("name"), volumes)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// showLogs streams lines of an app or a task, also of one that was removed while its
// lines are still kept.
func (s *server) showLogs(c *gin.Context) {
	name := c.Param("name")
	opt, err := logOptions(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	if _, err := s.cfg.Apps.Status(name); err != nil && (name == app.DebugLog || len(s.cfg.Logs.Tail(name, 1)) == 0) {
		if _, isTask := s.cfg.Tasks.Task(name); isTask != nil {
			s.fail(c, err)
			return
		}
	}
	s.streamLogs(c, name, opt)
}

func (s *server) streamLogs(c *gin.Context, name string, opt LogOptions) {
	follow, tail := s.cfg.Logs.Follow, s.cfg.Logs.Tail
	s.stream(c, func(ctx context.Context, out *stream) error {
		if opt.Follow {
			return follow(ctx, name, opt.Lines, func(lines []app.LogLine) error { return send(out, lines...) })
		}
		return send(out, tail(name, opt.Lines)...)
	})
}

func logOptions(c *gin.Context) (LogOptions, error) {
	follow, err := flag(c, "follow")
	if err != nil {
		return LogOptions{}, err
	}
	text := c.DefaultQuery("lines", strconv.Itoa(defaultLines))
	lines, err := strconv.Atoi(text)
	if err != nil || lines < -1 {
		return LogOptions{}, app.Invalid("lines=%.40q in the address must be a whole number, or -1 for all lines that are kept", text)
	}
	return LogOptions{Lines: lines, Follow: follow}, nil
}

// some returns list, but never null.
func some[T any](list []T) []T {
	if list == nil {
		return []T{}
	}
	return list
}
