// Package events is the brain's journal: what happened in the cluster, newest
// 10,000 events in memory for those who ask and follow, and as many as fit in a
// bounded number of bytes on disk, so that a brain that was killed knows what
// happened before. It decides nothing, and whoever tells it something never
// waits for it.
package events

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sort"
	"sync"
	"time"

	"lattice/app"
)

// Limits of what a Journal keeps. When one is reached the oldest events go.
type Limits struct {
	Events int   // in memory
	Bytes  int64 // on disk; one write may go beyond
}

// DefaultLimits is what a Journal keeps unless told otherwise.
var DefaultLimits = Limits{Events: 10_000, Bytes: 16 << 20}

const (
	// leap is between the numbers of the last event on disk and of the first
	// one after it: more than can have been told but not written when the
	// process was killed, so that no number is given twice.
	leap = 100_000
	// batch is how many events a reader gets at most at once.
	batch = 1000
	// maxText is the longest message kept, in bytes.
	maxText = 4 << 10
	// syncEvery is the longest time that a written event is not safe from a
	// failure of power, and the pause after a write that failed.
	syncEvery = time.Second
)

// A Journal keeps events. All methods may be called concurrently.
type Journal struct {
	log  *slog.Logger
	disk *disk // only Run's

	mu        sync.Mutex // guards what follows
	ring      []app.Event
	head      int    // of the oldest in ring, once that is full
	size      int    // the most that ring may have
	seq       uint64 // of the newest
	forgotten uint64 // of the newest that is in ring no more
	changed   chan struct{}
}

// Open returns the journal that is kept in the folder dir, which is made if
// it's not there. A last line that was cut off by a kill is cut away. Zero
// fields of l stand for those of DefaultLimits. Nothing is written before Run.
func Open(dir string, l Limits, log *slog.Logger) (*Journal, error) {
	l = Limits{cmp.Or(l.Events, DefaultLimits.Events), cmp.Or(l.Bytes, DefaultLimits.Bytes)}
	d, err := openDisk(dir, l.Bytes)
	if err != nil {
		return nil, fmt.Errorf("open the journal of events in %s: %w", dir, err)
	}
	kept, damaged, err := d.read(l.Events)
	if err != nil {
		return nil, fmt.Errorf("read the journal of events in %s: %w", dir, err)
	}
	if damaged > 0 {
		log.Warn("lines of the journal of events can't be read and are passed over", "lines", damaged)
	}
	j := &Journal{log: log, disk: d, ring: kept, size: l.Events, seq: d.last + leap}
	if len(kept) > 0 {
		j.forgotten = kept[0].Seq - 1
	}
	return j, nil
}

// Emit takes an event over. It sets Seq, and At where that is zero.
func (j *Journal) Emit(e app.Event) {
	if e.At.IsZero() {
		e.At = time.Now()
	}
	e.At = e.At.UTC()
	e.Message = clip(e.Message)
	if e.App == "" {
		e.Index = app.NoIndex
	}
	j.mu.Lock()
	defer j.mu.Unlock()
	j.seq++
	e.Seq = j.seq
	if len(j.ring) < j.size {
		j.ring = append(j.ring, e)
	} else {
		j.forgotten = j.ring[j.head].Seq
		j.ring[j.head] = e
		j.head = (j.head + 1) % len(j.ring)
	}
	if j.changed != nil {
		close(j.changed)
		j.changed = nil
	}
}

// clip cuts what nobody wants to read whole.
func clip(text string) string {
	if len(text) <= maxText {
		return text
	}
	return text[:maxText] + "…"
}

// Tail returns the events that q chooses, of those in memory, oldest first. The
// caller owns the slice.
func (j *Journal) Tail(q app.EventQuery) []app.Event {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.tail(q)
}

// tail is Tail. The caller holds mu.
func (j *Journal) tail(q app.EventQuery) []app.Event {
	var found []app.Event
	for i := len(j.ring) - 1; i >= 0 && (q.Lines < 0 || len(found) < q.Lines); i-- {
		e := j.at(i)
		if e.Seq <= q.Since {
			break
		}
		if q.Matches(e) {
			found = append(found, e)
		}
	}
	slices.Reverse(found)
	return found
}

// at returns the event i of the ring, 0 being the oldest. The caller holds mu.
func (j *Journal) at(i int) app.Event { return j.ring[(j.head+i)%len(j.ring)] }

// Follow calls fn with what Tail returns and then with the events as they come,
// until ctx is done, which is no error, or fn fails. A slow fn holds up nobody
// but itself: when the next events are not kept any more it gets one of kind
// app.EventsLost in their place. So does who wants to go on after an event that
// the journal has long forgotten.
func (j *Journal) Follow(ctx context.Context, q app.EventQuery, fn func([]app.Event) error) error {
	next, pos := j.begin(q)
	for ctx.Err() == nil {
		for chunk := range slices.Chunk(next, batch) {
			if err := fn(chunk); err != nil {
				return err
			}
		}
		came, missed, changed := j.after(pos)
		if len(came) == 0 {
			next = nil
			select {
			case <-ctx.Done():
			case <-changed:
			}
			continue
		}
		next, pos = nil, came[len(came)-1].Seq
		if missed > 0 {
			next = append(next, lost(came[0].Seq-1))
		}
		next = append(next, slices.DeleteFunc(came, func(e app.Event) bool { return !q.Matches(e) })...)
	}
	return nil
}

// begin returns what a follower gets first, and the number to go on after.
func (j *Journal) begin(q app.EventQuery) (first []app.Event, pos uint64) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if q.Since > 0 && q.Since < j.forgotten {
		first = append(first, lost(j.forgotten))
	}
	return append(first, j.tail(q)...), j.seq
}

// lost stands for events up to a number that nobody has any more.
func lost(seq uint64) app.Event {
	return app.Event{Seq: seq, At: time.Now().UTC(), Kind: app.EventsLost, Index: app.NoIndex, Message: "earlier events are not kept any more"}
}

// after returns the next events after the number pos and how many between are
// gone, or what is closed when there are some.
func (j *Journal) after(pos uint64) (next []app.Event, missed uint64, changed <-chan struct{}) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if pos < j.forgotten {
		missed = j.forgotten - pos
	}
	for i := sort.Search(len(j.ring), func(i int) bool { return j.at(i).Seq > pos }); i < len(j.ring) && len(next) < batch; i++ {
		next = append(next, j.at(i))
	}
	if j.changed == nil {
		j.changed = make(chan struct{})
	}
	return next, missed, j.changed
}
