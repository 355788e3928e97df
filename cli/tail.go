package cli

import (
	"context"
	"time"

	"lattice/api"
	"lattice/app"
)

const (
	allLines      = -1 // asks for all lines that are kept
	everyInstance = -1
)

// A tail hands on the log of an app: each line once, also when the brain goes
// away in between.
type tail struct {
	brain    brain
	app      string
	lines    int // to begin with; allLines: all
	instance int // everyInstance, or the only one wanted
	emit     func(app.LogLine) error
	warn     func(format string, args ...any)

	from time.Time         // lines before it are wanted only as far as lines says; zero: when follow begins
	all  bool              // the brain was asked for all lines, so lines doesn't limit them any more
	seen map[string]uint64 // by GUID: Seq of the last line
}

// last hands on the last lines there are.
func (t *tail) last(ctx context.Context) error {
	if t.instance == everyInstance {
		return t.brain.Logs(ctx, t.app, api.LogOptions{Lines: t.lines}, t.take)
	}
	var kept []app.LogLine // the brain counts the lines of all instances, we those of one
	err := t.brain.Logs(ctx, t.app, api.LogOptions{Lines: allLines}, func(l app.LogLine) error {
		if l.Index == t.instance {
			kept = append(kept, l)
		}
		if t.lines >= 0 && len(kept) > t.lines {
			kept = kept[1:]
		}
		return nil
	})
	for _, l := range kept {
		if err == nil {
			err = t.take(l)
		}
	}
	return err
}

// follow hands on the last lines and then each line as it comes, until ctx
// ends or the app is gone.
func (t *tail) follow(ctx context.Context) error {
	if t.from.IsZero() {
		t.from = time.Now()
	}
	q := api.LogOptions{Lines: t.lines, Follow: true}
	if t.instance != everyInstance {
		if err := t.last(ctx); err != nil {
			return err
		}
		q.Lines, t.all = allLines, true
	}
	told := false
	return keepUp(ctx, func(ctx context.Context) error {
		err := t.brain.Logs(ctx, t.app, q, func(l app.LogLine) error {
			told = false
			return t.take(l)
		})
		q.Lines, t.all = allLines, true // what comes while the stream is broken must not be missed
		return err
	}, func(err error) {
		if !told {
			t.warn("lost the connection, trying again: %v", err)
		}
		told = true
	})
}

// take hands on l unless that was done before or it isn't wanted, and says how
// many lines are missing before it.
func (t *tail) take(l app.LogLine) error {
	if t.seen == nil {
		t.seen = map[string]uint64{}
	}
	last, known := t.seen[l.GUID]
	if known && l.Seq <= last || !known && t.all && l.At.Before(t.from) {
		return nil
	}
	t.seen[l.GUID] = l.Seq
	if t.instance != everyInstance && l.Index != t.instance {
		return nil
	}
	if known && l.Seq > last+1 && l.Source != app.SourceLog {
		t.warn("%d lines of %s/%d are missing here", l.Seq-last-1, l.App, l.Index)
	}
	return t.emit(l)
}
