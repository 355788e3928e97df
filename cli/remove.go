package cli

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newRemove(st *streams) *cobra.Command {
	var w waitFlags
	var force, volumes bool
	cmd := &cobra.Command{
		Use:     "remove APP…",
		Aliases: []string{"rm", "delete"},
		GroupID: groupApps,
		Short:   "Stop apps and forget them",
		Long: `Stop apps and forget them, and wait until their instances are gone. Their volumes
stay, and an app of the same name gets them again, unless --volumes is given.

APP may be a pattern with * and ?, in quotes. What a pattern matches is removed only
after you agreed to it; where nobody can be asked, --force is needed.`,
		Example: st.name + " remove hello\n" +
			st.name + " remove web worker --no-wait\n" +
			st.name + " remove 'test-*'\n" +
			st.name + " remove 'test-*' --force\n" +
			st.name + " remove redis --volumes",
		Args: args(1, -1, "the name of at least one APP"),
	}
	w.register(cmd)
	cmd.Flags().BoolVarP(&force, "force", "f", false, "don't ask, and don't mind an app that isn't there")
	cmd.Flags().BoolVar(&volumes, "volumes", false, "also delete their volumes, with all that is in them")
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if err := w.check(cmd); err != nil {
			return err
		}
		b, err := connect()
		if err != nil {
			return err
		}
		if names, err = st.agreed(cmd.Context(), b, names, force); err != nil {
			return err
		}
		r := removal{batch: batch{st: st, done: "removed"}, brain: b, force: force, volumes: volumes}
		return r.run(cmd.Context(), names, w)
	}
	return cmd
}

// agreed returns the names of what is to be removed, the patterns among names
// replaced by what they match, if the user agrees to that.
func (st *streams) agreed(ctx context.Context, b brain, names []string, force bool) ([]string, error) {
	if !hasPattern(names) {
		return names, nil
	}
	found, err := matching(ctx, b, names)
	if err != nil || len(found) == 0 || force {
		return found, err
	}
	if !st.asks() {
		return nil, &failure{code: exitSyntax, err: fmt.Errorf("that would remove %s: %s", countText(len(found), "app"), strings.Join(found, ", ")), hint: "agree to it with --force"}
	}
	if !st.confirm(fmt.Sprintf("Remove %s: %s?", countText(len(found), "app"), strings.Join(found, ", "))) {
		return nil, fail(exitCommand, errors.New("nothing was removed"))
	}
	return found, nil
}

// A removal is one run of remove.
type removal struct {
	batch
	brain brain
	force bool // what isn't there is no failure

	volumes bool // go, too
}

func (r *removal) run(ctx context.Context, names []string, w waitFlags) error {
	ctx, stop := context.WithTimeout(ctx, w.timeout)
	defer stop()
	leaving := r.each(names, func(name string) error {
		r.st.note("Removing %s…", name)
		if err := r.brain.RemoveApp(ctx, name, r.volumes); err != nil {
			return fmt.Errorf("remove %s: %w", name, err)
		}
		return nil
	})
	if r.force {
		r.failed = slices.DeleteFunc(r.failed, func(err error) bool { return errors.Is(err, app.ErrNotFound) })
	}
	switch {
	case !w.noWait:
		r.each(leaving, func(name string) error { return r.gone(ctx, w, name) })
	case r.st.quiet:
		fmt.Fprintln(r.st.out, strings.Join(leaving, "\n"))
	}
	return r.outcome(len(names))
}

// errGone ends the watch of an app whose instances are gone.
var errGone = errors.New("gone")

// gone waits until no instance of the removed app is left. The brain shows the
// app until then.
func (r *removal) gone(ctx context.Context, w waitFlags, name string) error {
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
		r.st.did(name, "%s removed.", name)
		return nil
	case errors.Is(err, context.DeadlineExceeded):
		return fail(exitCommand, fmt.Errorf("remove %s: %s still stopping after %v; lattice goes on with it", name, instancesText(left), w.timeout))
	}
	return fmt.Errorf("remove %s: %w", name, err)
}
