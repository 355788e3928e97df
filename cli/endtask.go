package cli

import (
	"context"
	"errors"
	"fmt"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
)

func newCancelTask(st *streams) *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:     "cancel-task TASK…",
		Aliases: []string{"ct"},
		GroupID: groupTasks,
		Short:   "End tasks that wait or run",
		Long:    "End tasks that wait or run, as failed, and wait until their containers have stopped. What is known of them is kept.",
		Example: st.name + " cancel-task migrate",
		Args:    args(1, -1, "the name of at least one TASK"),
	}
	w.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return endTasks(cmd.Context(), st, w, cmd, names, "cancel", "cancelled", func(ctx context.Context, b *api.Client, name string) error {
			if _, err := b.CancelTask(ctx, name); err != nil || w.noWait {
				return err
			}
			return stoppedTask(ctx, b, name)
		})
	}
	return cmd
}

func newDeleteTask(st *streams) *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:     "delete-task TASK…",
		Aliases: []string{"dt"},
		GroupID: groupTasks,
		Short:   "Forget tasks, and end those that run",
		Long:    "Forget tasks with their results. One that waits or runs is cancelled first, and its container is stopped.",
		Example: st.name + " delete-task migrate backup-17",
		Args:    args(1, -1, "the name of at least one TASK"),
	}
	w.register(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		return endTasks(cmd.Context(), st, w, cmd, names, "delete", "deleted", func(ctx context.Context, b *api.Client, name string) error {
			if !w.noWait {
				_, err := b.CancelTask(ctx, name)
				if err == nil {
					err = stoppedTask(ctx, b, name)
				}
				if err != nil && !errors.Is(err, app.ErrConflict) { // that it has ended is fine
					return err
				}
			}
			return b.DeleteTask(ctx, name)
		})
	}
	return cmd
}

// endTasks does something with each of the tasks, and goes on with the next when
// one fails.
func endTasks(ctx context.Context, st *streams, w waitFlags, cmd *cobra.Command, names []string, verb, done string, do func(context.Context, *api.Client, string) error) error {
	if err := w.check(cmd); err != nil {
		return err
	}
	b, err := client()
	if err != nil {
		return err
	}
	ctx, stop := context.WithTimeout(ctx, w.timeout)
	defer stop()
	var failed []error
	for _, name := range names {
		switch err := do(ctx, b, name); {
		case errors.Is(err, context.DeadlineExceeded):
			failed = append(failed, fail(exitCommand, fmt.Errorf("%s is still stopping after %v; lattice goes on with it", name, w.timeout)))
		case err != nil:
			failed = append(failed, taskFailure(st, verb+" "+name, err))
		default:
			fmt.Fprintf(st.out, "%s %s.\n", name, done)
		}
	}
	if len(failed) <= 1 {
		return errors.Join(failed...)
	}
	for _, err := range failed {
		st.report(err)
	}
	return fail(exitCode(failed[0]), fmt.Errorf("%d of %d tasks were not %s", len(failed), len(names), done))
}

// stoppedTask waits until the container of a task that was cancelled is gone.
func stoppedTask(ctx context.Context, b *api.Client, name string) error {
	err := keepUp(ctx, func(ctx context.Context) error {
		return b.WatchTask(ctx, name, func(t app.Task) error {
			if t.Run == nil {
				return errGone
			}
			return nil
		})
	}, func(error) {})
	if errors.Is(err, errGone) || errors.Is(err, app.ErrNotFound) {
		return nil
	}
	return err
}
