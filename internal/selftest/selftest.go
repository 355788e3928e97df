// Package selftest tries whether a running cluster does what it promises, as a
// user would: with an app of its own, the bundled image, and nothing else. It
// removes what it made, also when a step fails.
package selftest

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"time"

	"lattice/api"
	"lattice/app"
)

// image is bundled, so no registry is needed.
const image = "lattice/hello"

// cleanUpTime is how long the removal of what was made may take.
const cleanUpTime = 30 * time.Second

// Config says what to try.
type Config struct {
	Brain  *api.Client
	Router string // host:port of the router that shall be tried
	Domain string // of the cluster

	// Each is called with every step when it has ended.
	Each func(name string, took time.Duration, err error)
}

// A step is one promise. A step that fails doesn't keep the next ones from
// being tried, but for the first.
type step struct {
	name string
	try  func(context.Context, *trial) error
}

// steps returns what is tried, in this order.
func steps() []step {
	return []step{
		{"an app is created and answers", create},
		{"its environment arrives", environment},
		{"its log and its requests are to be seen", logs},
		{"three instances share the requests", scaleUp},
		{"a TCP route leads to it", tcp},
		{"an instance that crashes comes back", crash},
		{"an instance is replaced on request", restart},
		{"an update loses no request", update},
		{"a rollback brings the old revision back", rollback},
		{"a second route leads to it", route},
		{"a command runs inside and its exit code comes back", session},
		{"a task runs to its end and leaves its result", task},
		{"stopped it is gone, started it is back", stopAndStart},
		{"removed it is gone", remove},
	}
}

// Run tries everything and returns how many steps failed. An error is one that
// kept it from trying.
func Run(ctx context.Context, cfg Config) (failed int, err error) {
	t := newTrial(cfg)
	if err := t.brain.Ping(ctx); err != nil {
		return 0, err
	}
	defer func() {
		done, cancel := context.WithTimeout(context.WithoutCancel(ctx), cleanUpTime)
		defer cancel()
		if e := t.cleanUp(done); e != nil && err == nil {
			err = fmt.Errorf("clean up: %w", e)
		}
	}()
	for i, s := range steps() {
		start := time.Now()
		e := s.try(ctx, t)
		if ctx.Err() != nil {
			e = fmt.Errorf("the time is up: %w", cmp.Or(t.last, ctx.Err()))
		}
		cfg.Each(s.name, time.Since(start), e)
		if e != nil {
			failed++
			if i == 0 || ctx.Err() != nil {
				return failed, nil
			}
		}
	}
	return failed, nil
}

// A trial is one run.
type trial struct {
	Config
	brain *api.Client
	http  *http.Client
	name  string // of the app
	task  string // name of the task
	last  error  // why what is waited for is not so yet
}

func newTrial(cfg Config) *trial {
	dial := func(ctx context.Context, network, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, network, cfg.Router)
	}
	id := app.NewGUID()[:8]
	return &trial{
		Config: cfg, brain: cfg.Brain,
		http: &http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DialContext: dial}},
		name: "lattice-test-" + id, task: "lattice-test-" + id + "-task",
	}
}

// cleanUp removes what the steps made and is still there.
func (t *trial) cleanUp(ctx context.Context) error {
	t.http.CloseIdleConnections()
	err := t.brain.RemoveApp(ctx, t.name, false)
	if errors.Is(err, app.ErrNotFound) {
		err = nil
	}
	return errors.Join(err, t.dropTask(ctx))
}

// poll is the pause before a thing is looked at again.
const poll = 50 * time.Millisecond

// until waits until try returns nil, or ctx ends.
func (t *trial) until(ctx context.Context, what string, try func() error) error {
	for {
		err := try()
		if err == nil {
			t.last = nil
			return nil
		}
		t.last = fmt.Errorf("%s: %w", what, err)
		select {
		case <-ctx.Done():
			return t.last
		case <-time.After(poll):
		}
	}
}

// tcpTime is how long a TCP route may take to open: a closed port must not take
// the time of the other steps.
const tcpTime = 20 * time.Second

// atMost is until with a limit of its own.
func (t *trial) atMost(ctx context.Context, limit time.Duration, what string, try func() error) error {
	short, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return t.until(short, what, try)
}

// running waits until exactly n instances run, all of the wanted revision.
func (t *trial) running(ctx context.Context, n int) (app.Status, error) {
	var s app.Status
	err := t.until(ctx, fmt.Sprintf("wait for %d running instances", n), func() (err error) {
		if s, err = t.brain.App(ctx, t.name); err != nil {
			return err
		}
		ready := slices.DeleteFunc(slices.Clone(s.Instances), func(in app.Instance) bool {
			return in.State != app.Running || in.Unready || in.Stopping || in.Draining || in.Revision != s.App.Revision
		})
		if len(ready) != n || len(s.Instances) != n {
			return fmt.Errorf("%d of %d are%s", len(ready), len(s.Instances), reasons(s))
		}
		return nil
	})
	return s, err
}

// reasons returns why instances don't run, or "".
func reasons(s app.Status) string {
	for _, in := range s.Instances {
		if in.Reason != "" {
			return fmt.Sprintf("; %s/%d: %s", in.App, in.Index, in.Reason)
		}
	}
	return ""
}
