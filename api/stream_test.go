package api_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"reflect"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lattice/api"
	"lattice/app"
)

// counter is an app whose revision a test moves on.
type counter struct {
	*backend
	revision atomic.Uint64
	looks    atomic.Int64 // calls of Status
	pad      string       // makes a status as large as a test wants it
}

func newCounter() *counter {
	c := &counter{backend: &backend{}}
	c.status = func(name string) (app.Status, error) {
		c.looks.Add(1)
		return app.Status{App: app.App{Name: name, Revision: c.revision.Load()}, URLs: []string{c.pad}}, nil
	}
	return c
}

func (c *counter) next() { c.revision.Add(1); c.touch() }

func TestWatchSendsEachValueOnce(t *testing.T) {
	c := newCounter()
	b := start(t, c.backend)
	ctx := within(t, 20*time.Second)
	var got []uint64
	enough := errors.New("enough")
	err := b.user.WatchApp(ctx, "web", func(s app.Status) error {
		got = append(got, s.App.Revision)
		if len(got) == 4 {
			return enough
		}
		for range 3 { // changes of something else: they must not be seen
			looks := c.looks.Load()
			c.touch()
			for c.looks.Load() == looks {
				runtime.Gosched()
			}
		}
		c.next()
		return nil
	})
	if want := []uint64{0, 1, 2, 3}; err != enough || !reflect.DeepEqual(got, want) {
		t.Errorf("got %v and %v, want %v", got, err, want)
	}
}

func TestAStormOfChangesCostsLittle(t *testing.T) {
	c := newCounter()
	b := start(t, c.backend)
	began := time.Now()
	err := b.user.WatchApp(within(t, 20*time.Second), "web", func(s app.Status) error {
		if s.App.Revision == 0 {
			for range 100_000 {
				c.next()
			}
			began = time.Now()
			return nil
		}
		if s.App.Revision == 100_000 {
			return io.EOF
		}
		return nil
	})
	took := time.Since(began)
	if err != io.EOF || took > 5*time.Second {
		t.Errorf("got %v after %v, want the newest value at once", err, took)
	}
	if n := c.looks.Load(); n > 100 {
		t.Errorf("the brain was asked %d times for 100,000 changes", n)
	}
}

func TestASlowReaderGetsTheNewestOnly(t *testing.T) {
	c := newCounter()
	c.pad = strings.Repeat("x", 1<<20) // so that a few fill all buffers on the way
	b := start(t, c.backend)
	var got []uint64
	err := b.user.WatchApp(within(t, 60*time.Second), "web", func(s app.Status) error {
		got = append(got, s.App.Revision)
		if s.App.Revision >= 1000 {
			return io.EOF
		}
		if len(got) == 1 {
			// While nobody reads, the server looks until it is stuck in a write.
			for looks := int64(-1); looks != c.looks.Load(); {
				looks = c.looks.Load()
				for range 10 {
					c.next()
					time.Sleep(20 * time.Millisecond) // the time the server may take for a look
				}
			}
			c.revision.Store(1000)
			c.touch()
		}
		return nil
	})
	if err != io.EOF || got[len(got)-1] != 1000 || len(got) > 50 {
		t.Errorf("got %v and %v", got, err)
	}
}

func TestWorkComesWhenItChanges(t *testing.T) {
	var revision, assigned atomic.Uint64
	var looks atomic.Int64
	bk := &backend{work: func(cell string) (app.Work, error) {
		if cell != "c" {
			return app.Work{}, fmt.Errorf("the cell %q: %w", cell, app.ErrNotFound)
		}
		defer looks.Add(1)
		return app.Work{Store: "s", Revision: revision.Load(), Assigned: make([]app.Assignment, assigned.Load())}, nil
	}}
	b := start(t, bk)
	ctx := within(t, 20*time.Second)
	var got []string
	err := b.cell.Work(ctx, "c", func(w app.Work) error {
		got = append(got, fmt.Sprint(w.Revision, " ", len(w.Assigned)))
		if len(got) == 3 {
			return io.EOF
		}
		seen := looks.Load() // of the revision alone a cell wants to know nothing
		revision.Add(1)
		bk.touch()
		for looks.Load() == seen {
			runtime.Gosched()
		}
		assigned.Add(1)
		bk.touch()
		return nil
	})
	if want := []string{"0 0", "1 1", "2 2"}; err != io.EOF || !reflect.DeepEqual(got, want) {
		t.Errorf("got %q and %v, want %q", got, err, want)
	}
	if err := b.client(t, "", b.as(t, "other")).Work(ctx, "other", nil); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("an unknown cell: got %v", err)
	}
}

func TestAWatchEndsWhenTheAppIsRemoved(t *testing.T) {
	var gone atomic.Bool
	bk := &backend{status: func(name string) (app.Status, error) {
		if gone.Load() {
			return app.Status{}, fmt.Errorf("the app %q: %w", name, app.ErrNotFound)
		}
		return app.Status{}, nil
	}}
	b := start(t, bk)
	err := b.user.WatchApp(within(t, 20*time.Second), "web", func(app.Status) error {
		gone.Store(true)
		bk.touch()
		return nil
	})
	if !errors.Is(err, app.ErrNotFound) || err.Error() != `the app "web": not found` {
		t.Errorf("got %v", err)
	}
}

func TestLogsAreFollowed(t *testing.T) {
	more := make(chan []app.LogLine)
	left := make(chan error, 1)
	bk := &backend{
		status: func(string) (app.Status, error) { return app.Status{}, nil },
		follow: func(ctx context.Context, name string, n int, fn func([]app.LogLine) error) error {
			for seq := range uint64(n) {
				if err := fn([]app.LogLine{{App: name, Seq: seq + 1}}); err != nil {
					return err
				}
			}
			for {
				select {
				case <-ctx.Done():
					left <- ctx.Err()
					return ctx.Err()
				case lines := <-more:
					if err := fn(lines); err != nil {
						return err
					}
				}
			}
		},
	}
	b := start(t, bk)
	var last uint64
	err := b.user.Logs(within(t, 20*time.Second), "web", api.LogOptions{Lines: 2, Follow: true}, func(l app.LogLine) error {
		if l.Seq != last+1 {
			t.Errorf("got %d after %d", l.Seq, last)
		}
		last = l.Seq
		switch l.Seq {
		case 2:
			batch := make([]app.LogLine, 5000)
			for i := range batch {
				batch[i] = app.LogLine{Seq: uint64(i) + 3, Text: strings.Repeat("é", 50)}
			}
			more <- batch
		case 5002:
			return io.EOF
		}
		return nil
	})
	if err != io.EOF {
		t.Errorf("got %v", err)
	}
	if err := <-left; err != context.Canceled { // the brain notices that the client went away
		t.Errorf("the backend ended with %v", err)
	}
}

func TestLogsOfAnAppThatIsGone(t *testing.T) {
	kept := []app.LogLine{{App: "old", Seq: 1}}
	b := start(t, &backend{
		status: func(string) (app.Status, error) { return app.Status{}, app.ErrNotFound },
		tail: func(name string, n int) []app.LogLine {
			if name == "old" {
				return kept
			}
			return nil
		},
	})
	lines := 0
	count := func(app.LogLine) error { lines++; return nil }
	if err := b.user.Logs(t.Context(), "old", api.LogOptions{Lines: 5}, count); err != nil || lines != 1 {
		t.Errorf("got %v and %d lines, want the one that is kept", err, lines)
	}
	if err := b.user.Logs(t.Context(), "never", api.LogOptions{Lines: 5}, count); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("got %v, want not found", err)
	}
}
