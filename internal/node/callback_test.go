package node

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/app"
)

// ends is a taskEnds with one task.
type ends struct {
	mu      sync.Mutex
	task    app.Task
	changed chan struct{}
}

func (e *ends) Callbacks(now time.Time) ([]app.Task, time.Time) {
	e.mu.Lock()
	defer e.mu.Unlock()
	switch c := e.task.Callback; {
	case c.Settled():
		return nil, time.Time{}
	case c.NextAt.After(now):
		return nil, c.NextAt
	}
	return []app.Task{e.task}, time.Time{}
}

func (e *ends) CalledBack(_ app.Task, c app.Callback) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.task.Callback = &c
	close(e.changed)
	e.changed = make(chan struct{})
	return nil
}

func (e *ends) Changed() <-chan struct{} {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.changed
}

// until waits for a state of the call.
func (e *ends) until(t *testing.T, ok func(app.Callback) bool) app.Callback {
	t.Helper()
	limit := time.After(30 * time.Second)
	for {
		changed := e.Changed()
		e.mu.Lock()
		c := *e.task.Callback
		e.mu.Unlock()
		if ok(c) {
			return c
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("not within 30 s: %+v", c)
		}
	}
}

func TestEndOfATaskIsToldUntilItIsTaken(t *testing.T) {
	type call struct {
		task app.Task
		text string
	}
	calls := make(chan call, 10)
	first := true
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var c call
		var raw json.RawMessage
		if err := json.NewDecoder(r.Body).Decode(&raw); err != nil {
			t.Error(err)
		}
		c.text = string(raw)
		if err := json.Unmarshal(raw, &c.task); err != nil || r.Method != http.MethodPost || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%s %v %v", r.Method, r.Header, err)
		}
		calls <- c
		if first {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		first = false
	}))
	defer srv.Close()
	code := 3
	e := &ends{changed: make(chan struct{}), task: app.Task{Name: "job", State: app.Completed, Failed: true, ExitCode: &code, Result: "out",
		Spec: app.App{Env: map[string]string{"KEY": "sesame"}}, TaskOptions: app.TaskOptions{CallbackURL: srv.URL + "/done?key=open"}, Callback: &app.Callback{}}}
	ctx, stop := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- newCaller(e, slog.New(slog.DiscardHandler)).Run(ctx) }()
	tried := e.until(t, func(c app.Callback) bool { return c.Tries == 1 })
	if tried.Done || tried.GaveUp || !strings.Contains(tried.Reason, "503") || tried.NextAt.IsZero() {
		t.Errorf("after a refusal: %+v", tried)
	}
	if c := e.until(t, func(c app.Callback) bool { return c.Tries == 2 }); !c.Done || c.Reason != "" {
		t.Errorf("after it was taken: %+v", c)
	}
	stop()
	if err := <-ended; err != nil || len(calls) != 2 {
		t.Errorf("%d calls, %v", len(calls), err)
	}
	c := <-calls
	if c.task.Name != "job" || *c.task.ExitCode != 3 || c.task.Result != "out" || strings.Contains(c.text, "sesame") {
		t.Errorf("told: %s", c.text)
	}
}

func TestTriesEnd(t *testing.T) {
	c, now, total := app.Callback{}, time.Now(), time.Duration(0)
	for n := 1; !c.Settled(); n++ {
		if c = nextTry(c, errors.New("no"), now); c.Tries != n || n > callbackTries {
			t.Fatalf("%+v", c)
		}
		if !c.GaveUp {
			total += c.NextAt.Sub(now)
		}
	}
	if c.Tries != callbackTries || total > 30*time.Minute {
		t.Errorf("%d tries in %v", c.Tries, total)
	}
}

func TestErrorsOfCallsTellNoURL(t *testing.T) {
	c := newCaller(nil, slog.New(slog.DiscardHandler))
	for _, address := range []string{"http://127.0.0.1:1/sesame", "http://sesame.invalid/x?sesame", "http://[::1"} {
		err := c.post(t.Context(), app.Task{TaskOptions: app.TaskOptions{CallbackURL: address}})
		if err == nil || strings.Contains(err.Error(), "x?sesame") || strings.Contains(err.Error(), "1/sesame") {
			t.Errorf("%s: %v", address, err)
		}
	}
}
