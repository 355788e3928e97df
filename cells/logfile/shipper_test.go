package logfile_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/app"
	"lattice/cells/logfile"
	"lattice/logs"
)

// A brain is a Sink with a real Hub that can be down, lose its memory, and take
// lines without being able to say so.
type brain struct {
	mu   sync.Mutex // guards what follows
	hub  *logs.Hub
	down bool // refuses everything
	deaf int  // so many answers get lost on their way back
	size int  // of the largest batch, in bytes
}

var errDown = errors.New("connection refused")

func (b *brain) LogCursors(_ context.Context, guids []string) (map[string]uint64, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return nil, errDown
	}
	return b.hub.Cursors(guids), nil
}

func (b *brain) SendLogs(_ context.Context, lines []app.LogLine) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.down {
		return errDown
	}
	size := 0
	for _, l := range lines {
		size += len(app.AppendLogLine(nil, l))
	}
	b.size = max(b.size, size)
	b.hub.Append(lines)
	if b.deaf > 0 {
		b.deaf--
		return errDown
	}
	return nil
}

// set changes b while nobody talks to it.
func (b *brain) set(change func(b *brain)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	change(b)
}

func newBrain() *brain {
	return &brain{hub: logs.NewLimited(logs.Limits{Lines: 1 << 20, Bytes: 1 << 30})}
}

// ship runs a Shipper until the test ends or stop is called.
func ship(t testing.TB, root string, sink logfile.Sink) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	s := &logfile.Shipper{Root: root, Sink: sink, Log: slog.New(slog.DiscardHandler)}
	go func() { done <- s.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error("shipper:", err)
		}
	})
	t.Cleanup(stop)
	return stop
}

// await returns the lines of web as soon as the one with Seq last of guid is
// there, and fails if they are not in order for each GUID.
func await(t testing.TB, b *brain, guid string, last uint64) []app.LogLine {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 60*time.Second)
	defer cancel()
	var all []app.LogLine
	found := errors.New("found")
	b.mu.Lock()
	hub := b.hub
	b.mu.Unlock()
	err := hub.Follow(ctx, "web", -1, func(ls []app.LogLine) error {
		all = append(all, ls...)
		if slices.ContainsFunc(ls, func(l app.LogLine) bool { return l.GUID == guid && l.Seq == last }) {
			return found
		}
		return nil
	})
	if err != found {
		t.Fatalf("line %d of %s did not come; got %d lines", last, guid, len(all))
	}
	perGUID := map[string][]app.LogLine{}
	for _, l := range all {
		perGUID[l.GUID] = append(perGUID[l.GUID], l)
	}
	for _, ls := range perGUID {
		inOrder(t, 0, ls)
	}
	return all
}

func losses(lines []app.LogLine) (texts []string) {
	for _, l := range lines {
		if l.IsLoss() {
			texts = append(texts, l.Text)
		}
	}
	return texts
}

func TestBurstIsDeliveredWhole(t *testing.T) {
	root, b := t.TempDir(), newBrain()
	ship(t, root, b)
	const writers, each = 3, 10_000
	var all sync.WaitGroup
	for i := range writers {
		w := open(t, filepath.Join(root, fmt.Sprint("guid", i)), 0)
		all.Go(func() {
			l := w.Lines(app.Stdout, app.SourceApp)
			for n := range each {
				if err := l.Add(time.Now(), fmt.Appendf(nil, "line %d of the burst\n", n+1)); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Wait()
	for i := range writers {
		lines := await(t, b, fmt.Sprint("guid", i), each)
		n := 0
		for _, l := range lines {
			if l.GUID == fmt.Sprint("guid", i) {
				if n++; l.Text != fmt.Sprintf("line %d of the burst", n) {
					t.Fatalf("line %d is %q", n, l.Text)
				}
			}
		}
		if n != each {
			t.Errorf("writer %d: %d lines arrived, want %d", i, n, each)
		}
	}
}

func TestFirstLineIsThereSoon(t *testing.T) {
	root, b := t.TempDir(), newBrain()
	ship(t, root, b)
	w := open(t, filepath.Join(root, "guid"), 0)
	var took []time.Duration
	for n := range uint64(21) {
		start := time.Now()
		if err := w.Append(start, app.Stdout, app.SourceApp, "hello"); err != nil {
			t.Fatal(err)
		}
		await(t, b, "guid", n+1)
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("written to delivered: median %v, worst %v", took[len(took)/2], took[len(took)-1])
	if m := took[len(took)/2]; m > 100*time.Millisecond {
		t.Errorf("median %v, want about 10 ms", m)
	}
}

func TestSinkDownAndBack(t *testing.T) {
	root, b := t.TempDir(), newBrain()
	b.down = true
	ship(t, root, b)
	w := open(t, filepath.Join(root, "guid"), 0)
	fill(t, w, 1000)
	b.set(func(b *brain) { b.down = false })
	await(t, b, "guid", 1000)
	b.set(func(b *brain) { b.down = true })
	fill(t, w, 1000)
	b.set(func(b *brain) { b.down, b.deaf = false, 3 })
	fill(t, w, 1000)
	lines := await(t, b, "guid", 3000)
	if len(lines) != 3000 || len(losses(lines)) > 0 {
		t.Errorf("got %d lines, losses %q, want 3000 and none", len(lines), losses(lines))
	}
}

func TestBrainWithoutMemoryGetsWhatIsOnDisk(t *testing.T) {
	root, b := t.TempDir(), newBrain()
	ship(t, root, b)
	dead := open(t, filepath.Join(root, "dead"), 0)
	fill(t, dead, 50)
	if err := dead.Close(); err != nil {
		t.Fatal(err)
	}
	w := open(t, filepath.Join(root, "guid"), 0)
	fill(t, w, 100)
	await(t, b, "dead", 50)
	await(t, b, "guid", 100)
	// It comes back so fast that no call fails.
	b.set(func(b *brain) { b.hub = newBrain().hub })
	fill(t, w, 1)
	for _, want := range []struct {
		guid string
		last uint64
	}{{"guid", 101}, {"dead", 50}} {
		if lines := await(t, b, want.guid, want.last); len(losses(lines)) > 0 {
			t.Errorf("losses %q, want none", losses(lines))
		}
	}
}

func TestShipperGoesOnWhereItWas(t *testing.T) {
	root, b := t.TempDir(), newBrain()
	w := open(t, filepath.Join(root, "guid"), 0)
	for round := range uint64(3) {
		stop := ship(t, root, b)
		fill(t, w, 100)
		lines := await(t, b, "guid", 100*(round+1))
		if len(lines) != int(100*(round+1)) {
			t.Errorf("round %d: got %d lines", round, len(lines))
		}
		stop()
	}
}

func TestOvertakenShipperSaysWhatWasDropped(t *testing.T) {
	root, b := t.TempDir(), newBrain()
	ship(t, root, b)
	w := open(t, filepath.Join(root, "guid"), 1<<20)
	fill(t, w, 10)
	await(t, b, "guid", 10)
	b.set(func(b *brain) { b.down = true })
	fill(t, w, 3000)
	b.set(func(b *brain) { b.down = false })
	got := losses(await(t, b, "guid", 3010))
	if len(got) != 1 || !strings.HasSuffix(got[0], "lines dropped: the log of this instance grew faster than it could be delivered (limit 1 MiB)") {
		t.Errorf("losses told: %q", got)
	}
}

// Batches stay below what is promised, whatever the lines look like.
func TestBatchesAreBounded(t *testing.T) {
	root, b := t.TempDir(), newBrain()
	for i, text := range []string{"\n", "x\n", strings.Repeat("\\", app.MaxLine) + "\n", strings.Repeat("\x00", 100) + "\n"} {
		name := strings.Repeat("n", 60)
		guid := fmt.Sprint(strings.Repeat("g", 60), i)
		w, err := logfile.Open(filepath.Join(root, guid), logfile.ID{App: name, GUID: guid}, 4<<20)
		if err != nil {
			t.Fatal(err)
		}
		if err := w.Lines(app.Stdout, app.SourceApp).Add(time.Now(), []byte(strings.Repeat(text, min(30_000, 2<<20/len(text))))); err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(w.Append(time.Now(), app.Stdout, app.SourceApp, "end"), w.Close()); err != nil {
			t.Fatal(err)
		}
	}
	w := open(t, filepath.Join(root, "guid"), 0)
	fill(t, w, 1)
	ship(t, root, b)
	await(t, b, "guid", 1)
	ctx, cancel := context.WithTimeout(t.Context(), 60*time.Second)
	defer cancel()
	ends, done := 0, errors.New("done")
	err := b.hub.Follow(ctx, strings.Repeat("n", 60), -1, func(ls []app.LogLine) error {
		for _, l := range ls {
			if l.Text == "end" {
				ends++
			}
		}
		if ends == 4 {
			return done
		}
		return nil
	})
	if err != done {
		t.Fatalf("%d of 4 logs arrived", ends)
	}
	if t.Logf("largest batch: %d KiB", b.size>>10); b.size > logfile.MaxBatch {
		t.Errorf("a batch has %d bytes, want %d at most", b.size, logfile.MaxBatch)
	}
}

func TestEventsAreDelivered(t *testing.T) {
	root, b := t.TempDir(), newBrain()
	const streams, rounds = 100, 3 // more than are kept open
	events, err := logfile.NewEventLog(root, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := events.Close(); err != nil {
			t.Error(err)
		}
	}()
	ship(t, root, b)
	for round := range rounds {
		for i := range streams {
			events.Event(fmt.Sprintf("p%02d", i), "web", i, app.SourceCell, fmt.Sprint("round ", round))
		}
	}
	seen := map[string]int{}
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	n, done := 0, errors.New("done")
	err = b.hub.Follow(ctx, "web", -1, func(ls []app.LogLine) error {
		for _, l := range ls {
			id, boot, _ := strings.Cut(l.GUID, ".")
			if want := fmt.Sprint("round ", seen[id]); l.Text != want || l.Seq != uint64(seen[id]+1) || id != fmt.Sprintf("p%02d", l.Index) ||
				len(boot) != 8 || l.Stream != app.Platform || l.Source != app.SourceCell {
				return fmt.Errorf("got %+v, want %q", l, want)
			}
			seen[id]++
			n++
		}
		if n == streams*rounds {
			return done
		}
		return nil
	})
	if err != done {
		t.Errorf("got %v after %d events", err, n)
	}
}

// A counter is a Sink that takes everything and tells when it has n lines.
type counter struct {
	n    int
	last uint64
	done chan struct{}
}

func (c *counter) LogCursors(_ context.Context, guids []string) (map[string]uint64, error) {
	return map[string]uint64{"guid": c.last}, nil
}

func (c *counter) SendLogs(_ context.Context, lines []app.LogLine) error {
	if c.last = lines[len(lines)-1].Seq; c.last == uint64(c.n) {
		close(c.done)
	}
	return nil
}

// What one core can bring from disk to the sink.
func BenchmarkShipper(b *testing.B) {
	const n = 200_000
	root := b.TempDir()
	w := open(b, filepath.Join(root, "guid"), 64<<20)
	l := w.Lines(app.Stdout, app.SourceApp)
	for range n / 500 {
		if err := l.Add(time.Now(), []byte(strings.Repeat(strings.Repeat("GET /index.html 200 ", 5)+"\n", 500))); err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		c := &counter{n: n, done: make(chan struct{})}
		stop := ship(b, root, c)
		<-c.done
		stop()
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "lines/s")
}
