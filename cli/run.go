package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
)

const (
	exitNoCode = 125 // of a task that failed without an exit code of its own

	lastLinesTime = 10 * time.Second // for the last lines of a task to arrive
	quietTime     = time.Second      // after which no more are expected where their number isn't known
	tidyUpTime    = 10 * time.Second
)

func newRun(st *streams) *cobra.Command {
	var f taskFlags
	var login loginFlags
	var detach, remove bool
	cmd := &cobra.Command{
		Use:     "run IMAGE [-- COMMAND ARGS…]",
		GroupID: groupTasks,
		Short:   "Run an image once, to its end",
		Long: `Run an image once, to its end, as a task: show what it prints and end with its
exit code, or with 125 when it failed without one, because of a timeout or a cell
that was lost, for instance.

A task is started at most once. Only --retries lets it be tried again when it
fails. When you leave with Ctrl-C it runs on, unless you asked for --rm.`,
		Example: st.name + " run lattice/hello -- /bin/hello task\n" +
			st.name + " run alpine --rm -e GREETING=hello -- sh -c 'echo $GREETING'\n" +
			st.name + " run team/migrate:v7 --name migrate --detach --timeout 10m --retries 2",
		DisableFlagsInUseLine: true,
		Args:                  imageArgs(1, "IMAGE"),
	}
	f.register(cmd)
	login.register(cmd)
	cmd.Flags().StringVar(&f.name, "name", "", "`NAME` of the task [made of the image's]")
	cmd.Flags().BoolVar(&detach, "detach", false, "don't wait: print its name and end")
	cmd.Flags().BoolVar(&remove, "rm", false, "forget it when it has ended, and cancel it when you leave")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := cmp.Or(exclusive(cmd, "detach", "rm"), login.check(cmd)); err != nil {
			return err
		}
		t, err := f.build(args[0], args[1:])
		if err != nil {
			return err
		}
		b, err := client()
		if err != nil {
			return err
		}
		ctx, err := login.with(cmd.Context(), st)
		if err != nil {
			return err
		}
		if t, err = b.CreateTask(ctx, t); err != nil {
			return fmt.Errorf("run %s: %w", args[0], err)
		}
		if detach {
			return st.submitted(t, *out)
		}
		r := runner{st: st, brain: b, name: t.Name, out: *out, remove: remove}
		return r.run(cmd.Context())
	}
	return cmd
}

// submitted prints the name of a task that nobody waits for.
func (st *streams) submitted(t app.Task, out format) error {
	if out != asTable {
		return out.encode(st.out, t)
	}
	fmt.Fprintln(st.out, t.Name)
	st.note("'%[1]s task %[2]s' shows how it is, '%[1]s logs %[2]s' what it prints.", st.name, t.Name)
	return nil
}

// A runner shows what a task prints until it has ended.
type runner struct {
	st     *streams
	brain  *api.Client
	name   string
	out    format
	remove bool

	mu   sync.Mutex // guards what follows
	seen map[string]uint64
	last time.Time     // when a line came
	news chan struct{} // closed at the next line
}

// run shows the task to its end and returns how it ended.
func (r *runner) run(ctx context.Context) error {
	t, err := r.wait(ctx)
	if ctx.Err() != nil {
		r.left(context.WithoutCancel(ctx))
		return ctx.Err()
	}
	if err != nil {
		return fmt.Errorf("run %s: %w", r.name, err)
	}
	return r.over(ctx, t)
}

// wait returns the task when it has ended, and all that it printed is shown.
func (r *runner) wait(ctx context.Context) (app.Task, error) {
	r.seen, r.news, r.last = map[string]uint64{}, make(chan struct{}), time.Now()
	lines, stopLines := context.WithCancel(ctx)
	tailed := make(chan struct{})
	go func() {
		defer close(tailed)
		t := tail{brain: r.brain, app: r.name, lines: allLines, instance: everyInstance, emit: r.line, warn: r.st.warn}
		_ = t.follow(lines) // the watch tells what is wrong
	}()
	t, err := r.watch(ctx)
	if err == nil {
		r.lastLines(ctx, t)
	}
	stopLines()
	<-tailed
	return t, err
}

var errEnded = errors.New("ended")

// watch returns the task when it has ended, and says meanwhile what it waits for.
func (r *runner) watch(ctx context.Context) (t app.Task, err error) {
	told := ""
	err = keepUp(ctx, func(ctx context.Context) error {
		err := r.brain.WatchTask(ctx, r.name, func(now app.Task) error {
			if t = now; t.State == app.Completed {
				return errEnded
			}
			if why := waitsFor(t); why != "" && why != told {
				told = why
				r.st.note("%s %s", r.name, why)
			}
			return nil
		})
		if errors.Is(err, errEnded) {
			return errGone
		}
		return err
	}, func(err error) { r.st.warn("lost the connection, trying again: %v", err) })
	if errors.Is(err, errGone) {
		return t, nil
	}
	return t, err
}

// waitsFor says what a task that has not ended waits for, or "".
func waitsFor(t app.Task) string {
	switch {
	case t.State == app.Pending && !t.RetryAt.IsZero():
		return "is tried again: " + t.Reason
	case t.State == app.Pending && t.Reason != "":
		return "waits for a cell: " + t.Reason
	case t.Reason != "":
		return "is in doubt: " + t.Reason
	case t.Run != nil && t.Run.Pull != nil:
		return "waits for its image to be pulled"
	}
	return ""
}

// line prints a line of the task.
func (r *runner) line(l app.LogLine) error {
	r.mu.Lock()
	r.seen[l.GUID], r.last = l.Seq, time.Now()
	close(r.news)
	r.news = make(chan struct{})
	r.mu.Unlock()
	to := r.st.out
	switch {
	case l.Source == app.SourceLog:
		r.st.warn("%s", l.Text)
		return nil
	case l.Source != app.SourceApp:
		return nil
	case l.Stream == app.Stderr || r.out != asTable:
		to = r.st.err
	}
	text := l.Text
	if !l.Partial {
		text += "\n"
	}
	_, err := io.WriteString(to, text)
	return err
}

// lastLines waits until all lines of the task have come.
func (r *runner) lastLines(ctx context.Context, t app.Task) {
	ctx, cancel := context.WithTimeout(ctx, lastLinesTime)
	defer cancel()
	last := t.Last()
	if last == nil || last.GUID == "" {
		return // it never ran
	}
	for {
		r.mu.Lock()
		seen, quiet, news := r.seen[last.GUID], time.Since(r.last), r.news
		r.mu.Unlock()
		known := last.LogLines > 0 || last.ExitCode != nil
		if known && seen >= last.LogLines || !known && quiet >= quietTime {
			return
		}
		select {
		case <-news:
		case <-time.After(quietTime):
		case <-ctx.Done():
			r.st.warn("the last lines have not come; '%s logs %s' shows them when they have", r.st.name, r.name)
			return
		}
	}
}

// left says, or sees to, what becomes of a task that nobody waits for any more.
func (r *runner) left(ctx context.Context) {
	if !r.remove {
		r.st.note("\n%[2]s runs on. '%[1]s logs %[2]s' shows what it prints, '%[1]s cancel-task %[2]s' ends it.", r.st.name, r.name)
		return
	}
	r.forget(ctx)
}

// over reports how the task ended and returns its exit code.
func (r *runner) over(ctx context.Context, t app.Task) error {
	if r.out != asTable {
		if err := r.out.encode(r.st.out, t); err != nil {
			return err
		}
	}
	if r.remove {
		r.forget(ctx)
	}
	if !t.Failed {
		return nil
	}
	code := exitNoCode
	if t.ExitCode != nil && *t.ExitCode != 0 {
		code = *t.ExitCode
	}
	return &failure{code: code, err: fmt.Errorf("%s failed: %s", t.Name, t.Reason), hint: r.hint()}
}

func (r *runner) hint() string {
	if r.remove {
		return ""
	}
	return "'" + r.st.name + " task " + r.name + "' tells more"
}

func (r *runner) forget(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tidyUpTime)
	defer cancel()
	if err := r.brain.DeleteTask(ctx, r.name); err != nil && !errors.Is(err, app.ErrNotFound) {
		r.st.warn("%s was not forgotten: %v", r.name, err)
	}
}
