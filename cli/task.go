package cli

import (
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newTask(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "task TASK",
		Aliases: []string{"tk"},
		GroupID: groupTasks,
		Short:   "Show how a task is, or how it ended",
		Long:    "Show how a task is, or how it ended: its exit code, its result, and each attempt.",
		Example: st.name + " task migrate\n" + st.name + " task migrate -o json",
		Args:    args(1, 1, "TASK"),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := client()
		if err != nil {
			return err
		}
		t, err := b.Task(cmd.Context(), args[0])
		if err != nil {
			return taskFailure(st, "task "+args[0], err)
		}
		if *out != asTable {
			return out.encode(st.out, t)
		}
		writeTask(st.out, t, time.Now())
		return nil
	}
	return cmd
}

// taskFailure adds to an error about a task where to look.
func taskFailure(st *streams, what string, err error) error {
	return &failure{code: exitCode(err), err: fmt.Errorf("%s: %w", what, err), hint: taskHint(st, err)}
}

// writeTask prints a task for people.
func writeTask(w *screen, t app.Task, now time.Time) {
	fmt.Fprintln(w, w.paint(bold, t.Name))
	var tb table
	line := func(name string, value any) { tb.row("", name, value) }
	line("State", taskState(t))
	if t.Reason != "" {
		line("Reason", t.Reason)
	}
	if t.ExitCode != nil {
		line("Exit code", *t.ExitCode)
	}
	line("Image", t.Spec.Image)
	if len(t.Spec.Command) > 0 {
		line("Command", commandText(t.Spec.Command))
	}
	if t.Cell() != "" {
		line("Cell", t.Cell())
	}
	line("Memory", limitText(t.Spec.MemoryMB))
	line("Disk", limitText(t.Spec.DiskMB))
	if t.Spec.Rules.Any() {
		line("Rules", rulesText(t.Spec.Rules))
	}
	if t.Timeout > 0 {
		line("Timeout", t.Timeout)
	}
	if t.Retries > 0 {
		line("Attempts", fmt.Sprintf("%d of %d", len(t.Attempts), t.Retries+1))
	}
	if t.Schedule != "" {
		line("Schedule", t.Schedule)
	}
	if t.CallbackURL != "" {
		line("Callback", callbackText(t))
	}
	line("Created", t.CreatedAt.Local().Format(time.DateTime))
	if !t.StartedAt.IsZero() {
		line("Started", t.StartedAt.Local().Format(time.DateTime))
		line("Took", ageText(tookTask(t, now)))
	}
	if t.State == app.Completed {
		line("Kept until", t.ExpiresAt().Local().Format(time.DateTime))
	}
	tb.write(w)
	if len(t.Attempts) > 1 {
		io.WriteString(w, "\n")
		attemptTable(t, now).write(w)
	}
	if t.Result != "" {
		fmt.Fprintf(w, "\n%s\n%s", w.paint(bold, "Result"), w.clean(t.Result))
		if !strings.HasSuffix(t.Result, "\n") {
			io.WriteString(w, "\n")
		}
	}
}

func callbackText(t app.Task) string {
	switch c := t.Callback; {
	case c == nil:
		return t.CallbackURL
	case c.Done:
		return fmt.Sprintf("%s was told", t.CallbackURL)
	case c.GaveUp:
		return fmt.Sprintf("%s could not be told in %d tries: %s", t.CallbackURL, c.Tries, c.Reason)
	case c.Tries == 0:
		return t.CallbackURL + " is being told"
	default:
		return fmt.Sprintf("%s could not be told yet, %d tries: %s", t.CallbackURL, c.Tries, c.Reason)
	}
}

func attemptTable(t app.Task, now time.Time) *table {
	var tb table
	tb.head("Attempt", "Cell", "Began", "Took", "Exit", "Reason")
	for i, a := range t.Attempts {
		end := a.EndedAt
		if end.IsZero() {
			end = now
		}
		took := "-"
		if !a.StartedAt.IsZero() {
			took = ageText(end.Sub(a.StartedAt))
		}
		tb.row(i+1, a.Cell, a.At.Local().Format(time.DateTime), took, exitText(a.ExitCode), dash(a.Reason))
	}
	return &tb
}

func exitText(code *int) string {
	if code == nil {
		return "-"
	}
	return fmt.Sprint(*code)
}

// tookTask returns how long the last attempt took, or has taken by now.
func tookTask(t app.Task, now time.Time) time.Duration {
	if last := t.Last(); last != nil && !last.EndedAt.IsZero() {
		return last.EndedAt.Sub(last.StartedAt)
	}
	return now.Sub(t.StartedAt)
}

// taskState is the state of a task, green when all is well.
func taskState(t app.Task) field {
	text := string(t.State)
	switch {
	case t.Cancelled:
		text = "CANCELLED"
	case t.Failed:
		text = "FAILED"
	}
	if t.State == app.Completed && t.Run != nil {
		text += ", its container is stopping"
	}
	switch {
	case t.Failed:
		return field{text, red}
	case t.State == app.Completed:
		return field{text, green}
	}
	return field{text, yellow}
}
