package api

import (
	"context"
	"net/http"
	"net/url"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// A FeatureRequest enables a feature or disables it.
type FeatureRequest struct {
	Enabled *bool `json:"enabled"`
}

func (s *server) listFeatures(c *gin.Context) {
	s.answer(c, http.StatusOK, s.cfg.Apps.Features())
}

func (s *server) setFeature(c *gin.Context) {
	var r FeatureRequest
	err := readStrict(c, &r)
	if err == nil && r.Enabled == nil {
		err = app.Invalid(`whether it is enabled is missing: send {"enabled":true} or {"enabled":false}`)
	}
	var f app.Feature
	if err == nil {
		f, err = s.cfg.Apps.SetFeature(c.Request.Context(), c.Param("name"), *r.Enabled)
	}
	s.done(c, http.StatusOK, f, err)
}

// Features returns all features, by name.
func (c *Client) Features(ctx context.Context) ([]app.Feature, error) {
	return get[[]app.Feature](ctx, c, "/features")
}

// SetFeature enables a feature or disables it. It is ErrNotFound if there is none
// of that name.
func (c *Client) SetFeature(ctx context.Context, name string, enabled bool) (app.Feature, error) {
	var f app.Feature
	err := c.call(ctx, http.MethodPut, "/features/"+url.PathEscape(name), FeatureRequest{&enabled}, &f)
	return f, err
}
