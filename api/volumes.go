package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

func (s *server) listVolumes(c *gin.Context) {
	s.answer(c, http.StatusOK, some(s.cfg.Volumes.Volumes()))
}

func (s *server) removeVolume(c *gin.Context) {
	if err := s.cfg.Volumes.RemoveVolume(c.Request.Context(), c.Param("id")); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// Volumes returns the named volumes, by app, name and index.
func (c *Client) Volumes(ctx context.Context) ([]app.VolumeStatus, error) {
	return get[[]app.VolumeStatus](ctx, c, "/volumes")
}

// RemoveVolume has the cell delete a volume with all that is in it.
func (c *Client) RemoveVolume(ctx context.Context, id string) error {
	return c.call(ctx, http.MethodDelete, "/volumes/"+url.PathEscape(id), nil, nil)
}
