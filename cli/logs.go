package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
)

// appearEvery is how often logs looks whether the app exists by now.
const appearEvery = time.Second

func newLogs(st *streams) *cobra.Command {
	var t tail
	var once bool
	cmd := &cobra.Command{
		Use:     "logs APP|TASK",
		Aliases: []string{"lg"},
		GroupID: groupLogs,
		Short:   "Show what an app or a task prints, and go on as it comes",
		Long:    "Show what an app or a task prints, and go on as it comes, until Ctrl-C.",
		Example: st.name + " logs hello\n" + st.name + " logs hello -n 1000 --no-follow -i 2",
		Args:    args(1, 1, "APP"),
	}
	cmd.Flags().IntVarP(&t.lines, "lines", "n", 100, "begin with the last `N` lines; -1: all that are kept")
	cmd.Flags().BoolVar(&once, "no-follow", false, "end after the lines that there are")
	cmd.Flags().IntVarP(&t.instance, "instance", "i", everyInstance, "only of the instance with this `INDEX`")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) (err error) {
		if t.lines < allLines {
			return usage(cmd, "--lines %d: must be 0 or more, or -1 for all", t.lines)
		}
		if cmd.Flags().Changed("instance") && t.instance < 0 {
			return usage(cmd, "--instance %d: the first instance is 0", t.instance)
		}
		if t.brain, err = connect(); err != nil {
			return err
		}
		t.app, t.emit = args[0], out.printer(st)
		t.warn = func(format string, args ...any) { st.warn(format, args...) }
		if once {
			err = t.last(cmd.Context())
		} else if err = appear(cmd.Context(), st, t.brain, t.app); err == nil {
			err = t.follow(cmd.Context())
		}
		if err != nil {
			return fmt.Errorf("logs of %s: %w", t.app, err)
		}
		return nil
	}
	return cmd
}

// appear waits until the app exists. One that was removed does while its lines
// are kept.
func appear(ctx context.Context, st *streams, b brain, name string) error {
	tick := time.NewTicker(appearEvery)
	defer tick.Stop()
	for told := false; ; told = true {
		err := b.Logs(ctx, name, api.LogOptions{}, func(app.LogLine) error { return nil })
		if !errors.Is(err, app.ErrNotFound) {
			return err
		}
		if !told {
			st.note("App %s not found. Waiting for it to appear… (Ctrl-C ends)", name)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// printer returns what prints a line to st.out.
func (f format) printer(st *streams) func(app.LogLine) error {
	switch f {
	case asJSON: // one a line, so that it can be read as a stream
		enc := json.NewEncoder(st.out)
		enc.SetEscapeHTML(false)
		return func(l app.LogLine) error { return enc.Encode(l) }
	case asYAML:
		return func(l app.LogLine) error {
			io.WriteString(st.out, "---\n")
			return f.encode(st.out, l)
		}
	}
	return func(l app.LogLine) error {
		_, err := io.WriteString(st.out, logText(st.out, l)+"\n")
		return err
	}
}

// logText returns l as MM/DD hh:mm:ss.cc [SOURCE|INSTANCE] message, in local time.
func logText(s *screen, l app.LogLine) string {
	var mark string
	if l.Stream == app.Stderr {
		mark = s.paint(red, "ERR") + " "
	}
	return fmt.Sprintf("%s [%s|%s] %s%s", s.paint(cyan, l.At.Local().Format("01/02 15:04:05.00")),
		s.paint(yellow, l.Source), s.paint(yellow, fmt.Sprint(l.Index)), mark, s.clean(l.Text))
}
