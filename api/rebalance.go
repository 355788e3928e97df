package api

import (
	"context"
	"net/http"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// RebalanceRequest is the body of POST /rebalance.
type RebalanceRequest struct {
	MaxInFlight int `json:"max_in_flight,omitempty"` // instances that move at a time; 0: app.DefaultRebalanceInFlight
}

func (s *server) showBalance(c *gin.Context) {
	s.answer(c, http.StatusOK, s.cfg.Cells.Balance())
}

func (s *server) rebalance(c *gin.Context) {
	var r RebalanceRequest
	if err := readStrict(c, &r); err != nil {
		s.fail(c, err)
		return
	}
	if err := app.ValidInFlight(r.MaxInFlight); err != nil {
		s.fail(c, err)
		return
	}
	b, err := s.cfg.Cells.Rebalance(c.Request.Context(), r.MaxInFlight)
	s.done(c, http.StatusOK, b, err)
}

func (s *server) stopRebalance(c *gin.Context) {
	if err := s.cfg.Cells.StopRebalance(c.Request.Context()); err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// Balance returns what Rebalance would move, or has yet to move.
func (c *Client) Balance(ctx context.Context) (app.Rebalancing, error) {
	return get[app.Rebalancing](ctx, c, "/rebalance")
}

// Rebalance begins to move instances so that all cells are used evenly, at most
// maxInFlight at a time; 0 is the usual number.
func (c *Client) Rebalance(ctx context.Context, maxInFlight int) (app.Rebalancing, error) {
	var b app.Rebalancing
	err := c.call(ctx, http.MethodPost, "/rebalance", RebalanceRequest{maxInFlight}, &b)
	return b, err
}

// StopRebalance moves nothing more.
func (c *Client) StopRebalance(ctx context.Context) error {
	return c.call(ctx, http.MethodDelete, "/rebalance", nil, nil)
}
