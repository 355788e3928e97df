package node

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"time"

	"lattice/app"
	"lattice/logs"
)

const (
	debugKept  = 1000 // lines that wait for a brain
	debugEvery = 200 * time.Millisecond
	debugRetry = 2 * time.Second
)

// A debugLog keeps what the process logs about itself until the brain has it,
// for 'ltc debug-logs'.
type debugLog struct {
	node string // whose log it is
	guid string
	news chan struct{} // has one when lines wait

	mu    sync.Mutex // guards what follows
	lines []app.LogLine
	seq   uint64
}

// newDebugLog returns the log of a node, and log, which also writes to it.
func newDebugLog(node string, log *slog.Logger) (*debugLog, *slog.Logger) {
	d := &debugLog{node: node, guid: "log." + rand.Text()[:12], news: make(chan struct{}, 1)}
	return d, slog.New(tee{log.Handler(), debugHandler{to: d, attrs: func(h slog.Handler) slog.Handler { return h }}})
}

// add keeps a line. The oldest ones go when there are too many.
func (d *debugLog) add(at time.Time, text string) {
	d.mu.Lock()
	d.seq++
	d.lines = append(d.lines, app.LogLine{
		App: app.DebugLog, GUID: d.guid, Seq: d.seq, At: at, Stream: app.Platform, Source: d.node, Text: text[:min(len(text), app.MaxLine)],
	})
	if len(d.lines) > debugKept {
		d.lines = slices.Delete(d.lines, 0, len(d.lines)-debugKept)
	}
	d.mu.Unlock()
	select {
	case d.news <- struct{}{}:
	default:
	}
}

// after returns the lines that a brain lacks which has all up to seq.
func (d *debugLog) after(seq uint64) []app.LogLine {
	d.mu.Lock()
	defer d.mu.Unlock()
	i := slices.IndexFunc(d.lines, func(l app.LogLine) bool { return l.Seq > seq })
	if i < 0 {
		return nil
	}
	lines := slices.Clone(d.lines[i:])
	if first := lines[0]; first.Seq > seq+1 {
		first.Seq, first.Source, first.Text = first.Seq-1, app.SourceLog, "earlier lines of "+d.node+" are not kept"
		lines = slices.Insert(lines, 0, first)
	}
	return lines
}

// A debugSink is where debugLog delivers.
type debugSink interface {
	LogCursors(ctx context.Context, guids []string) (map[string]uint64, error)
	SendLogs(ctx context.Context, lines []app.LogLine) error
}

// ship delivers until ctx is done. A brain that was away gets what it lacks when
// it is back, and one that has forgotten all with the next line.
func (d *debugLog) ship(ctx context.Context, to debugSink) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-d.news:
		}
		pause := debugEvery
		if !d.deliver(ctx, to) {
			pause = debugRetry
			select {
			case d.news <- struct{}{}: // so that it is tried again
			default:
			}
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(pause):
		}
	}
}

// deliver sends what the brain lacks. That it can't is not logged: there would
// be no end to it, and others say that the brain is away.
func (d *debugLog) deliver(ctx context.Context, to debugSink) bool {
	have, err := to.LogCursors(ctx, []string{d.guid})
	if err != nil {
		return false
	}
	lines := d.after(have[d.guid])
	return len(lines) == 0 || to.SendLogs(ctx, lines) == nil
}

// hubSink is the brain of this process.
type hubSink struct{ hub *logs.Hub }

func (s hubSink) LogCursors(_ context.Context, guids []string) (map[string]uint64, error) {
	return s.hub.Cursors(guids), nil
}

func (s hubSink) SendLogs(_ context.Context, lines []app.LogLine) error {
	s.hub.Append(lines)
	return nil
}

// debugText returns the lines that the hub has of all nodes.
func debugText(hub *logs.Hub) []byte {
	var b bytes.Buffer
	for _, l := range hub.Tail(app.DebugLog, -1) {
		fmt.Fprintf(&b, "%s %s %s\n", l.At.UTC().Format(time.RFC3339Nano), l.Source, l.Text)
	}
	return b.Bytes()
}

// A debugHandler hands each record as a line of text to a debugLog.
type debugHandler struct {
	to    *debugLog
	attrs func(slog.Handler) slog.Handler // adds what With was given
}

// Enabled implements slog.Handler.
func (h debugHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle implements slog.Handler.
func (h debugHandler) Handle(ctx context.Context, r slog.Record) error {
	var b bytes.Buffer
	b.WriteString(r.Level.String() + " " + r.Message + " ")
	err := h.attrs(slog.NewTextHandler(&b, &slog.HandlerOptions{Level: r.Level, ReplaceAttr: onlyAttrs})).Handle(ctx, r)
	h.to.add(r.Time, string(bytes.TrimSpace(b.Bytes())))
	return err
}

// onlyAttrs leaves out what every record has.
func onlyAttrs(groups []string, a slog.Attr) slog.Attr {
	if len(groups) == 0 && (a.Key == slog.TimeKey || a.Key == slog.LevelKey || a.Key == slog.MessageKey) {
		return slog.Attr{}
	}
	return a
}

// WithAttrs implements slog.Handler.
func (h debugHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	return debugHandler{h.to, func(rest slog.Handler) slog.Handler { return h.attrs(rest).WithAttrs(attrs) }}
}

// WithGroup implements slog.Handler.
func (h debugHandler) WithGroup(name string) slog.Handler {
	return debugHandler{h.to, func(rest slog.Handler) slog.Handler { return h.attrs(rest).WithGroup(name) }}
}

// A tee hands records to two handlers. The first decides which.
type tee struct{ to, also slog.Handler }

func (t tee) Enabled(ctx context.Context, l slog.Level) bool { return t.to.Enabled(ctx, l) }

func (t tee) Handle(ctx context.Context, r slog.Record) error {
	return errors.Join(t.to.Handle(ctx, r), t.also.Handle(ctx, r.Clone()))
}

func (t tee) WithAttrs(as []slog.Attr) slog.Handler {
	return tee{t.to.WithAttrs(as), t.also.WithAttrs(as)}
}

func (t tee) WithGroup(name string) slog.Handler {
	return tee{t.to.WithGroup(name), t.also.WithGroup(name)}
}
