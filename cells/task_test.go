package cells

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/app"
	"lattice/cells/volumes"
)

// host is a Runtime and a Network whose containers are entries of a map. It can
// be copied at any moment, as a machine looks after a power cut.
type host struct {
	Runtime
	Network
	dir string // of the agent's records

	mu     sync.Mutex
	state  map[string]*Exit // containers; nil: runs
	starts int
	result string
	broken error               // of the starts to come
	fails  int                 // that many of them; 0: all
	at     func(moment string) // called at moments of interest
}

func (h *host) moment(name string) {
	if h.at != nil {
		h.at(name)
	}
}

func (h *host) Pull(context.Context, string, func(app.Pull)) (Image, error) {
	h.moment("pull")
	return Image{Name: "i", Cmd: []string{"c"}}, nil
}

func (h *host) Reserve(guid string, ports []int) (Lease, error) {
	if len(ports) > 0 {
		return Lease{}, fmt.Errorf("a task asked for ports %v", ports)
	}
	return Lease{GUID: guid}, nil
}

func (h *host) Release(context.Context, string) error { return nil }

func (h *host) Start(_ context.Context, s Spec) error {
	h.moment("before start")
	if err := h.broken; err != nil {
		if h.fails--; h.fails == 0 {
			h.broken = nil
		}
		return err
	}
	h.mu.Lock()
	h.state[s.GUID] = nil
	h.starts++
	h.mu.Unlock()
	h.moment("after start")
	return nil
}

// exit ends all containers.
func (h *host) exit(code int) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for guid := range h.state {
		h.state[guid] = &Exit{Code: code, At: time.Now()}
	}
}

func (h *host) Wait(ctx context.Context, guid string) (Exit, error) {
	for {
		h.mu.Lock()
		e, ok := h.state[guid]
		h.mu.Unlock()
		switch {
		case !ok:
			return Exit{}, app.ErrNotFound
		case e != nil:
			h.moment("exit")
			return *e, nil
		case !sleep(ctx, time.Millisecond):
			return Exit{}, ctx.Err()
		}
	}
}

func (h *host) Stop(_ context.Context, guid, _ string, _ time.Duration) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if _, ok := h.state[guid]; ok {
		h.state[guid] = &Exit{Code: 143, At: time.Now()}
	}
	return nil
}

func (h *host) Remove(_ context.Context, guid string) error {
	h.moment("before remove")
	h.mu.Lock()
	delete(h.state, guid)
	h.mu.Unlock()
	h.moment("after remove")
	return nil
}

func (h *host) ReadFile(context.Context, string, string, int64) ([]byte, error) {
	h.moment("read")
	return []byte(h.result), nil
}

func (h *host) Usage(context.Context, string) (Usage, error) { return Usage{}, app.ErrNotFound }
func (h *host) Disk(context.Context, string) (int64, error)  { return 0, nil }

func (h *host) List(context.Context) (all []Container, err error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	for guid := range h.state {
		all = append(all, Container{GUID: guid})
	}
	return all, nil
}

// copy returns the host as it is now.
func (h *host) copy(t *testing.T) *host {
	h.mu.Lock()
	defer h.mu.Unlock()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(h.dir)); err != nil {
		t.Error(err)
	}
	return &host{dir: dir, state: maps.Clone(h.state), starts: h.starts, result: h.result}
}

// boss is a Brain that wants one task, until told otherwise.
type boss struct {
	work    chan app.Work
	reports chan app.Report
}

func (b *boss) Work(ctx context.Context, _ string, fn func(app.Work) error) error {
	for {
		select {
		case w := <-b.work:
			if err := fn(w); err != nil {
				return err
			}
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func (b *boss) Report(ctx context.Context, r app.Report) error {
	select {
	case b.reports <- r:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// agentOn runs an agent on the host until the test ends or stop is called.
func agentOn(t *testing.T, h *host) (b *boss, stop func()) {
	t.Helper()
	b = &boss{work: make(chan app.Work, 10), reports: make(chan app.Report)}
	v, err := volumes.Open(t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a := New(Config{ID: "c", Dir: h.dir, Runtime: h, Network: h, Brain: b, Volumes: v, LogEnd: func(string) uint64 { return 9 }, Log: slog.New(slog.DiscardHandler)})
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- a.Run(ctx) }()
	stop = sync.OnceFunc(func() {
		cancel()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(stop)
	return b, stop
}

// until returns the task's instance when it is as wanted, or nil when the cell
// has none any more and that is wanted.
func (b *boss) until(t *testing.T, what string, ok func(in *app.Instance) bool) *app.Instance {
	t.Helper()
	limit := time.After(30 * time.Second)
	var last *app.Instance
	for {
		select {
		case r := <-b.reports:
			last = nil
			if len(r.Instances) > 0 {
				last = &r.Instances[0]
			}
			if ok(last) {
				return last
			}
		case <-limit:
			t.Fatalf("not within 30 s: %s; last %+v", what, last)
		}
	}
}

func is(state app.State) func(*app.Instance) bool {
	return func(in *app.Instance) bool { return in != nil && in.State == state }
}

func gone(in *app.Instance) bool { return in == nil }

// order is the work of one task.
func order(change ...func(*app.TaskOrder)) app.Work {
	o := &app.TaskOrder{}
	for _, f := range change {
		f(o)
	}
	spec := app.Task{Name: "job", Spec: app.App{Image: "i"}}.WithDefaults().Spec
	return app.Work{Store: "s", Tasks: []app.Assignment{{ID: "attempt", App: spec, Task: o}}}
}

func TestTaskRunsOnce(t *testing.T) {
	h := &host{dir: t.TempDir(), state: map[string]*Exit{}, result: "42"}
	b, _ := agentOn(t, h)
	b.work <- order(func(o *app.TaskOrder) { o.ResultFile = "/r" })
	if in := b.until(t, "runs", is(app.Running)); in.Task.StartedAt.IsZero() || in.GUID == "" {
		t.Errorf("%+v", in)
	}
	h.exit(3)
	in := b.until(t, "has ended", is(app.Completed))
	if r := in.Task; !r.Failed || *r.ExitCode != 3 || r.Result != "42" || r.LogLines != 9 || in.Reason != "exited with code 3" {
		t.Errorf("%+v %+v", in, r)
	}
	b.work <- order()
	b.work <- app.Work{Store: "s"}
	b.until(t, "is forgotten", gone)
	if files, _ := os.ReadDir(h.dir); len(files) > 0 || h.starts != 1 || len(h.state) > 0 {
		t.Errorf("%d records left, started %d times, containers %v", len(files), h.starts, h.state)
	}
}

// TestTaskIsNeverStartedTwice lets the power fail at each moment of a task's
// life, and goes on with what is left.
func TestTaskIsNeverStartedTwice(t *testing.T) {
	for _, moment := range []string{"pull", "before start", "after start", "exit", "read", "before remove", "after remove"} {
		t.Run(moment, func(t *testing.T) {
			h := &host{dir: t.TempDir(), state: map[string]*Exit{}, result: "42"}
			after := make(chan *host, 1)
			h.at = func(m string) {
				if m == moment && len(after) == 0 {
					after <- h.copy(t)
				}
			}
			w := order(func(o *app.TaskOrder) { o.ResultFile = "/r" })
			b, stop := agentOn(t, h)
			b.work <- w
			b.until(t, "runs", is(app.Running))
			h.exit(0)
			b.until(t, "has ended", is(app.Completed))
			stop()

			left := <-after
			b, _ = agentOn(t, left)
			b.work <- w
			if moment == "pull" || moment == "after start" {
				b.until(t, "runs", is(app.Running))
				left.exit(0)
			}
			in := b.until(t, "has ended", is(app.Completed))
			if lost := moment == "before start"; lost != in.Task.Failed || lost != strings.Contains(in.Reason, "its container is gone") || !lost && (in.Task.Result != "42" || *in.Task.ExitCode != 0) {
				t.Errorf("%+v %+v", in, in.Task)
			}
			if want := map[bool]int{true: 0, false: 1}[moment == "before start"]; left.starts != want {
				t.Errorf("started %d times, want %d", left.starts, want)
			}
			b.work <- app.Work{Store: "s"}
			b.until(t, "is forgotten", gone)
			if len(left.state) > 0 {
				t.Errorf("containers left: %v", left.state)
			}
		})
	}
}

func TestTaskThatWasStartedElsewhereOrBeforeIsNotStarted(t *testing.T) {
	h := &host{dir: t.TempDir(), state: map[string]*Exit{}}
	b, _ := agentOn(t, h)
	b.work <- order(func(o *app.TaskOrder) { o.Started = true })
	if in := b.until(t, "has ended", is(app.Completed)); !in.Task.Failed || !strings.Contains(in.Reason, "has lost what it knew") || h.starts != 0 {
		t.Errorf("started %d times: %+v", h.starts, in)
	}
}

func TestTaskThatCannotBeStartedNeverRan(t *testing.T) {
	h := &host{dir: t.TempDir(), state: map[string]*Exit{}, broken: ErrCommand}
	b, _ := agentOn(t, h)
	b.work <- order()
	if in := b.until(t, "has ended", is(app.Completed)); !in.Task.Failed || in.Reason != ErrCommand.Error() || !in.Task.StartedAt.IsZero() || in.GUID != "" {
		t.Errorf("%+v %+v", in, in.Task)
	}
}

func TestTaskIsStartedAgainOnlyWhileItCannotHaveRun(t *testing.T) {
	for _, tt := range []struct {
		err   error
		fails int
		runs  bool
	}{
		{errors.New("a leftover is in the way"), 1, true},
		{errors.New("a leftover is in the way"), startTries, false},
		{ErrInDoubt, 1, false},
		{ErrCommand, 1, false},
	} {
		h := &host{dir: t.TempDir(), state: map[string]*Exit{}, broken: tt.err, fails: tt.fails}
		b, stop := agentOn(t, h)
		b.work <- order()
		if tt.runs {
			b.until(t, "runs", is(app.Running))
			h.exit(0)
		}
		in := b.until(t, "has ended", is(app.Completed))
		if in.Task.Failed == tt.runs || h.starts > 1 || tt.runs && in.Task.StartedAt.IsZero() {
			t.Errorf("%v %d times: started %d times, %+v %+v", tt.err, tt.fails, h.starts, in, in.Task)
		}
		stop()
	}
}

func TestTaskIsStoppedAfterItsTime(t *testing.T) {
	h := &host{dir: t.TempDir(), state: map[string]*Exit{}}
	b, _ := agentOn(t, h)
	b.work <- order(func(o *app.TaskOrder) { o.Timeout = app.Duration(50 * time.Millisecond) })
	if in := b.until(t, "has ended", is(app.Completed)); !in.Task.Failed || in.Task.ExitCode != nil || !strings.Contains(in.Reason, "did not end within 50ms") {
		t.Errorf("%+v", in)
	}
}

func TestTaskThatIsNotWantedStops(t *testing.T) {
	h := &host{dir: t.TempDir(), state: map[string]*Exit{}}
	b, _ := agentOn(t, h)
	b.work <- order()
	b.until(t, "runs", is(app.Running))
	b.work <- app.Work{Store: "s"}
	b.until(t, "is forgotten", gone)
	if len(h.state) > 0 {
		t.Errorf("containers left: %v", h.state)
	}
}

// A task of a brain whose store was lost runs to its end, and stays known until
// somebody decides.
func TestStrayTaskEnds(t *testing.T) {
	h := &host{dir: t.TempDir(), state: map[string]*Exit{}}
	b, _ := agentOn(t, h)
	b.work <- order()
	b.until(t, "runs", is(app.Running))
	b.work <- app.Work{Store: "another"}
	b.until(t, "is a stray", func(in *app.Instance) bool { return in != nil && in.Stray })
	h.exit(0)
	if in := b.until(t, "has ended", is(app.Completed)); !in.Stray || in.Task.Failed {
		t.Errorf("%+v", in)
	}
	b.work <- app.Work{Store: "another", Discard: []string{"attempt"}}
	b.until(t, "is forgotten", gone)
}
