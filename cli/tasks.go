package cli

import (
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newTasks(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "tasks",
		GroupID: groupTasks,
		Short:   "List the tasks, the newest first",
		Long:    "List the tasks, the newest first: those that wait or run, and those that have ended and are still kept.",
		Example: st.name + " tasks\n" + st.name + " tasks -o json",
		Args:    args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := client()
		if err != nil {
			return err
		}
		tasks, err := b.Tasks(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the tasks: %w", err)
		}
		switch {
		case *out != asTable:
			return out.encode(st.out, tasks)
		case len(tasks) == 0:
			st.note("No tasks. Run one: %s run lattice/hello -- /bin/hello task", st.name)
		default:
			taskTable(tasks, time.Now()).write(st.out)
		}
		return nil
	}
	return cmd
}

func taskTable(tasks []app.Task, now time.Time) *table {
	var tb table
	tb.head("Task", "State", "Exit", "Cell", "Image", "Age", "Took", "Reason")
	for _, t := range tasks {
		took := "-"
		if !t.StartedAt.IsZero() {
			took = ageText(tookTask(t, now))
		}
		tb.row(field{t.Name, bold}, taskState(t), exitText(t.ExitCode), dash(t.Cell()), t.Spec.Image, ageText(now.Sub(t.CreatedAt)), took, dash(t.Reason))
	}
	return &tb
}

// taskHint is hint for errors about tasks.
func taskHint(st *streams, err error) string {
	switch {
	case errors.Is(err, app.ErrNotFound):
		return "'" + st.name + " tasks' lists the tasks"
	case errors.Is(err, app.ErrExists):
		return "choose another name, or take it away first with '" + st.name + " delete-task'"
	case errors.Is(err, app.ErrConflict):
		return "'" + st.name + " delete-task' forgets a task that has ended"
	}
	return ""
}
