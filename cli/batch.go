package cli

import (
	"context"
	"errors"
	"fmt"
)

// A batch does the same with several apps, and goes on with the next one when
// it fails with one.
type batch struct {
	st     *streams
	done   string // as in "were not removed"
	failed []error
}

// each does step for each of names and returns those with which that worked.
func (b *batch) each(names []string, step func(name string) error) (fine []string) {
	for _, name := range names {
		if err := step(name); err != nil {
			b.failed = append(b.failed, err)
			continue
		}
		fine = append(fine, name)
	}
	return fine
}

// outcome returns the only error, or reports all of them and returns how many
// of n apps they are.
func (b *batch) outcome(n int) error {
	if len(b.failed) <= 1 {
		return errors.Join(b.failed...)
	}
	for _, err := range b.failed {
		b.st.report(err)
	}
	return fail(exitCode(b.failed[0]), fmt.Errorf("%d of %d apps were not %s", len(b.failed), n, b.done))
}

// forEach does step for each of names, of which patterns stand for the apps
// that they match. A user who leaves does so for all.
func (st *streams) forEach(ctx context.Context, b brain, names []string, done string, step func(name string) error) error {
	names, err := matching(ctx, b, names)
	if err != nil {
		return err
	}
	all := batch{st: st, done: done}
	all.each(names, func(name string) error {
		if ctx.Err() != nil {
			return ctx.Err()
		}
		return step(name)
	})
	return all.outcome(len(names))
}
