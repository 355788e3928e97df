package events_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/events"
)

// long is how long a test waits for what must happen.
const long = 30 * time.Second

var quiet = slog.New(slog.NewTextHandler(io.Discard, nil))

// open opens a journal and lets it write until the returned function is called.
func open(t *testing.T, dir string, l events.Limits) (*events.Journal, func()) {
	t.Helper()
	j, err := events.Open(dir, l, quiet)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- j.Run(ctx) }()
	stop := func() {
		cancel()
		if ended != nil {
			if err := <-ended; err != nil {
				t.Error(err)
			}
		}
		ended = nil
	}
	t.Cleanup(stop)
	return j, stop
}

func messages(es []app.Event) string {
	var all []string
	for _, e := range es {
		all = append(all, e.Message)
	}
	return strings.Join(all, " ")
}

var all = app.EventQuery{Lines: -1}

func TestQueries(t *testing.T) {
	j, _ := open(t, t.TempDir(), events.Limits{})
	j.Emit(app.Event{Kind: app.AppCreated, App: "web", Index: app.NoIndex, Message: "1"})
	j.Emit(app.Event{Kind: app.InstancePlaced, App: "web", Cell: "c1", Message: "2"})
	j.Emit(app.Event{Kind: app.InstanceCrashed, App: "db", Cell: "c1", Message: "3"})
	j.Emit(app.Event{Kind: app.CellDied, Cell: "c1", Message: "4"})
	j.Emit(app.Event{Kind: app.TaskFailed, Task: "job", Message: "5"})
	second := j.Tail(all)[1]
	for _, tt := range []struct {
		q    app.EventQuery
		want string
	}{
		{all, "1 2 3 4 5"},
		{app.EventQuery{}, ""},
		{app.EventQuery{Lines: 2}, "4 5"},
		{app.EventQuery{Lines: -1, App: "web"}, "1 2"},
		{app.EventQuery{Lines: 1, App: "web"}, "2"},
		{app.EventQuery{Lines: -1, Cell: "c1"}, "2 3 4"},
		{app.EventQuery{Lines: -1, Task: "job"}, "5"},
		{app.EventQuery{Lines: -1, Kind: "instance"}, "2 3"},
		{app.EventQuery{Lines: -1, Kind: "instance.placed,cell"}, "2 4"},
		{app.EventQuery{Lines: -1, Kind: "inst"}, ""},
		{app.EventQuery{Lines: -1, Since: second.Seq}, "3 4 5"},
		{app.EventQuery{Lines: 1, Since: second.Seq}, "5"},
		{app.EventQuery{Lines: -1, Since: second.Seq + 1000}, ""},
	} {
		if got := messages(j.Tail(tt.q)); got != tt.want {
			t.Errorf("%+v: got %q, want %q", tt.q, got, tt.want)
		}
	}
	if last := j.Tail(app.EventQuery{Lines: 1})[0]; last.Index != app.NoIndex || last.At.IsZero() {
		t.Errorf("got index %d at %s, want %d at a time: it is about no app", last.Index, last.At, app.NoIndex)
	}
}

func TestFollowGivesEachEventOnce(t *testing.T) {
	j, _ := open(t, t.TempDir(), events.Limits{})
	const n = 5000
	for i := range n / 2 {
		j.Emit(app.Event{Kind: app.AppCreated, Message: fmt.Sprint(i)})
	}
	go func() {
		for i := range n / 2 {
			j.Emit(app.Event{Kind: app.AppCreated, Message: fmt.Sprint(n/2 + i)})
		}
	}()
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	done, got := errors.New("done"), 0
	err := j.Follow(ctx, all, func(es []app.Event) error {
		for _, e := range es {
			if e.Message != fmt.Sprint(got) {
				return fmt.Errorf("got event %q, want %d", e.Message, got)
			}
			got++
		}
		if got == n {
			return done
		}
		return nil
	})
	if err != done {
		t.Fatalf("got %v after %d events, want all %d", err, got, n)
	}
}

func TestWhoFallsBehindIsTold(t *testing.T) {
	j, _ := open(t, t.TempDir(), events.Limits{Events: 10})
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	done := errors.New("done")
	crowd := func() {
		for range 20 {
			j.Emit(app.Event{Kind: app.AppCreated, Message: "crowd"})
		}
	}
	crowd()
	var told []string
	err := j.Follow(ctx, app.EventQuery{Lines: 1}, func(es []app.Event) error {
		for _, e := range es {
			told = append(told, e.Kind)
		}
		if len(told) > 1 {
			return done
		}
		crowd()
		return nil
	})
	if want := app.AppCreated + " " + app.EventsLost; err != done || !strings.HasPrefix(strings.Join(told, " "), want) || len(told) != 12 {
		t.Errorf("a slow follower: got %v and then %v, want it to be told %q and what is left", told, err, want)
	}
	first := j.Tail(all)[0].Seq
	err = j.Follow(ctx, app.EventQuery{Lines: -1, Since: first - 5}, func(es []app.Event) error {
		if es[0].Kind != app.EventsLost || len(es) != 11 {
			t.Errorf("got %d events, the first a %s: want one that tells of the loss, and the 10 that are left", len(es), es[0].Kind)
		}
		return done
	})
	if err != done {
		t.Error(err)
	}
}

func TestSurvivesAKillInMidLine(t *testing.T) {
	dir := t.TempDir()
	j, stop := open(t, dir, events.Limits{})
	for i := range 3 {
		j.Emit(app.Event{Kind: app.AppCreated, App: "web", Message: fmt.Sprint(i)})
	}
	last := j.Tail(all)[2].Seq
	stop()
	files := segments(t, dir)
	f, err := os.OpenFile(files[len(files)-1], os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.WriteString("garbage\n" + `{"seq":99999999,"kind":"app.cre`)
	if err = errors.Join(err, f.Close()); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"0 1 2 again", "0 1 2 again again"} {
		j, stop = open(t, dir, events.Limits{})
		j.Emit(app.Event{Kind: app.AppCreated, Message: "again"})
		got := j.Tail(all)
		if messages(got) != want || got[len(got)-1].Seq <= last {
			t.Errorf("got %q up to number %d, want %q and more than %d", messages(got), got[len(got)-1].Seq, want, last)
		}
		last = got[len(got)-1].Seq
		stop()
	}
	if files := segments(t, dir); len(files) != 1 {
		t.Errorf("got %v, want one segment that is gone on with", files)
	}
}

func segments(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no segments in %s: %v", dir, err)
	}
	slices.Sort(files)
	return files
}

func TestDiskIsBounded(t *testing.T) {
	dir := t.TempDir()
	const limit = 256 << 10
	j, stop := open(t, dir, events.Limits{Events: 100, Bytes: limit})
	ctx, cancel := context.WithTimeout(context.Background(), long)
	defer cancel()
	for i := range 5000 {
		text := fmt.Sprint(i, " ", strings.Repeat("x", 100))
		j.Emit(app.Event{Kind: app.AppCreated, App: "web", Message: text})
		if i%50 == 0 { // the disk must keep up, for what it misses is no proof
			for !written(t, dir, text) && ctx.Err() == nil {
				time.Sleep(time.Millisecond)
			}
		}
	}
	stop()
	if got := sum(t, dir); got > limit*3/2 || got < limit/2 {
		t.Errorf("got %d bytes on disk, want about %d", got, limit)
	}
	kept := j.Tail(all)
	again, _ := open(t, dir, events.Limits{Events: 100, Bytes: limit})
	if got := again.Tail(all); len(got) != 100 || got[99] != kept[99] {
		t.Errorf("got %d events, the last %v, want 100, the last %v", len(got), got[len(got)-1], kept[99])
	}
}

// written reports whether the newest segment has the text.
func written(t *testing.T, dir, text string) bool {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.jsonl"))
	if err != nil || len(files) == 0 {
		return false
	}
	data, err := os.ReadFile(slices.Max(files))
	return err == nil && strings.Contains(string(data), text)
}

func sum(t *testing.T, dir string) (n int64) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if info, err := e.Info(); err == nil {
			n += info.Size()
		}
	}
	return n
}
