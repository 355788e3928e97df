package api

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"time"

	"lattice/app"
)

// errEnded is returned for a stream that ended without an error as its last
// line. Only a finite one may.
var errEnded = sayf(app.ErrUnavailable, "the brain's answer broke off: is it still up?")

// each returns a function that decodes a line for fn.
func each[T any](fn func(T) error) func([]byte) error {
	return func(line []byte) error {
		var v T
		if err := json.Unmarshal(line, &v); err != nil {
			return fmt.Errorf("read a line of the brain's answer: %w", err)
		}
		return fn(v)
	}
}

// stream calls fn with each line that isn't empty. It always returns an error,
// errEnded if there was no other.
func (c *Client) stream(ctx context.Context, path string, fn func([]byte) error) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	slow := time.AfterFunc(c.timeout, func() { cancel(c.slow()) })
	resp, err := c.do(ctx, http.MethodGet, path, "", nil)
	if err != nil {
		slow.Stop()
		return err
	}
	defer resp.Body.Close()
	if !slow.Stop() {
		return c.slow()
	}
	lines := bufio.NewReaderSize(c.guard(resp.Body, cancel), 8<<10)
	for {
		line, err := readLine(lines)
		switch {
		case err == io.EOF && ctx.Err() == nil: // a brain that sees us leave ends its answer well
			return errEnded
		case err != nil:
			return c.broken(ctx, err)
		case len(line) == 0: // a sign of life
		case bytes.HasPrefix(line, []byte(`{"error":`)):
			return lastLine(line)
		default:
			if err := fn(line); err != nil {
				return err
			}
		}
	}
}

// lastLine returns the error that a stream ended with.
func lastLine(line []byte) error {
	var body errorBody
	if err := json.Unmarshal(line, &body); err != nil {
		return fmt.Errorf("read the last line of the brain's answer: %w", err)
	}
	return body.Error.err()
}

// readLine returns the next line without its newline. It is valid until the
// next call. A line without newline at the end was cut off.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	if err == bufio.ErrBufferFull {
		long := bytes.Clone(line)
		for err == bufio.ErrBufferFull && len(long) < maxAnswer {
			line, err = r.ReadSlice('\n')
			long = append(long, line...)
		}
		line = long
	}
	if err == bufio.ErrBufferFull {
		err = fmt.Errorf("a line of more than %d bytes", maxAnswer)
	}
	if err == io.EOF && len(line) > 0 {
		return nil, io.ErrUnexpectedEOF
	}
	return bytes.TrimSuffix(line, []byte("\n")), err
}

// A guarded reader gives up waiting when nothing came for a while. Between two
// reads there is no limit, so the one who reads may take any time.
type guarded struct {
	r       io.Reader
	timer   *time.Timer
	silence time.Duration
}

func (c *Client) guard(r io.Reader, cancel context.CancelCauseFunc) *guarded {
	timer := time.AfterFunc(c.silence, func() {
		cancel(sayf(app.ErrUnavailable, "the brain at %s was silent for %s: the connection is dead", c.base, c.silence))
	})
	return &guarded{r, timer, c.silence}
}

func (g *guarded) Read(p []byte) (int, error) {
	g.timer.Reset(g.silence)
	defer g.timer.Stop()
	return g.r.Read(p)
}
