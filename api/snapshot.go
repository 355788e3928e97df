package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/gin-gonic/gin"
)

// snapshotTime is how long a client may take for the store: until then what the
// store replaces stays on the brain's disk.
const snapshotTime = 5 * time.Minute

// Store is where desired state is kept.
type Store interface {
	// Snapshot writes all of it as it is at this moment.
	Snapshot(w io.Writer) error
}

func (s *server) snapshot(c *gin.Context) {
	if err := http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(snapshotTime)); err != nil {
		s.fail(c, fmt.Errorf("limit the time for a snapshot: %w", err))
		return
	}
	c.Header("Content-Type", "application/octet-stream")
	if err := s.cfg.Store.Snapshot(c.Writer); err != nil {
		s.cfg.Log.Warn("snapshot not sent", "err", err)
		panic(http.ErrAbortHandler) // the client must not take a part for all of it
	}
}

// Snapshot writes the brain's store as it is at this moment to w. What was
// written before an error is of no use.
func (c *Client) Snapshot(ctx context.Context, w io.Writer) error {
	resp, err := c.do(ctx, http.MethodGet, "/store", "", nil)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	if _, err := io.Copy(w, resp.Body); err != nil {
		return c.broken(ctx, err)
	}
	return nil
}
