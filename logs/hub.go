// Package logs is the brain's memory of what apps and the platform have
// printed: the newest lines of each app, for those who ask, and live for those
// who follow. It keeps nothing on disk; a brain that starts anew gets from the
// cells what these still have.
package logs

import (
	"cmp"
	"fmt"
	"sync"

	"lattice/app"
)

// Limits of what a Hub keeps. When one is reached the oldest lines go.
type Limits struct {
	Lines      int   // of one app
	Bytes      int64 // of one app
	TotalBytes int64 // of all apps; the app that takes most gives way
	GUIDs      int   // of logs that it knows the last Seq of, also after the lines are gone
}

// DefaultLimits is what a Hub keeps unless told otherwise.
var DefaultLimits = Limits{Lines: 10_000, Bytes: 8 << 20, TotalBytes: 256 << 20, GUIDs: 1_000_000}

// A Hub keeps the newest lines of all apps. It is safe for concurrent use.
type Hub struct {
	limits Limits

	mu      sync.Mutex // guards what follows
	rings   map[string]*ring
	cursors cursors
	bytes   int64   // in all rings
	lost    uint64  // lines that stand for others which were dropped
	dirty   []*ring // have news for those who wait
}

// New returns an empty Hub with DefaultLimits.
func New() *Hub { return NewLimited(DefaultLimits) }

// NewLimited returns an empty Hub. Zero fields of l stand for those of
// DefaultLimits.
func NewLimited(l Limits) *Hub {
	d := DefaultLimits
	l = Limits{cmp.Or(l.Lines, d.Lines), cmp.Or(l.Bytes, d.Bytes), cmp.Or(l.TotalBytes, d.TotalBytes), cmp.Or(l.GUIDs, d.GUIDs)}
	return &Hub{limits: l, rings: map[string]*ring{}, cursors: newCursors(l.GUIDs)}
}

// Append takes lines in the order they came. Those it has had already, by GUID
// and Seq, it passes over. Where the Seq of a GUID makes a jump it adds a line
// that says how many are missing.
//
// The first line of a GUID the Hub knows nothing of must have Seq 1 or stand
// for those before it; else the cell took this brain for one that knows more.
// Such lines are not taken: the cell sends them again, in their order, when it
// sees by Cursors that they are not here.
func (h *Hub) Append(lines []app.LogLine) {
	h.mu.Lock()
	defer h.mu.Unlock()
	var c *cursor // of the line before
	var r *ring
	for _, l := range lines {
		if c == nil || c.guid != l.GUID {
			c = h.cursors.get(l.GUID)
		}
		if l.Seq <= c.seq || c.seq == 0 && l.Seq > 1 && !l.IsLoss() {
			continue
		}
		if r == nil || r.app != l.App {
			r = h.ring(l.App)
		}
		l.App, l.GUID = r.app, c.guid // share the memory of names
		if missing := l.Seq - c.seq - 1; missing > 0 && !l.IsLoss() {
			h.push(r, notice(l, l.Seq-1, "%d lines missing: the cell could not deliver them", missing))
		}
		c.seq = l.Seq
		h.push(r, l)
	}
	if h.bytes > h.limits.TotalBytes {
		h.shrink()
	}
	h.wake()
}

// Lost returns how often lines are missing in what the Hub was given.
func (h *Hub) Lost() uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lost
}

// Cursors returns the Seq of the last line it has of each of guids; of those
// it has none of, nothing.
func (h *Hub) Cursors(guids []string) map[string]uint64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	m := make(map[string]uint64, len(guids))
	for _, g := range guids {
		if c := h.cursors.find(g); c != nil {
			m[c.guid] = c.seq
		}
	}
	return m
}

// Tail returns the newest n lines of an app, oldest first; n < 0 stands for all
// that are kept. Lines of different instances are in the order they came, which
// need not be the order they were written. An app that has printed nothing has
// no lines. The caller owns the slice.
func (h *Hub) Tail(name string, n int) []app.LogLine {
	h.mu.Lock()
	defer h.mu.Unlock()
	r, ok := h.rings[name]
	if !ok {
		return nil
	}
	return r.read(nil, r.last(n), r.n)
}

// Forget drops the lines of an app. It remembers which it has had, so that they
// don't come again. Who follows the app goes on following.
func (h *Hub) Forget(name string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if r, ok := h.rings[name]; ok {
		h.bytes -= r.clear()
		h.release(r)
	}
}

// notice returns a line of the log itself, in the place of l.
func notice(l app.LogLine, seq uint64, format string, args ...any) app.LogLine {
	return app.LogLine{App: l.App, Index: l.Index, GUID: l.GUID, Seq: seq, At: l.At,
		Stream: app.Platform, Source: app.SourceLog, Text: fmt.Sprintf(format, args...)}
}
