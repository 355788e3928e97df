package sessions_test

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lattice/app"
	"lattice/sessions"
	"lattice/sessions/sessionstest"
)

// A world is what a broker sees.
type world struct {
	mu      sync.Mutex
	cells   []app.Cell
	changed chan struct{}
	events  []app.Event
}

func (w *world) Cells() []app.Cell {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.cells
}

func (w *world) Changed() <-chan struct{} {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.changed
}

func (w *world) kill() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.cells = []app.Cell{{ID: "c", State: app.CellDead}}
	close(w.changed)
	w.changed = make(chan struct{})
}

func (w *world) told(kind string) (all []string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, e := range w.events {
		if e.Kind == kind {
			all = append(all, e.Message)
		}
	}
	return all
}

// newBroker returns a broker of a cell c, which runs until the end of the test.
func newBroker(t *testing.T) (*sessions.Broker, *world, context.CancelFunc) {
	w := &world{cells: []app.Cell{{ID: "c", State: app.CellAlive}}, changed: make(chan struct{})}
	b := sessions.New(sessions.Config{Cells: w.Cells, Changed: w.Changed, Log: slog.New(slog.DiscardHandler), Emit: func(e app.Event) {
		w.mu.Lock()
		defer w.mu.Unlock()
		w.events = append(w.events, e)
	}})
	ctx, stop := context.WithCancel(context.Background())
	over := make(chan struct{})
	go func() {
		defer close(over)
		if err := b.Run(ctx); err != nil {
			t.Error(err)
		}
	}()
	t.Cleanup(func() { stop(); <-over })
	return b, w, func() { stop(); <-over }
}

func order(r app.SessionRequest) app.SessionOrder {
	return app.SessionOrder{Actor: "ann", Place: app.SessionPlace{App: "web", Index: 2, Cell: "c", ID: "p", GUID: "g"}, Request: r}
}

var run = app.SessionRequest{Kind: app.SessionExec, Command: []string{"ls", "secret"}}

// come lets the cell come for the next session and returns its end.
func come(t *testing.T, b *sessions.Broker) app.Link {
	t.Helper()
	return comeWhile(t, context.Background(), b)
}

// comeWhile lets a cell come that is welcome while in goes on.
func comeWhile(t *testing.T, in context.Context, b *sessions.Broker) app.Link {
	t.Helper()
	for {
		changed := b.WantedChanged("c")
		if wanted := b.Wanted("c"); len(wanted) > 0 {
			cell, brain := sessionstest.Pair()
			go b.Attend(in, "c", wanted[0].ID, brain)
			return cell
		}
		<-changed
	}
}

func TestASessionIsToldFromEndToEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w, stop := newBroker(t)
		defer stop()
		go func() {
			cell := come(t, b)
			time.Sleep(3 * time.Second)
			_ = app.SendEnd(cell, app.SessionEnd{Code: 7})
		}()
		s, err := b.Open(t.Context(), t.Context(), order(run))
		if err != nil {
			t.Fatal(err)
		}
		if ch, data, err := s.Receive(); ch != app.ChanEnd || string(data) != `{"code":7}` || err != nil {
			t.Errorf("got %v %s %v", ch, data, err)
		}
		s.Close()
		if got := w.told(app.SessionOpened); len(got) != 1 || got[0] != "exec ls" {
			t.Errorf("opened: %q", got)
		}
		if got := w.told(app.SessionClosed); len(got) != 1 || got[0] != "exec ls, after 3s: exit code 7" {
			t.Errorf("closed: %q", got)
		}
		if e := w.events[0]; e.Actor != "ann" || e.App != "web" || e.Index != 2 || e.Cell != "c" || e.GUID != "g" {
			t.Errorf("event: %+v", e)
		}
	})
}

func TestWhatEndsASession(t *testing.T) {
	for name, tt := range map[string]struct {
		end  func(w *world, stop, leave func(), cell app.Link)
		says string
	}{
		"the cell breaks off":       {func(_ *world, _, _ func(), cell app.Link) { cell.Abort() }, "the cell c was lost in mid-session"},
		"the cell dies":             {func(w *world, _, _ func(), _ app.Link) { w.kill() }, "the cell c is gone"},
		"who opened it must go":     {func(_ *world, _, leave func(), _ app.Link) { leave() }, "ann was removed"},
		"the brain stops":           {func(_ *world, stop, _ func(), _ app.Link) { go stop() }, "the brain is stopping"},
		"it lasts longer than long": {func(*world, func(), func(), app.Link) {}, "24h0m0s"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b, w, stop := newBroker(t)
				defer stop()
				links := make(chan app.Link, 1)
				go func() { links <- come(t, b) }()
				in, leave := context.WithCancelCause(context.Background())
				s, err := b.Open(t.Context(), in, order(run))
				if err != nil {
					t.Fatal(err)
				}
				cell := <-links
				go tt.end(w, stop, func() { leave(errors.New("ann was removed")) }, cell)
				if _, _, err := s.Receive(); err == nil || !strings.Contains(err.Error(), tt.says) {
					t.Errorf("got %v, want %q", err, tt.says)
				}
				s.Close()
				if _, _, err := cell.Receive(); err == nil {
					t.Error("the cell's end is still open")
				}
				if got := w.told(app.SessionClosed); len(got) != 1 {
					t.Errorf("closed: %q", got)
				}
			})
		})
	}
}

func TestASessionEndsWhenItsCellIsPutOut(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, _, stop := newBroker(t)
		defer stop()
		in, putOut := context.WithCancelCause(context.Background())
		go comeWhile(t, in, b)
		s, err := b.Open(t.Context(), t.Context(), order(run))
		if err != nil {
			t.Fatal(err)
		}
		putOut(errors.New("the cell c is not in the cluster any more"))
		if _, _, err := s.Receive(); err == nil || !strings.Contains(err.Error(), "not in the cluster") {
			t.Errorf("got %v", err)
		}
		s.Close()
	})
}

func TestNobodyComes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w, stop := newBroker(t)
		defer stop()
		_, err := b.Open(t.Context(), t.Context(), order(run))
		if !errors.Is(err, app.ErrUnavailable) || !strings.Contains(err.Error(), "did not come") {
			t.Errorf("got %v", err)
		}
		if got := b.Wanted("c"); len(got) != 0 {
			t.Errorf("still wanted: %v", got)
		}
		if got := w.told(app.SessionOpened); len(got) != 0 {
			t.Errorf("opened: %q", got)
		}
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(time.Second, cancel)
		if _, err := b.Open(ctx, ctx, order(run)); !errors.Is(err, context.Canceled) {
			t.Errorf("who waited left: %v", err)
		}
	})
}

func TestOnlyTheCellComesAndOnlyOnce(t *testing.T) {
	b, _, _ := newBroker(t)
	opened := make(chan *sessions.Session, 1)
	go func() {
		s, err := b.Open(context.Background(), context.Background(), order(run))
		if err != nil {
			t.Error(err)
		}
		opened <- s
	}()
	var id string
	for id == "" {
		changed := b.WantedChanged("c")
		if wanted := b.Wanted("c"); len(wanted) > 0 {
			id = wanted[0].ID
			continue
		}
		<-changed
	}
	if got := b.Wanted("other"); len(got) != 0 {
		t.Errorf("another cell sees %v", got)
	}
	attend := func(cell string) error {
		_, l := sessionstest.Pair()
		return b.Attend(context.Background(), cell, id, l)
	}
	if err := attend("other"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("another cell: %v", err)
	}
	first := make(chan error, 1)
	go func() { first <- attend("c") }()
	s := <-opened
	if err := errors.Join(b.Waits("c", id), attend("c")); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("a second time: %v", err)
	}
	s.Close()
	if err := <-first; err != nil {
		t.Error(err)
	}
}

func TestConnectionsAreToldOnceAMinute(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, w, stop := newBroker(t)
		defer stop()
		for range 5 {
			go func() { _ = app.SendEnd(come(t, b), app.SessionEnd{}) }()
			s, err := b.Open(t.Context(), t.Context(), order(app.SessionRequest{Kind: app.SessionDial, Host: "db", Port: 5432}))
			if err != nil {
				t.Fatal(err)
			}
			if _, _, err := s.Receive(); err != nil {
				t.Error(err)
			}
			s.Close()
			time.Sleep(20 * time.Second)
		}
		if got := w.told(app.SessionOpened); len(got) != 2 || got[0] != "dial db:5432" {
			t.Errorf("opened: %q", got)
		}
	})
}

func TestFind(t *testing.T) {
	st := app.Status{App: app.App{Name: "web"}, Instances: []app.Instance{
		{Index: 0, State: app.Crashed, Reason: "exited with code 1"},
		{Index: 1, State: app.Running, GUID: "old", Cell: "a", Draining: true}, {Index: 1, State: app.Running, GUID: "new", Cell: "b"},
		{Index: 2, State: app.Claimed, GUID: "starts", Cell: "c"}, {Index: 3, State: app.Unclaimed}, {Index: 4, State: app.Running, GUID: "x", Stopping: true},
	}}
	for index, want := range map[int]string{app.NoIndex: "new", 1: "new", 2: "starts"} {
		if got, err := sessions.Find(st, index); err != nil || got.GUID != want || got.App != "web" {
			t.Errorf("%d: got %+v %v, want %s", index, got, err, want)
		}
	}
	for index, want := range map[int]string{0: "web/0 does not run, it is CRASHED (exited with code 1)", 3: "UNCLAIMED", 4: "RUNNING", 9: "web has instances 0 to 4"} {
		if _, err := sessions.Find(st, index); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%d: got %v, want %q", index, err, want)
		}
	}
	if _, err := sessions.Find(app.Status{App: app.App{Name: "web"}}, app.NoIndex); !errors.Is(err, app.ErrConflict) {
		t.Errorf("no instances: %v", err)
	}
}
