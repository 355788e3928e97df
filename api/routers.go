package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

func (s *server) routing(c *gin.Context) {
	follow := s.cfg.Routers.FollowRouting
	s.stream(c, func(ctx context.Context, out *stream) error {
		return follow(ctx, c.Param("id"), func(r app.Routing) error { return send(out, r) })
	})
}

func (s *server) reportRouter(c *gin.Context) {
	var r app.RouterReport
	err := readLenient(c, &r)
	if err == nil && r.Cell != c.Param("id") {
		err = app.Invalid("the report is of the router of cell %.100q and was sent for %.100q", r.Cell, c.Param("id"))
	}
	if err == nil {
		err = s.cfg.Routers.ReportRouter(r)
	}
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

func (s *server) appsCertificate(c *gin.Context) {
	var r Renewal
	if err := readLenient(c, &r); err != nil {
		s.fail(c, err)
		return
	}
	cert, err := s.cfg.Routers.AppsCertificate(c.Param("id"), []byte(r.CSR))
	s.done(c, http.StatusOK, Renewal{Certificate: string(cert)}, err)
}

// Routing calls fn with what the router of a cell is to go by, the whole at
// once and then what changes, until ctx is done, the connection breaks or fn fails.
func (c *Client) Routing(ctx context.Context, cell string, fn func(app.Routing) error) error {
	return c.stream(ctx, cellPath(cell)+"/routing", each(fn))
}

// ReportRouter tells the brain how the router of the cell r.Cell is.
func (c *Client) ReportRouter(ctx context.Context, r app.RouterReport) error {
	return c.call(ctx, http.MethodPost, cellPath(r.Cell)+"/router", r, nil)
}

// AppsCertificate returns a certificate, in PEM, for the names in the request.
func (c *Client) AppsCertificate(ctx context.Context, cell string, csr []byte) ([]byte, error) {
	var out Renewal
	err := c.call(ctx, http.MethodPost, cellPath(cell)+"/apps-certificate", Renewal{CSR: string(csr)}, &out)
	return []byte(out.Certificate), err
}
