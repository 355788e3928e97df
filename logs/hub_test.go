package logs_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lattice/app"
	"lattice/logs"
)

// line is the line with the given Seq of the instance web/0.
func line(guid string, seq uint64) app.LogLine {
	return app.LogLine{App: "web", GUID: guid, Seq: seq, At: time.Unix(int64(seq), 0).UTC(),
		Stream: app.Stdout, Source: app.SourceApp, Text: fmt.Sprint(guid, seq)}
}

func lines(guid string, from, to uint64) (ls []app.LogLine) {
	for seq := from; seq <= to; seq++ {
		ls = append(ls, line(guid, seq))
	}
	return ls
}

func texts(ls []app.LogLine) string {
	var b []string
	for _, l := range ls {
		b = append(b, l.Text)
	}
	return strings.Join(b, ",")
}

func TestAppend(t *testing.T) {
	loss := line("a", 9)
	loss.Stream, loss.Source, loss.Text = app.Platform, app.SourceLog, "lost"
	cases := []struct {
		name    string
		batches [][]app.LogLine
		want    string
	}{
		{"in order", [][]app.LogLine{lines("a", 1, 3)}, "a1,a2,a3"},
		{"twice", [][]app.LogLine{lines("a", 1, 3), lines("a", 1, 3)}, "a1,a2,a3"},
		{"overlapping", [][]app.LogLine{lines("a", 1, 3), lines("a", 2, 5)}, "a1,a2,a3,a4,a5"},
		{"two instances", [][]app.LogLine{{line("a", 1), line("b", 1), line("a", 2), line("b", 2)}}, "a1,b1,a2,b2"},
		{"gap", [][]app.LogLine{lines("a", 1, 1), lines("a", 5, 6)}, "a1,3 lines missing: the cell could not deliver them,a5,a6"},
		{"gap that is told of", [][]app.LogLine{lines("a", 1, 1), {loss}, lines("a", 10, 10)}, "a1,lost,a10"},
		{"begins with a loss", [][]app.LogLine{{loss}, lines("a", 10, 10)}, "lost,a10"},
		{"begins in the middle", [][]app.LogLine{lines("a", 5, 6)}, ""},
		{"begins in the middle, then anew", [][]app.LogLine{lines("a", 5, 6), lines("a", 1, 6)}, "a1,a2,a3,a4,a5,a6"},
	}
	for _, c := range cases {
		h := logs.New()
		for _, b := range c.batches {
			h.Append(b)
		}
		if got := texts(h.Tail("web", -1)); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

func TestCursors(t *testing.T) {
	h := logs.New()
	h.Append(lines("a", 1, 7))
	h.Append(lines("b", 3, 4))
	if got := h.Cursors([]string{"a", "b", "c"}); got["a"] != 7 || got["b"] != 0 || got["c"] != 0 {
		t.Errorf("got %v, want a at 7 only", got)
	}
	h.Forget("web")
	h.Append(lines("a", 1, 8))
	if got := texts(h.Tail("web", -1)); got != "a8" {
		t.Errorf("after Forget, got %s, want only what is new", got)
	}
}

func TestOnlySoManyCursorsAreKept(t *testing.T) {
	h := logs.NewLimited(logs.Limits{GUIDs: 100})
	h.Append(lines("busy", 1, 1))
	for i := range 10_000 {
		h.Append(lines(fmt.Sprint("g", i), 1, 1))
		h.Append([]app.LogLine{line("busy", uint64(i+2))})
	}
	if got := h.Cursors([]string{"busy"})["busy"]; got != 10_001 {
		t.Errorf("cursor of the one always in use is %d, want 10001", got)
	}
	var all []string
	for i := range 10_000 {
		all = append(all, fmt.Sprint("g", i))
	}
	if n := len(h.Cursors(all)); n < 40 || n > 100 {
		t.Errorf("%d cursors kept, want 100 at most and no less than 40", n)
	}
}

func TestCursorsThatNobodyUsesAreForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := logs.New()
		h.Append(lines("dead", 1, 1))
		h.Append(lines("used", 1, 1))
		for day := range 5 {
			if got := h.Cursors([]string{"used"})["used"]; got != 1 {
				t.Errorf("day %d: cursor in use is %d, want 1", day, got)
			}
			h.Append(lines(fmt.Sprint("new", day), 1, 1))
			time.Sleep(25 * time.Hour)
		}
		if got := h.Cursors([]string{"dead"}); len(got) != 0 {
			t.Errorf("got %v, want nothing of the dead one", got)
		}
	})
}

func TestTail(t *testing.T) {
	h := logs.NewLimited(logs.Limits{Lines: 3})
	h.Append(lines("a", 1, 5))
	for n, want := range map[int]string{-1: "a3,a4,a5", 0: "", 2: "a4,a5", 99: "a3,a4,a5"} {
		if got := texts(h.Tail("web", n)); got != want {
			t.Errorf("Tail(%d): got %s, want %s", n, got, want)
		}
	}
	if got := h.Tail("unknown", 5); len(got) != 0 {
		t.Errorf("of an unknown app, got %v", got)
	}
}

func TestLimitsHold(t *testing.T) {
	h := logs.NewLimited(logs.Limits{Bytes: 100 << 10, TotalBytes: 300 << 10})
	big := func(name, guid string, seq uint64) []app.LogLine {
		l := line(guid, seq)
		l.App, l.Text = name, strings.Repeat("x", 10<<10)
		return []app.LogLine{l}
	}
	h.Append(big("quiet", "q", 1))
	for seq := range uint64(50) {
		for i := range 5 {
			h.Append(big(fmt.Sprint("loud", i), fmt.Sprint("l", i), seq+1))
		}
	}
	total := 0
	for i := range 5 {
		n := len(h.Tail(fmt.Sprint("loud", i), -1))
		if n == 0 || n > 9 {
			t.Errorf("loud%d keeps %d lines of 10 KiB, want 1 to 9", i, n)
		}
		total += n
	}
	if total > 29 {
		t.Errorf("%d lines of 10 KiB kept in all, want 29 at most", total)
	}
	if n := len(h.Tail("quiet", -1)); n != 1 {
		t.Errorf("the quiet app has %d lines, want its one", n)
	}
}

func TestFollow(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := logs.New()
		ctx, stop := context.WithCancel(t.Context())
		var got []app.LogLine
		done := make(chan error)
		go func() {
			done <- h.Follow(ctx, "web", 2, func(ls []app.LogLine) error { got = append(got, ls...); return nil })
		}()
		synctest.Wait() // it waits for an app that does not exist
		for seq := uint64(1); seq <= 3; seq++ {
			h.Append(lines("a", seq, seq))
			synctest.Wait()
		}
		h.Forget("web")
		h.Append(lines("a", 4, 5))
		synctest.Wait()
		if want := "a1,a2,a3,a4,a5"; texts(got) != want {
			t.Errorf("got %s, want %s", texts(got), want)
		}
		stop()
		if err := <-done; err != nil {
			t.Errorf("got %v when stopped", err)
		}
	})
}

func TestFollowStartsWithTheLastLines(t *testing.T) {
	h := logs.New()
	h.Append(lines("a", 1, 5))
	enough := errors.New("enough")
	err := h.Follow(t.Context(), "web", 2, func(ls []app.LogLine) error {
		if got := texts(ls); got != "a4,a5" {
			t.Errorf("got %s, want a4,a5", got)
		}
		return enough
	})
	if err != enough {
		t.Errorf("got %v, want the error of fn", err)
	}
}

func TestSlowFollowerIsToldWhatItMissed(t *testing.T) {
	h := logs.NewLimited(logs.Limits{Lines: 100})
	h.Append(lines("a", 1, 1))
	var got []app.LogLine
	enough := errors.New("enough")
	h.Follow(t.Context(), "web", -1, func(ls []app.LogLine) error {
		got = append(got, ls...)
		if len(got) == 1 {
			h.Append(lines("a", 2, 1000)) // while this one is busy
			return nil
		}
		return enough
	})
	if len(got) != 102 || got[1].Text != "899 lines skipped: they came faster than this reader took them" ||
		!got[1].IsLoss() || got[2].Seq != 901 || got[101].Seq != 1000 {
		t.Errorf("got %d lines: %s", len(got), texts(got))
	}
}

// Nothing is lost or doubled between what was there and what comes, for many
// followers that come and go while many instances write.
func TestFollowersSeeEveryLineOnceInOrder(t *testing.T) {
	const writers, each, followers = 4, 5000, 8
	h := logs.NewLimited(logs.Limits{Lines: writers * each})
	ctx, stop := context.WithTimeout(t.Context(), 30*time.Second)
	defer stop()
	var all sync.WaitGroup
	for w := range writers {
		all.Go(func() {
			for seq := uint64(1); seq <= each; seq += 50 {
				h.Append(lines(fmt.Sprint("g", w), seq, seq+49))
			}
		})
	}
	for range followers {
		all.Go(func() {
			next, n := map[string]uint64{}, 0
			done := errors.New("done")
			err := h.Follow(ctx, "web", -1, func(ls []app.LogLine) error {
				for _, l := range ls {
					if l.Seq != next[l.GUID]+1 {
						return fmt.Errorf("%s: line %d after %d", l.GUID, l.Seq, next[l.GUID])
					}
					next[l.GUID] = l.Seq
				}
				if n += len(ls); n == writers*each {
					return done
				}
				return nil
			})
			if err != done {
				t.Errorf("got %v after %d lines", err, n)
			}
		})
	}
	all.Wait()
}

// One core takes lines as they come from a cell: text form, Append, and one
// follower.
func BenchmarkAggregate(b *testing.B) {
	const n = 2000
	h := logs.New()
	ctx, stop := context.WithCancel(b.Context())
	var followers sync.WaitGroup
	followers.Go(func() { h.Follow(ctx, "web", 0, func([]app.LogLine) error { return nil }) })
	defer followers.Wait()
	defer stop()
	l := line("5f1c7a9e-2b41-4a63-9b1f-0d7c1e5a8b23", 0)
	l.Text = strings.Repeat("GET /index.html 200 ", 5)
	var body []byte
	batch := make([]app.LogLine, 0, n)
	for b.Loop() {
		b.StopTimer()
		body = body[:0]
		for range n {
			l.Seq++
			body = app.AppendLogLine(body, l)
		}
		b.StartTimer()
		batch = batch[:0]
		err := app.ReadLogLines(bytes.NewReader(body), func(l app.LogLine) error { batch = append(batch, l); return nil })
		if err != nil {
			b.Fatal(err)
		}
		h.Append(batch)
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "lines/s")
}
