package cli

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lattice/app"
)

const (
	defaultTimeout = 2 * time.Minute
	lookAgain      = 100 * time.Millisecond // time alone can settle a thing
	lastLines      = 5                      // of an instance that crashed are shown
	lookBack       = 100                    // lines among which they are looked for
)

// A waiter waits until an app is what was asked for, and shows meanwhile what
// happens to it and what it prints.
type waiter struct {
	st      *streams
	brain   brain
	app     string
	timeout time.Duration
	since   time.Time  // of an app that is new: when it was made; what happened before is of a namesake
	before  app.Status // as it was before the command, so that nothing since is overlooked; zero: not known
	goal    goal       // what to wait for; nil: that all that is asked for runs, and nothing else
}

// A goal is what a waiter waits for.
type goal interface {
	// look returns whether s is it. An error says that it won't come by itself.
	look(s app.Status, now time.Time) (done bool, err error)

	// late returns the failure of a goal that was not reached in time.
	late(s app.Status, timeout time.Duration, now time.Time) *failure

	// culprit returns the instance whose last lines tell what went wrong, and
	// which of its lines do, nil being all.
	culprit(s app.Status) (in app.Instance, lines func(app.LogLine) bool, ok bool)

	// advise adds to a failure what becomes of the app and what can be done.
	advise(f *failure, program, name string)

	// leave tells a user who doesn't wait on what becomes of the app.
	leave(program, name string) string
}

// run returns the app's status when it has come up, or the reason why not. The
// app stays desired in either case.
func (w *waiter) run(ctx context.Context) (app.Status, error) {
	during, stop := context.WithTimeout(ctx, w.timeout)
	statuses, lines, ended := make(chan app.Status), make(chan app.LogLine), make(chan error, 1)
	warnings := make(chan string)
	warn := func(format string, args ...any) { send(during, warnings, fmt.Sprintf(format, args...)) }
	p := newProgress(w.st.notes())
	p.fresh = !w.since.IsZero()
	if w.before.App.Name != "" {
		p.status(w.before)
	}
	var streams sync.WaitGroup
	streams.Go(func() { ended <- w.watch(during, statuses, warn) })
	streams.Go(func() { w.tail(during, lines, warn) })
	defer streams.Wait()
	defer stop()
	defer p.clear()

	tick := time.NewTicker(lookAgain)
	defer tick.Stop()
	if w.goal == nil {
		w.goal = &judge{fresh: !w.since.IsZero()}
	}
	var s app.Status
	known := false
	for {
		select {
		case s = <-statuses:
			known = true
			p.status(s)
		case l := <-lines:
			p.log(l)
			continue
		case text := <-warnings:
			p.warn(text)
			continue
		case <-tick.C:
			p.tick(time.Now())
		case err := <-ended:
			return s, w.gaveUp(ctx, s, err)
		}
		if !known {
			continue
		}
		if done, err := w.goal.look(s, time.Now()); done || err != nil {
			return s, w.explain(ctx, s, err)
		}
	}
}

// watch hands on the app's status at each change.
func (w *waiter) watch(ctx context.Context, to chan<- app.Status, warn func(string, ...any)) error {
	told := false
	return keepUp(ctx, func(ctx context.Context) error {
		return w.brain.WatchApp(ctx, w.app, func(s app.Status) error {
			told = false
			return send(ctx, to, s)
		})
	}, func(err error) {
		if !told {
			warn("lost the connection, trying again: %v", err)
		}
		told = true
	})
}

// tail hands on what the app prints. That it can't be had is no reason to
// stop waiting.
func (w *waiter) tail(ctx context.Context, to chan<- app.LogLine, warn func(string, ...any)) {
	t := tail{
		brain: w.brain, app: w.app, instance: everyInstance,
		emit: func(l app.LogLine) error {
			if !own(l) {
				return nil // the statuses say it
			}
			return send(ctx, to, l)
		},
		warn: func(string, ...any) {}, // watch says it
	}
	if !w.since.IsZero() {
		t.lines, t.from, t.all = allLines, w.since, true
	}
	if err := t.follow(ctx); ctx.Err() == nil {
		warn("no log lines: %v", err)
	}
}

// send puts v into to unless ctx ends before somebody takes it.
func send[T any](ctx context.Context, to chan<- T, v T) error {
	select {
	case to <- v:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// gaveUp returns why the statuses ended with err before it was known how it
// went: time ran out, the user left, or the app is gone.
func (w *waiter) gaveUp(ctx context.Context, s app.Status, err error) error {
	switch {
	case ctx.Err() != nil:
		w.st.note("\n%s", w.goal.leave(w.st.name, w.app))
		return ctx.Err()
	case errors.Is(err, app.ErrNotFound):
		return fail(exitCommand, fmt.Errorf("%s was removed meanwhile", w.app))
	case !errors.Is(err, context.DeadlineExceeded):
		return fmt.Errorf("watch %s: %w", w.app, err)
	case s.App.Name == "":
		return fail(exitCommand, fmt.Errorf("heard nothing of %s within %v", w.app, w.timeout))
	}
	return w.explain(ctx, s, w.goal.late(s, w.timeout, time.Now()))
}

// explain adds to what went wrong the last lines of an instance that crashed,
// and says what becomes of the app.
func (w *waiter) explain(ctx context.Context, s app.Status, err error) error {
	var f *failure
	if !errors.As(err, &f) {
		return err
	}
	if in, lines, ok := w.goal.culprit(s); ok {
		f.lines = append(f.lines, w.lastWords(ctx, in, lines)...)
	}
	w.goal.advise(f, w.st.name, w.app)
	return f
}

// lastWords returns the last lines that in printed, of those that only lets
// pass if it is not nil, if they can be had quickly.
func (w *waiter) lastWords(ctx context.Context, in app.Instance, only func(app.LogLine) bool) []string {
	ctx, stop := context.WithTimeout(ctx, 2*time.Second)
	defer stop()
	var words []string
	t := tail{
		brain: w.brain, app: w.app, instance: in.Index, lines: lookBack,
		emit: func(l app.LogLine) error {
			if own(l) && (only == nil || only(l)) {
				words = append(words, "  "+l.Text)
			}
			return nil
		},
		warn: func(string, ...any) {},
	}
	if only != nil {
		t.lines = allLines // the newest may be of the container before
	}
	if err := t.last(ctx); err != nil || len(words) == 0 {
		return nil // the error at hand is worth more than this one
	}
	words = words[max(0, len(words)-lastLines):]
	return append([]string{fmt.Sprintf("last lines of %s/%d:", w.app, in.Index)}, words...)
}

// own reports whether the app printed l itself.
func own(l app.LogLine) bool { return l.Stream != app.Platform }
