package cli

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newRemove(st *streams) *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:     "remove APP…",
		Aliases: []string{"rm", "delete"},
		GroupID: groupApps,
		Short:   "Stop apps and forget them",
		Long:    "Stop apps and forget them, and wait until their instances are gone.",
		Example: st.name + " remove hello\n" + st.name + " remove web worker --no-wait",
		Args:    args(1, -1, "the name of at least one APP"),
	}
	w.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if err := w.check(cmd); err != nil {
			return err
		}
		b, err := connect()
		if err != nil {
			return err
		}
		ctx, stop := context.WithTimeout(cmd.Context(), w.timeout)
		defer stop()
		r := removal{st: st, brain: b}
		leaving := r.each(names, func(name string) error {
			st.note("Removing %s…", name)
			return b.RemoveApp(ctx, name)
		})
		if !w.noWait {
			r.each(leaving, func(name string) error { return r.gone(ctx, w.timeout, name) })
		}
		return r.outcome(len(names))
	}
	return cmd
}

// A removal goes on with the next app when one fails.
type removal struct {
	st     *streams
	brain  brain
	failed []error
}

// each does step for each of names and returns those with which that worked.
func (r *removal) each(names []string, step func(name string) error) (fine []string) {
	for _, name := range names {
		if err := step(name); err != nil {
			r.failed = append(r.failed, fmt.Errorf("remove %s: %w", name, err))
			continue
		}
		fine = append(fine, name)
	}
	return fine
}

// outcome returns the only error, or reports all of them and returns how many
// of n apps they are.
func (r *removal) outcome(n int) error {
	if len(r.failed) <= 1 {
		return errors.Join(r.failed...)
	}
	for _, err := range r.failed {
		r.st.report(err)
	}
	return fail(exitCode(r.failed[0]), fmt.Errorf("%d of %d apps were not removed", len(r.failed), n))
}

// errGone ends the watch of an app whose instances are gone.
var errGone = errors.New("gone")

// gone waits until no instance of the removed app is left. The brain shows the
// app until then.
func (r *removal) gone(ctx context.Context, timeout time.Duration, name string) error {
	left := 0
	err := keepUp(ctx, func(ctx context.Context) error {
		return r.brain.WatchApp(ctx, name, func(s app.Status) error {
			if left = len(s.Instances); left == 0 {
				return errGone
			}
			return nil
		})
	}, func(error) {})
	switch {
	case errors.Is(err, errGone), errors.Is(err, app.ErrNotFound):
		fmt.Fprintf(r.st.out, "%s removed.\n", name)
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fail(exitCommand, fmt.Errorf("%s still stopping after %v; lattice goes on with it", instancesText(left), timeout))
	}
	return err
}
