package api

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// Builds makes images of source. A build is a task, and ends as one does.
type Builds interface {
	// CreateBuild makes the task. It waits for its source.
	CreateBuild(ctx context.Context, r app.BuildRequest) (app.Task, error)

	// SendSource gives the build its source, a tar stream packed with gzip, when
	// it has a cell. It returns when the build has taken all of it. It is
	// ErrConflict if the build has ended.
	SendSource(ctx context.Context, task string, source io.Reader) error

	// MaxSource is how many bytes the source may have.
	MaxSource() int64
}

func (s *server) createBuild(c *gin.Context) {
	var r app.BuildRequest
	err := readStrict(c, &r)
	if err == nil {
		err = r.Validate()
	}
	if err == nil {
		err = errors.Join(validImage(r.Image), validImage(r.Builder))
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	t, err := s.cfg.Builds.CreateBuild(c.Request.Context(), r)
	s.done(c, http.StatusCreated, t.WithoutSecrets(), err)
}

func (s *server) listBuilds(c *gin.Context) {
	view(s, c, func() ([]app.Task, error) {
		all := []app.Task{}
		for _, t := range s.cfg.Tasks.Tasks() {
			if t.Build != nil {
				all = append(all, t)
			}
		}
		return hidden(all), nil
	})
}

func (s *server) sendSource(c *gin.Context) {
	most := s.cfg.Builds.MaxSource()
	err := s.cfg.Builds.SendSource(c.Request.Context(), c.Param("name"), http.MaxBytesReader(c.Writer, c.Request.Body, most))
	var big *http.MaxBytesError
	if errors.As(err, &big) {
		err = sayf(errTooLarge, "the source has more than %d MiB, packed: leave files out in .dockerignore, or start the brain with a larger --max-build-source", most>>20)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// CreateBuild begins to make an image. It waits for its source; see SendSource.
func (c *Client) CreateBuild(ctx context.Context, r app.BuildRequest) (app.Task, error) {
	var out app.Task
	err := c.call(ctx, http.MethodPost, "/builds", r, &out)
	return out, err
}

// Builds returns the builds that are known, the newest first.
func (c *Client) Builds(ctx context.Context) ([]app.Task, error) {
	return get[[]app.Task](ctx, c, "/builds")
}

// SendSource gives a build its source, a tar stream packed with gzip, and returns
// when the build has taken it.
func (c *Client) SendSource(ctx context.Context, task string, source io.Reader) error {
	resp, err := c.carry(ctx, http.MethodPut, "/builds/"+url.PathEscape(task)+"/source", "application/gzip", source)
	if err != nil {
		return fmt.Errorf("send the source: %w", err)
	}
	return resp.Body.Close()
}
