package api

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// Programs has the clients that a brain hands out.
type Programs interface {
	// Program is ErrNotFound if there is none for that system.
	Program(goos, goarch string) (Program, error)
}

// A Program is a client for one system. Who gets it closes File.
type Program struct {
	File   io.ReadSeekCloser
	Size   int64
	SHA256 string // in hex
}

// programTime is how long the download of a program may take.
const programTime = 30 * time.Minute

func (s *server) showProgram(c *gin.Context) {
	if s.cfg.Programs == nil {
		s.fail(c, sayf(app.ErrNotFound, "this brain hands out no programs"))
		return
	}
	p, err := s.cfg.Programs.Program(c.Param("os"), c.Param("arch"))
	if err != nil {
		s.fail(c, err)
		return
	}
	defer p.File.Close()
	if err := http.NewResponseController(c.Writer).SetWriteDeadline(time.Now().Add(programTime)); err != nil {
		s.fail(c, fmt.Errorf("bound the download: %w", err))
		return
	}
	c.Header("ETag", `"`+p.SHA256+`"`)
	c.Header("Content-Type", "application/octet-stream")
	http.ServeContent(c.Writer, c.Request, "", time.Time{}, p.File)
}

// Program writes the brain's client for a system to what open returns, which
// is told its size and its SHA-256 in hex before. If open returns nil, nothing
// is written. Whether what was written has that sum is for the caller to see.
func (c *Client) Program(ctx context.Context, goos, goarch string, open func(size int64, sum string) (io.Writer, error)) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := time.AfterFunc(c.timeout, func() { cancel(c.slow()) })
	resp, err := c.do(ctx, http.MethodGet, "/clients/"+url.PathEscape(goos)+"/"+url.PathEscape(goarch), "", nil)
	slow.Stop()
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	sum := strings.Trim(resp.Header.Get("ETag"), `"`)
	if len(sum) != 64 || resp.ContentLength <= 0 {
		return sayf(app.ErrUnavailable, "%s did not answer as a brain does: is this the address of its API?", c.base)
	}
	to, err := open(resp.ContentLength, sum)
	if err != nil || to == nil {
		return err
	}
	n, err := io.Copy(to, io.LimitReader(c.guard(resp.Body, cancel), resp.ContentLength))
	if err == nil && n < resp.ContentLength {
		err = io.ErrUnexpectedEOF
	}
	if err != nil {
		return c.broken(ctx, err)
	}
	return nil
}

// showDebugLogs streams what lattice itself logs on all its nodes.
func (s *server) showDebugLogs(c *gin.Context) {
	opt, err := logOptions(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	s.streamLogs(c, app.DebugLog, opt)
}

// DebugLogs is Logs of lattice itself, on all its nodes; the Source of a line is
// the node.
func (c *Client) DebugLogs(ctx context.Context, opt LogOptions, fn func(app.LogLine) error) error {
	return c.logs(ctx, "/debug-logs", opt, fn)
}
