package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// Doctor looks at the brain's own host and process.
type Doctor interface {
	// Diagnose says what it found. It takes some seconds at most.
	Diagnose(ctx context.Context) []app.Finding

	// Support returns what helps to find out what is wrong: names of files and
	// what is in them, without secrets.
	Support(ctx context.Context) (map[string][]byte, error)
}

func (s *server) diagnose(c *gin.Context) {
	s.done(c, http.StatusOK, some(s.cfg.Doctor.Diagnose(c.Request.Context())), nil)
}

func (s *server) support(c *gin.Context) {
	files, err := s.cfg.Doctor.Support(c.Request.Context())
	s.done(c, http.StatusOK, files, err)
}

// Diagnose returns what the brain found when it looked at itself.
func (c *Client) Diagnose(ctx context.Context) ([]app.Finding, error) {
	return get[[]app.Finding](ctx, c, "/doctor")
}

// Support returns files about the brain's inside, by name, for those who find
// out what is wrong.
func (c *Client) Support(ctx context.Context) (map[string][]byte, error) {
	return get[map[string][]byte](ctx, c, "/support")
}
