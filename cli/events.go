package cli

import (
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newEvents(st *streams) *cobra.Command {
	q, follow := app.EventQuery{}, false
	cmd := &cobra.Command{
		Use:     "events [APP]",
		Aliases: []string{"ev"},
		GroupID: groupLogs,
		Short:   "Show what happened in the cluster",
		Long: `Show what happened in the cluster, oldest first: what people asked for and who
they were, where instances were placed and why, what crashed, which cells came
and went. The brain keeps the newest 10,000 events.`,
		Example: st.name + " events\n" +
			st.name + " events web -n -1\n" +
			st.name + " events --cell cell-2 -f\n" +
			st.name + " events --kind instance.crashed,cell -o json",
		Args: args(0, 1, "APP"),
	}
	cmd.Flags().StringVar(&q.Cell, "cell", "", "only about this `CELL`")
	cmd.Flags().StringVar(&q.Task, "task", "", "only about this `TASK`")
	cmd.Flags().StringVar(&q.Kind, "kind", "", "only of these `KINDS`, such as instance.crashed or all of cell, with commas")
	cmd.Flags().IntVarP(&q.Lines, "lines", "n", 100, "begin with the last `N` events; -1: all that are kept")
	cmd.Flags().BoolVarP(&follow, "follow", "f", false, "go on with the events that come, until Ctrl-C")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if q.Lines < allLines {
			return usage(cmd, "--lines %d: must be 0 or more, or -1 for all", q.Lines)
		}
		if len(args) > 0 {
			q.App = args[0]
		}
		b, err := client()
		if err != nil {
			return err
		}
		show := out.eventPrinter(st)
		if follow {
			err = followEvents(cmd.Context(), st, q, b.Events, show)
		} else {
			err = b.Events(cmd.Context(), q, false, show)
		}
		if err != nil {
			return fmt.Errorf("events: %w", err)
		}
		return nil
	}
	return cmd
}

// followEvents shows each event once, also when the brain goes away in between.
func followEvents(ctx context.Context, st *streams, q app.EventQuery,
	events func(context.Context, app.EventQuery, bool, func(app.Event) error) error, show func(app.Event) error,
) error {
	told := false
	return keepUp(ctx, func(ctx context.Context) error {
		return events(ctx, q, true, func(e app.Event) error {
			q.Since, q.Lines, told = e.Seq, allLines, false
			return show(e)
		})
	}, func(err error) {
		if !told {
			st.warn("lost the connection, trying again: %v", err)
		}
		told = true
	})
}

// eventPrinter returns what prints an event to st.out.
func (f format) eventPrinter(st *streams) func(app.Event) error {
	switch f {
	case asJSON: // one a line, so that it can be read as a stream
		enc := json.NewEncoder(st.out)
		enc.SetEscapeHTML(false)
		return func(e app.Event) error { return enc.Encode(e) }
	case asYAML:
		return func(e app.Event) error {
			io.WriteString(st.out, "---\n")
			return f.encode(st.out, e)
		}
	}
	return func(e app.Event) error {
		_, err := io.WriteString(st.out, eventText(st.out, e)+"\n")
		return err
	}
}

// eventText returns e as MM/DD hh:mm:ss KIND SUBJECT: message, in local time.
func eventText(s *screen, e app.Event) string {
	text := fmt.Sprintf("%s %s", s.paint(cyan, e.At.Local().Format("01/02 15:04:05")), s.paint(eventStyle(e.Kind), e.Kind))
	if about := eventSubject(e); about != "" {
		text += " " + about
	}
	if e.Message != "" {
		text += ": " + s.clean(e.Message)
	}
	if e.Actor != "" {
		text += " " + s.paint(gray, "(by "+s.clean(e.Actor)+")")
	}
	return text
}

// eventSubject names what e is about.
func eventSubject(e app.Event) string {
	switch name := e.App + e.Task; {
	case e.App != "" && e.Index != app.NoIndex:
		return subjectOn(fmt.Sprintf("%s/%d", e.App, e.Index), e.Cell)
	case name != "":
		return subjectOn(name, e.Cell)
	}
	return e.Cell
}

func subjectOn(name, cell string) string {
	if cell == "" {
		return name
	}
	return name + " on " + cell
}

// eventStyle returns the colour that says how bad news is.
func eventStyle(kind string) style {
	switch kind {
	case app.InstanceCrashed, app.InstanceRefused, app.RolloutUndone, app.CellDied, app.TaskFailed, app.TaskRefused, app.EventsLost:
		return red
	case app.InstanceUnready, app.CellSuspected, app.CellDrains, app.CellRevoked, app.RolloutWaiting, app.InstanceDropped:
		return yellow
	case app.InstanceRunning, app.InstanceReady, app.CellJoined, app.CellBack, app.RolloutFinished, app.TaskSucceeded:
		return green
	}
	return plain
}
