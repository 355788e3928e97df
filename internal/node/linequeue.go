package node

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"lattice/app"
)

const (
	queueKept  = 20_000 // lines that wait for a brain
	queueBatch = 5_000  // lines that go at once
	queueRetry = 2 * time.Second
)

// A lineQueue keeps what a router logs of requests until the brain has it. When
// that is away for long the oldest lines go, and a line says how many.
type lineQueue struct {
	news chan struct{} // has one when lines wait

	mu    sync.Mutex // guards what follows
	lines []app.LogLine
	lost  map[string]uint64 // by GUID: how many lines are gone
}

func newLineQueue() *lineQueue {
	return &lineQueue{news: make(chan struct{}, 1), lost: map[string]uint64{}}
}

// Append takes lines. It does not block.
func (q *lineQueue) Append(lines []app.LogLine) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.lines = append(q.lines, lines...)
	if over := len(q.lines) - queueKept; over > 0 {
		for _, l := range q.lines[:over] {
			q.lost[l.GUID]++
		}
		q.lines = slices.Delete(q.lines, 0, over)
	}
	nudge(q.news)
}

// next returns the oldest lines, in front of each GUID's first one that stands for
// what is lost of it, and how many of the queue they are. have is what the brain
// has; a GUID that it doesn't know it takes only with such a line.
func (q *lineQueue) next(have map[string]uint64) (lines []app.LogLine, n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	n = min(len(q.lines), queueBatch)
	seen := map[string]bool{}
	for _, l := range q.lines[:n] {
		if !seen[l.GUID] && l.Seq > have[l.GUID]+1 {
			gap := l
			gap.Seq, gap.Stream, gap.Source = l.Seq-1, app.Platform, app.SourceLog
			gap.Text = "earlier lines about requests are not kept"
			if lost := q.lost[l.GUID]; lost > 0 {
				gap.Text = fmt.Sprintf("%d lines about requests are not kept: the brain was away for long", lost)
			}
			lines = append(lines, gap)
		}
		seen[l.GUID] = true
		lines = append(lines, l)
	}
	return lines, n
}

// guids returns those of the lines that go next.
func (q *lineQueue) guids() []string {
	q.mu.Lock()
	defer q.mu.Unlock()
	seen := map[string]bool{}
	var all []string
	for _, l := range q.lines[:min(len(q.lines), queueBatch)] {
		if !seen[l.GUID] {
			seen[l.GUID] = true
			all = append(all, l.GUID)
		}
	}
	return all
}

// ship delivers until ctx is done. That it can't is not logged: others say that
// the brain is away.
func (q *lineQueue) ship(ctx context.Context, to debugSink) error {
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-q.news:
		}
		for q.deliver(ctx, to) {
		}
		if len(q.guids()) > 0 {
			nudge(q.news)
			if !pause(ctx, queueRetry) {
				return nil
			}
		}
	}
}

// deliver sends some lines. It reports false when there are none, or they can't be
// sent now.
func (q *lineQueue) deliver(ctx context.Context, to debugSink) bool {
	guids := q.guids()
	if len(guids) == 0 {
		return false
	}
	have, err := to.LogCursors(ctx, guids)
	if err != nil {
		return false
	}
	lines, n := q.next(have)
	last := lines[len(lines)-1]
	if to.SendLogs(ctx, lines) != nil {
		return false
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	// Meanwhile some may have gone for want of room.
	at := slices.IndexFunc(q.lines[:min(n, len(q.lines))], func(l app.LogLine) bool { return l.GUID == last.GUID && l.Seq == last.Seq })
	q.lines = slices.Delete(q.lines, 0, at+1)
	for _, guid := range guids {
		delete(q.lost, guid)
	}
	return true
}
