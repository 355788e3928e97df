package api

import (
	"bytes"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

const (
	stallTime = 2 * time.Minute // how long a client may leave a stream unread before it is cut off
	hurryTime = time.Second     // how long it may do so when the server stops
	chunk     = 64 << 10        // bytes to collect before a write
)

// errStopping ends streams when the server stops.
var errStopping = sayf(app.ErrUnavailable, "the brain is stopping")

// A stream writes JSON values to a client, one a line, and an empty line when
// it was silent for a while. Only one goroutine may send.
type stream struct {
	w     gin.ResponseWriter
	write func(*bytes.Buffer, any) error // one value
	hide  bool                           // secrets
	ctl   *http.ResponseController
	every time.Duration           // between signs of life
	stop  context.CancelCauseFunc // ends the handler

	mu   sync.Mutex // guards the writing, which can take long, and what follows
	buf  bytes.Buffer
	over bool
	beat *time.Timer

	limit   sync.Mutex // guards the deadline of writes; never held while writing
	hurried bool
	closed  bool
}

// stream lets run send values until it returns, the client goes away or isn't
// welcome any more, or the server stops; for all but the first its context
// ends. An error of run that is not the context's becomes the last line.
func (s *server) stream(c *gin.Context, run func(context.Context, *stream) error) {
	s.streamAs(c, "application/x-ndjson", writeLine, run)
}

// streamAs is stream for values that write puts down as kind, a media type that
// has empty lines between values.
func (s *server) streamAs(c *gin.Context, kind string, write func(*bytes.Buffer, any) error, run func(context.Context, *stream) error) {
	ctx, cancel := context.WithCancelCause(c.Request.Context())
	defer cancel(nil)
	out := &stream{w: c.Writer, write: write, hide: hides(c), ctl: controller(c.Writer), every: s.cfg.Heartbeat, stop: cancel}
	out.start(kind)
	defer out.close()
	defer context.AfterFunc(s.cfg.Done, func() {
		cancel(errStopping)
		out.hurry()
	})()
	in := caller(c)
	defer context.AfterFunc(in, func() {
		cancel(context.Cause(in))
		out.hurry()
	})()
	err := run(ctx, out)
	switch {
	case c.Request.Context().Err() != nil:
		return
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	case err != nil && kindOf(err).err == errInternal:
		s.cfg.Log.Error("stream failed", "path", c.Request.URL.Path, "err", err)
	}
	if err != nil {
		_ = send(out, wire(err)) // if it can't be told, the client sees the connection end
	}
}

// controller returns the control of the writer below gin's own, which can
// flush but not say whether that worked.
func controller(w gin.ResponseWriter) *http.ResponseController {
	if u, ok := w.(interface{ Unwrap() http.ResponseWriter }); ok {
		return http.NewResponseController(u.Unwrap())
	}
	return http.NewResponseController(w)
}

// start sends the header, so that a client knows that it was let in.
func (s *stream) start(kind string) {
	s.w.Header().Set("Content-Type", kind)
	s.w.Header().Set("X-Accel-Buffering", "no") // else nginx in front collects lines
	s.w.WriteHeaderNow()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.beat = time.AfterFunc(s.every, s.heartbeat)
	s.flush()
}

// writeLine writes a value as JSON.
func writeLine(w *bytes.Buffer, v any) error {
	enc := json.NewEncoder(w)
	enc.SetEscapeHTML(false)
	return enc.Encode(v)
}

// send writes the values and returns when the network has taken them.
func send[T any](s *stream, values ...T) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, v := range values {
		if err := s.write(&s.buf, s.shown(v)); err != nil {
			return err
		}
		if s.buf.Len() >= chunk {
			if err := s.flush(); err != nil {
				return err
			}
		}
	}
	return s.flush()
}

// shown returns v as who listens may see it.
func (s *stream) shown(v any) any {
	if s.hide {
		return conceal(v)
	}
	return v
}

func (s *stream) heartbeat() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.buf.WriteByte('\n')
	s.flush()
}

// flush writes what is in buf; mu is held. After an error it does nothing more.
func (s *stream) flush() error {
	if s.over {
		return io.ErrClosedPipe
	}
	s.allow(stallTime)
	_, err := s.w.Write(s.buf.Bytes())
	s.buf.Reset()
	if s.buf.Cap() > 16*chunk {
		s.buf = bytes.Buffer{} // not to be kept by each of many streams until the next change
	}
	if err == nil {
		err = s.ctl.Flush()
	}
	if err != nil {
		s.over = true
		s.beat.Stop()
		s.stop(err)
		return err
	}
	s.beat.Reset(s.every)
	return nil
}

// close ends the use of the connection, which is then free for a next request.
func (s *stream) close() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.over = true
	s.beat.Stop()
	s.limit.Lock()
	defer s.limit.Unlock()
	s.closed = true
	if !s.hurried {
		_ = s.ctl.SetWriteDeadline(time.Time{}) // for the next request of this connection
	}
}

// allow gives the next write some time.
func (s *stream) allow(d time.Duration) {
	s.limit.Lock()
	defer s.limit.Unlock()
	if !s.hurried {
		_ = s.ctl.SetWriteDeadline(time.Now().Add(d)) // where there are no deadlines, a stall lasts until the client goes
	}
}

// hurry cuts a write short that waits for a client, and all that follow.
func (s *stream) hurry() {
	s.limit.Lock()
	defer s.limit.Unlock()
	if !s.closed && !s.hurried {
		s.hurried = true
		_ = s.ctl.SetWriteDeadline(time.Now().Add(hurryTime))
	}
}

// A source is a value that changes.
type source[T any] struct {
	changed func() <-chan struct{} // closed at the next change, maybe of something else
	get     func() (T, error)
	same    func(a, b T) bool
	pause   time.Duration // between two looks, at least, so that a storm of changes costs little
}

// longestPause bounds the pause between two looks.
const longestPause = time.Second

// watch streams the value of src at once and whenever it differs from what was
// sent last. While the client doesn't read, nothing is collected: what it gets
// next is the value of then.
func watch[T any](s *server, c *gin.Context, src source[T]) {
	changed := src.changed() // before get, or a change between the two is missed
	last, err := src.get()
	if err != nil {
		s.fail(c, err)
		return
	}
	s.stream(c, func(ctx context.Context, out *stream) error {
		began := time.Now()
		for {
			if err := send(out, last); err != nil {
				return err
			}
			for {
				// What takes long is done less often, so that a storm of changes
				// is told in a few large values.
				pause := max(src.pause, min(4*time.Since(began), longestPause))
				if err := src.wait(ctx, changed, pause); err != nil {
					return err
				}
				began = time.Now()
				changed = src.changed()
				v, err := src.get()
				if err != nil {
					return err
				}
				if !src.same(last, v) {
					last = v
					break
				}
			}
		}
	})
}

// wait returns at the next change, though not before the pause is over.
func (src source[T]) wait(ctx context.Context, changed <-chan struct{}, pause time.Duration) error {
	looked := time.Now()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-changed:
	}
	rest := time.NewTimer(time.Until(looked.Add(pause)))
	defer rest.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-rest.C:
		return nil
	}
}
