package api

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"mime"
	"net/url"
	"strconv"
	"strings"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// Events is the journal. All methods may be called concurrently.
type Events interface {
	Emit(app.Event)

	// Tail returns the events that q chooses, oldest first.
	Tail(q app.EventQuery) []app.Event

	// Follow gives fn what Tail returns and then the events as they come,
	// until ctx is done or fn returns an error, which it returns. If fn is
	// slow, it misses some, and an event of app.EventsLost says so.
	Follow(ctx context.Context, q app.EventQuery, fn func([]app.Event) error) error
}

// showEvents streams events: a line each, or as server-sent events to who asks
// for these, as browsers do, which go on by themselves after the last they got.
func (s *server) showEvents(c *gin.Context) {
	q, follow, err := eventQuery(c)
	if err != nil {
		s.fail(c, err)
		return
	}
	past, live := s.cfg.Events.Tail, s.cfg.Events.Follow
	run := func(ctx context.Context, out *stream) error {
		if follow {
			return live(ctx, q, func(es []app.Event) error { return send(out, es...) })
		}
		return send(out, past(q)...)
	}
	if !wantsSSE(c.GetHeader("Accept")) {
		s.stream(c, run)
		return
	}
	s.streamAs(c, "text/event-stream", writeSSE, run)
}

func eventQuery(c *gin.Context) (q app.EventQuery, follow bool, err error) {
	q = app.EventQuery{App: c.Query("app"), Task: c.Query("task"), Cell: c.Query("cell"), Kind: c.Query("kind"), Lines: defaultLines}
	if follow, err = flag(c, "follow"); err != nil {
		return q, false, err
	}
	if text := c.DefaultQuery("since", c.GetHeader("Last-Event-ID")); text != "" {
		if q.Since, err = strconv.ParseUint(text, 10, 64); err != nil {
			return q, false, app.Invalid("since=%.40q in the address must be the number of an event", text)
		}
		q.Lines = -1
	}
	if text, ok := c.GetQuery("lines"); ok {
		if q.Lines, err = strconv.Atoi(text); err != nil || q.Lines < -1 {
			return q, false, app.Invalid("lines=%.40q in the address must be a whole number, or -1 for all events that are kept", text)
		}
	}
	return q, follow, nil
}

// wantsSSE reports whether an Accept header names server-sent events.
func wantsSSE(accept string) bool {
	for kind := range strings.SplitSeq(accept, ",") {
		if t, _, err := mime.ParseMediaType(kind); err == nil && t == "text/event-stream" {
			return true
		}
	}
	return false
}

// writeSSE writes one event as browsers read it. What is no event is the error
// that ends the stream.
func writeSSE(w *bytes.Buffer, v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if e, ok := v.(app.Event); ok {
		fmt.Fprintf(w, "id: %d\ndata: %s\n\n", e.Seq, data)
		return nil
	}
	fmt.Fprintf(w, "event: end\ndata: %s\n\n", data)
	return nil
}

// Events calls fn with each event that q chooses, and if follow is set with
// those that come. It returns as Logs does.
func (c *Client) Events(ctx context.Context, q app.EventQuery, follow bool, fn func(app.Event) error) error {
	v := url.Values{"lines": {strconv.Itoa(q.Lines)}}
	for name, value := range map[string]string{"app": q.App, "task": q.Task, "cell": q.Cell, "kind": q.Kind} {
		if value != "" {
			v.Set(name, value)
		}
	}
	if q.Since > 0 {
		v.Set("since", strconv.FormatUint(q.Since, 10))
	}
	if follow {
		v.Set("follow", "true")
	}
	err := c.stream(ctx, "/events?"+v.Encode(), each(fn))
	if err == errEnded && !follow {
		return nil
	}
	return err
}
