package cli

import (
	"context"
	"fmt"
	"io"
	"strings"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
)

func newDebugLogs(st *streams) *cobra.Command {
	t := tail{app: "lattice", instance: everyInstance}
	var once, raw bool
	var cell string
	cmd := &cobra.Command{
		Use:     "debug-logs",
		Aliases: []string{"dl"},
		GroupID: groupLogs,
		Short:   "Show what lattice itself logs on all its nodes, and go on as it comes",
		Long: `Show what lattice itself logs, on the brain and on all cells, and go on as it
comes, until Ctrl-C. How much that is says the --log-level of each node.`,
		Example: st.name + " debug-logs\n" + st.name + " debug-logs --cell cell-2 -n 1000 --no-follow",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().IntVarP(&t.lines, "lines", "n", 100, "begin with the last `N` lines; -1: all that are kept")
	cmd.Flags().BoolVar(&once, "no-follow", false, "end after the lines that there are")
	cmd.Flags().BoolVarP(&raw, "raw", "r", false, "print the lines alone, without colours")
	cmd.Flags().StringVar(&cell, "cell", "", "only of the node with this `ID`; that of a brain without a cell is brain")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if t.lines < allLines {
			return usage(cmd, "--lines %d: must be 0 or more, or -1 for all", t.lines)
		}
		c, err := client()
		if err != nil {
			return err
		}
		t.brain = debugBrain{brain: c, client: c}
		show := out.printer(st)
		if *out == asTable {
			show = func(l app.LogLine) error { return st.debugLine(l, raw) }
		}
		t.emit = func(l app.LogLine) error {
			if cell != "" && l.Source != cell {
				return nil
			}
			return show(l)
		}
		t.warn = func(format string, args ...any) { st.warn(format, args...) }
		follow := t.follow
		if once {
			follow = t.last
		}
		if err := follow(cmd.Context()); err != nil {
			return fmt.Errorf("debug logs: %w", err)
		}
		return nil
	}
	return cmd
}

// debugBrain is a brain whose only app is lattice itself.
type debugBrain struct {
	brain
	client *api.Client
}

func (b debugBrain) Logs(ctx context.Context, _ string, q api.LogOptions, each func(app.LogLine) error) error {
	return b.client.DebugLogs(ctx, q, each)
}

// debugLine prints a line as time, node, level, message.
func (st *streams) debugLine(l app.LogLine, raw bool) error {
	text := st.out.clean(l.Text)
	if raw {
		_, err := fmt.Fprintf(st.out, "%s %s %s\n", l.At.Format("2006-01-02T15:04:05.000Z07:00"), l.Source, l.Text)
		return err
	}
	level, rest, _ := strings.Cut(text, " ")
	as := map[string]style{"DEBUG": gray, "INFO": plain, "WARN": yellow, "ERROR": red}[level]
	_, err := io.WriteString(st.out, fmt.Sprintf("%s [%s] %s %s\n", st.out.paint(cyan, l.At.Local().Format("01/02 15:04:05.00")),
		st.out.paint(yellow, l.Source), st.out.paint(as, fmt.Sprintf("%-5s", level)), rest))
	return err
}
