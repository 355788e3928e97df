package node

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"slices"
	"sync"
)

// keptLog is how much of our own log is kept in memory for a support bundle, in
// bytes.
const keptLog = 1 << 20

// recentLog is the newest lines of our own log.
type recentLog struct {
	mu    sync.Mutex // guards what follows
	lines [][]byte
	bytes int
}

// remember returns a log that goes on to log and is also kept.
func remember(log *slog.Logger) (*slog.Logger, *recentLog) {
	r := &recentLog{}
	all := slog.NewTextHandler(r, &slog.HandlerOptions{Level: slog.LevelDebug}) // log's own level decides
	return slog.New(tee{log.Handler(), all}), r
}

// Write takes one line.
func (r *recentLog) Write(line []byte) (int, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.lines = append(r.lines, bytes.Clone(line))
	drop := 0
	for r.bytes += len(line); r.bytes > keptLog && drop < len(r.lines)-1; drop++ {
		r.bytes -= len(r.lines[drop])
	}
	r.lines = slices.Delete(r.lines, 0, drop)
	return len(line), nil
}

func (r *recentLog) text() []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return bytes.Join(r.lines, nil)
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
