package logfile

import (
	"cmp"
	"context"
	"errors"
	"io/fs"
	"slices"
	"time"

	"lattice/app"
)

const (
	batchBytes   = 512 << 10 // text in one batch, about
	lineOverhead = 64        // bytes that a line counts besides its text
	leastShare   = 16 << 10  // bytes read at a time from a log
	cursorsOnce  = 1000      // GUIDs in one question
)

// A shipment is the state of a running Shipper.
type shipment struct {
	*Shipper
	watch *watch
	logs  map[string]*tail // by GUID
	queue []*tail          // may have lines not read yet
	junk  map[string]bool  // folders that are no logs, or not yet

	survey time.Time // when to look at everything
	poll   time.Time // when to look at what can't be watched
	prune  time.Time // when to remove logs
}

// A tail is a log on its way to the sink.
type tail struct {
	r       *Reader
	queued  bool
	gone    bool      // the folder was removed
	watched bool      // false: looked at with every tick
	known   bool      // r stands where the sink is
	has     uint64    // the Seq that the sink said last it has
	check   time.Time // when to ask the sink whether it has what was sent; zero: it has
}

func newShipment(s *Shipper, w *watch) *shipment {
	return &shipment{Shipper: s, watch: w, logs: map[string]*tail{}, junk: map[string]bool{},
		prune: time.Now().Add(pruneEvery)}
}

// round takes lines to the sink once. more is true when there is more to do at once.
func (s *shipment) round(ctx context.Context, now time.Time) (more bool, err error) {
	if more, err = s.ask(ctx, now); err != nil {
		return false, err
	}
	batch, from := s.collect()
	if len(batch) == 0 {
		return more || len(s.queue) > 0, nil
	}
	if err := s.Sink.SendLogs(ctx, batch); err != nil {
		s.doubt()
		return false, err
	}
	for _, t := range from {
		if t.check.IsZero() {
			t.check = now.Add(checkEvery)
		}
	}
	return more || len(s.queue) > 0, nil
}

// doubt forgets where the sink is: it may be another one now.
func (s *shipment) doubt() {
	for _, t := range s.logs {
		t.known = false
	}
}

// ask brings all logs to where the sink is that are not known to be there, and
// those of which that has to be checked. again is true when the sink has less
// of a log than it took: it has lost its memory, so what is known of the other
// logs is worth nothing either.
func (s *shipment) ask(ctx context.Context, now time.Time) (again bool, err error) {
	var guids []string
	for guid, t := range s.logs {
		if !t.known || !t.check.IsZero() && now.After(t.check) {
			guids = append(guids, guid)
		}
	}
	for part := range slices.Chunk(guids, cursorsOnce) {
		has, err := s.Sink.LogCursors(ctx, part)
		if err != nil {
			s.doubt()
			return false, err
		}
		for _, guid := range part {
			t := s.logs[guid]
			again = again || t.known && has[guid] < t.r.After()
			if has[guid] != t.r.After() {
				t.r.Seek(has[guid])
			}
			t.has, t.known, t.check = has[guid], true, time.Time{}
			s.enqueue(t)
		}
	}
	if again {
		s.doubt()
	}
	return again, nil
}

// collect reads a batch, a fair share from each log that has something, and
// returns it in the order of time as far as the order of each log allows.
func (s *shipment) collect() (batch []app.LogLine, from []*tail) {
	share := max(batchBytes/max(1, len(s.queue)), leastShare)
	var ends []int
	size := 0
	for range len(s.queue) {
		if size >= batchBytes {
			break
		}
		t := s.queue[0]
		s.queue, t.queued = s.queue[1:], false
		if !t.known || t.gone {
			continue // ask enqueues what is not known
		}
		n := len(batch)
		batch = s.read(t, batch, share)
		if len(batch) == n {
			continue
		}
		for _, l := range batch[n:] {
			size += len(l.Text) + lineOverhead
		}
		from, ends = append(from, t), append(ends, len(batch))
		s.enqueue(t)
	}
	return merge(batch, ends), from
}

// read appends the next lines of t to batch. What can't be read now is looked
// at again after the next change or survey.
func (s *shipment) read(t *tail, batch []app.LogLine, limit int) []app.LogLine {
	batch, err := t.r.Read(batch, limit)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		id := t.r.ID()
		s.Log.Warn("log not read, will try again", "app", id.App, "instance", id.Index, "err", err)
	}
	return batch
}

func (s *shipment) enqueue(t *tail) {
	if !t.queued && !t.gone {
		t.queued = true
		s.queue = append(s.queue, t)
	}
}

// merge puts lines in the order of time. They are made of runs, which end at
// ends; the order within a run stays even if the clock was set back in it.
func merge(lines []app.LogLine, ends []int) []app.LogLine {
	if len(ends) < 2 {
		return lines
	}
	type key struct {
		at time.Time
		i  int
	}
	keys := make([]key, 0, len(lines))
	start := 0
	for _, end := range ends {
		at := lines[start].At
		for i, l := range lines[start:end] {
			if l.At.After(at) {
				at = l.At
			}
			keys = append(keys, key{at, start + i})
		}
		start = end
	}
	slices.SortFunc(keys, func(a, b key) int { return cmp.Or(a.at.Compare(b.at), cmp.Compare(a.i, b.i)) })
	merged := make([]app.LogLine, len(lines))
	for i, k := range keys {
		merged[i] = lines[k.i]
	}
	return merged
}
