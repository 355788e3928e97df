package logs

import (
	"context"

	"lattice/app"
)

// followBatch is how many lines fn of Follow gets at most, so that a follower
// holds up nobody while its lines are copied.
const followBatch = 1000

// Follow calls fn with the newest n lines of an app, n < 0 for all that are
// kept, and then with those that come, until ctx is done, which is no error, or
// fn fails. No line is left out or doubled in between. The app need not exist
// yet. fn may keep the slice.
//
// A slow fn holds up nobody but itself: when the lines it should get next are
// not kept any more, it gets one of app.SourceLog, without a GUID, that says
// how many it missed.
func (h *Hub) Follow(ctx context.Context, name string, n int, fn func([]app.LogLine) error) error {
	f := h.follow(name, n)
	defer f.stop()
	for ctx.Err() == nil {
		lines, changed := f.next()
		if len(lines) > 0 {
			if err := fn(lines); err != nil {
				return err
			}
			continue
		}
		select {
		case <-ctx.Done():
		case <-changed:
		}
	}
	return nil
}

// A follower is a place in a ring. The ring stays the app's as long as it has
// followers.
type follower struct {
	h   *Hub
	r   *ring
	pos uint64 // of the line it gets next
}

func (h *Hub) follow(name string, n int) *follower {
	h.mu.Lock()
	defer h.mu.Unlock()
	r := h.ring(name)
	r.followers++
	return &follower{h, r, r.last(n)}
}

func (f *follower) stop() {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	f.r.followers--
	f.h.release(f.r)
}

// next returns the next lines, or what is closed when there are some.
func (f *follower) next() ([]app.LogLine, <-chan struct{}) {
	f.h.mu.Lock()
	defer f.h.mu.Unlock()
	r := f.r
	var lines []app.LogLine
	if missed := r.start - min(r.start, max(f.pos, r.forgotten)); missed > 0 && r.n > 0 {
		first := r.buf[r.head]
		first.Index, first.GUID = 0, ""
		lines = append(lines, notice(first, 0, "%d lines skipped: they came faster than this reader took them", missed))
	}
	f.pos = max(f.pos, r.start)
	n := len(lines)
	lines = r.read(lines, f.pos, followBatch)
	f.pos += uint64(len(lines) - n)
	if len(lines) == 0 && r.changed == nil {
		r.changed = make(chan struct{})
	}
	return lines, r.changed
}
