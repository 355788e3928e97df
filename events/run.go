package events

import (
	"context"
	"fmt"
	"time"

	"lattice/app"
)

// Run writes events to disk until ctx is done, and then those that are left. A
// disk that takes none is tried again; meanwhile the memory goes on. It ends
// the use of the journal.
func (j *Journal) Run(ctx context.Context) error {
	w := writer{j: j, pos: j.disk.last + leap}
	defer w.close()
	tick := time.NewTicker(syncEvery)
	defer tick.Stop()
	for {
		var changed <-chan struct{}
		if !w.broken {
			changed = w.write()
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-tick.C:
			w.sync()
		}
	}
}

// A writer brings the journal's memory to its disk.
type writer struct {
	j      *Journal
	pos    uint64 // of the last event written
	broken bool   // the disk took nothing the last time
	missed uint64 // events that were gone from memory before the disk took them
}

// write writes all that there is, and returns what is closed when there is
// more; nil if the disk failed.
func (w *writer) write() <-chan struct{} {
	for {
		next, missed, changed := w.j.after(w.pos)
		if len(next) == 0 {
			return changed
		}
		if err := w.j.disk.append(next); err != nil {
			w.failed(err)
			return nil
		}
		w.pos = next[len(next)-1].Seq
		w.missed += missed
		w.mended()
	}
}

// sync makes what was written safe, and tries again what could not be.
func (w *writer) sync() {
	if w.broken {
		w.write()
	}
	if err := w.j.disk.sync(); err != nil {
		w.failed(err)
	}
}

func (w *writer) close() {
	w.write()
	if err := w.j.disk.close(); err != nil {
		w.failed(err)
	}
}

func (w *writer) failed(err error) {
	if !w.broken {
		w.j.log.Warn("events not written to disk, will try again", "err", err)
	}
	w.broken = true
}

// mended tells what is not on disk and never will be.
func (w *writer) mended() {
	if w.broken {
		w.broken = false
		w.j.log.Info("events are written to disk again", "missed", w.missed)
	}
	if w.missed > 0 {
		w.j.Emit(app.Event{Kind: app.EventsLost, Message: fmt.Sprintf("%d events are not on disk: it did not take them in time", w.missed)})
		w.missed = 0
	}
}
