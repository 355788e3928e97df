// Package run starts the parts of a process in order and stops them in reverse,
// each within a time limit, and tells which one hung. It knows nothing about
// what the parts do.
package run

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"time"
)

// A Group is a number of parts that live and end together. The zero value is
// ready for use; a Group can be run once.
type Group struct {
	Log *slog.Logger // tells why and how the group stops; nil: silent

	parts []*part
}

type part struct {
	name  string
	run   func(context.Context) error
	stop  context.CancelFunc
	done  chan struct{} // closed when run has returned
	err   error         // of run, once done
	early bool          // it returned before it was told to stop
}

// Add appends a part. Run starts parts in the order they were added and stops
// them in reverse, so add a part after those that it needs. f must block, and
// return nil soon after its context is done.
func (g *Group) Add(name string, f func(context.Context) error) {
	g.parts = append(g.parts, &part{name: name, run: f, done: make(chan struct{})})
}

// Run runs every part until ctx is done or any part returns. It then stops them
// one by one, last added first, and waits at most grace for each. It returns
// what went wrong, the cause first, each error named after its part: a part that
// failed, one that returned before it was told to, one that is still running.
func (g *Group) Run(ctx context.Context, grace time.Duration) error {
	ended := make(chan *part, len(g.parts))
	for _, p := range g.parts {
		// Not ctx itself: a part goes on until those that need it have stopped.
		pctx, stop := context.WithCancel(context.WithoutCancel(ctx))
		p.stop = stop
		go func() {
			p.err = p.run(pctx)
			p.early = pctx.Err() == nil
			close(p.done)
			ended <- p
		}()
	}
	var cause *part
	var errs []error
	select {
	case <-ctx.Done():
		g.note("stopping", "reason", context.Cause(ctx))
	case cause = <-ended:
		errs = append(errs, cause.failure())
		g.note("stopping", "part", cause.name, "reason", cause.failure())
	}
	for _, p := range slices.Backward(g.parts) {
		if err := g.end(p, grace); err != nil && p != cause {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}

// end stops p and returns what went wrong with it.
func (g *Group) end(p *part, grace time.Duration) error {
	began := time.Now()
	p.stop()
	select {
	case <-p.done:
		g.note("stopped", "part", p.name, "took", time.Since(began))
		return p.failure()
	case <-time.After(grace):
		return fmt.Errorf("%s: still running %v after it was told to stop", p.name, grace)
	}
}

// failure is called when p is done.
func (p *part) failure() error {
	switch {
	case p.err != nil:
		return fmt.Errorf("%s: %w", p.name, p.err)
	case p.early:
		return fmt.Errorf("%s: ended without being told to", p.name)
	}
	return nil
}

func (g *Group) note(msg string, args ...any) {
	if g.Log != nil {
		g.Log.Debug(msg, args...)
	}
}
