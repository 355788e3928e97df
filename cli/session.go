package cli

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"lattice/api"
	"lattice/app"
)

const (
	exitSession = 255 // as ssh: the session broke, or didn't begin

	sizeEvery  = 250 * time.Millisecond // between two looks at the size of the terminal
	afterLeave = 10 * time.Second       // for a program that was told to end
)

// An exited is the end of a program that ran elsewhere: its exit code is ours,
// and there is nothing to say about it.
type exited int

func (e exited) Error() string { return "exit code " + strconv.Itoa(int(e)) }

// An inside is an instance or a task, to be in.
type inside struct {
	brain *api.Client
	name  string
	index int // app.NoIndex: of a task
	task  bool
}

// String names it as people do.
func (in inside) String() string {
	if in.task {
		return in.name
	}
	return in.name + "/" + strconv.Itoa(in.index)
}

// indexFlag gives cmd the flag --index.
func indexFlag(cmd *cobra.Command) *int {
	return cmd.Flags().IntP("index", "i", app.NoIndex, "`N` of the instance [the first that runs]")
}

// findInside reads APP, APP/INDEX or the name of a task, and chooses an instance
// where none is named.
func findInside(cmd *cobra.Command, text string, index int) (inside, error) {
	name, number, err := instanceName(text)
	if err != nil {
		return inside{}, usage(cmd, "%w", err)
	}
	if cmd.Flags().Changed("index") {
		if index < 0 || number != everyInstance && number != index {
			return inside{}, usage(cmd, "--index must be 0 or more, and the same as that of %s", text)
		}
		number = index
	}
	c, err := client()
	if err != nil {
		return inside{}, err
	}
	in := inside{brain: c, name: name, index: number}
	st, err := c.App(cmd.Context(), name)
	switch {
	case errors.Is(err, app.ErrNotFound) && number == everyInstance:
		if _, taskErr := c.Task(cmd.Context(), name); taskErr == nil {
			return inside{brain: c, name: name, index: app.NoIndex, task: true}, nil
		}
		fallthrough
	case err != nil:
		return inside{}, fmt.Errorf("open a session in %s: %w", text, err)
	}
	if number == everyInstance {
		in.index = firstRunning(st)
	}
	return in, nil
}

// firstRunning returns the lowest index that runs; 0 if none does, about which
// the brain has more to say.
func firstRunning(st app.Status) int {
	for _, in := range st.Instances { // by index
		if in.State == app.Running && !in.Stopping {
			return in.Index
		}
	}
	return 0
}

// open begins a session.
func (in inside) open(ctx context.Context, r app.SessionRequest) (app.Link, error) {
	if in.task {
		return in.brain.ExecTask(ctx, in.name, r)
	}
	return in.brain.Exec(ctx, in.name, in.index, r)
}

// ended returns the error that a session's end is.
func ended(e app.SessionEnd) error {
	switch {
	case e.Reason != "":
		return &failure{code: e.Code, err: errors.New(e.Reason), hint: noHint}
	case e.Code != 0:
		return exited(e.Code)
	}
	return nil
}

// noHint is a hint that is not printed, where the error says all.
const noHint = " "

// lost returns the error of a session that broke.
func lost(in inside, err error) error {
	return &failure{code: exitSession, err: fmt.Errorf("the session in %s broke: %w", in, err), hint: noHint}
}

// attach connects a session to standard input and output until it ends.
func (st *streams) attach(ctx context.Context, in inside, r app.SessionRequest) error {
	if r.TTY {
		restore, err := st.raw(&r)
		if err != nil {
			return err
		}
		defer restore()
	}
	l, err := in.open(ctx, r)
	if err != nil {
		return fmt.Errorf("open a session in %s: %w", in, err)
	}
	defer l.Abort()
	over := make(chan struct{})
	defer close(over)
	go st.feed(l)
	if r.TTY {
		go st.keepSize(l, r.Size, over)
	}
	defer context.AfterFunc(ctx, func() { leave(l, over) })()
	return st.show(in, l)
}

// leave has the program end as Ctrl-C would, and then goes.
func leave(l app.Link, over <-chan struct{}) {
	if app.SendControl(l, app.SessionControl{Signal: "INT"}) == nil {
		select {
		case <-over:
		case <-time.After(afterLeave):
		}
	}
	l.Abort()
}

// raw hands all that is typed on as it is, and notes the terminal in r.
func (st *streams) raw(r *app.SessionRequest) (restore func(), err error) {
	f := st.in.(*os.File) // else there is no terminal
	old, err := term.MakeRaw(int(f.Fd()))
	if err != nil {
		return nil, fmt.Errorf("take over the terminal: %w", err)
	}
	r.Term, r.Size = os.Getenv("TERM"), st.terminalSize()
	return func() { _ = term.Restore(int(f.Fd()), old) }, nil
}

func (st *streams) terminalSize() app.TerminalSize {
	cols, rows := st.out.size()
	return app.TerminalSize{Cols: min(cols, app.MaxTerminal), Rows: min(rows, app.MaxTerminal)}
}

// keepSize tells of each new size of the terminal.
func (st *streams) keepSize(l app.Link, told app.TerminalSize, over <-chan struct{}) {
	tick := time.NewTicker(sizeEvery)
	defer tick.Stop()
	for {
		select {
		case <-over:
			return
		case <-tick.C:
		}
		if now := st.terminalSize(); now != told {
			told = now
			if app.SendControl(l, app.SessionControl{Resize: &now}) != nil {
				return
			}
		}
	}
}

// feed sends standard input.
func (st *streams) feed(l app.Link) {
	buf := make([]byte, app.MaxFrame)
	for {
		n, err := st.in.Read(buf)
		if n > 0 && l.Send(app.ChanIn, buf[:n]) != nil {
			return
		}
		if err != nil {
			_ = l.Send(app.ChanIn, nil) // else the session is over
			return
		}
	}
}

// show prints what comes, to the end of the session.
func (st *streams) show(in inside, l app.Link) error {
	for {
		ch, data, err := l.Receive()
		switch {
		case err != nil:
			return lost(in, err)
		case ch == app.ChanEnd:
			_ = l.Close() // it is over
			return endOf(data)
		case ch == app.ChanOut:
			_, err = st.out.Write(data)
		case ch == app.ChanErr:
			_, err = st.err.Write(data)
		}
		if err != nil {
			return fail(exitFile, fmt.Errorf("print what the program prints: %w", err))
		}
	}
}

func endOf(data []byte) error {
	var e app.SessionEnd
	if err := json.Unmarshal(data, &e); err != nil {
		return fail(exitSession, fmt.Errorf("read the end of the session: %w", err))
	}
	return ended(e)
}

// ttyFlags choose whether there is a terminal.
type ttyFlags struct{ force, never bool }

func (f *ttyFlags) register(cmd *cobra.Command) {
	cmd.Flags().BoolVarP(&f.force, "tty", "t", false, "with a terminal, also where standard input or output is none")
	cmd.Flags().BoolVarP(&f.never, "no-tty", "T", false, "without a terminal")
}

// wanted reports whether the session gets a terminal: where both ends here are
// one. Else it would spoil what is copied through.
func (f *ttyFlags) wanted(cmd *cobra.Command, st *streams) (bool, error) {
	if err := exclusive(cmd, "tty", "no-tty"); err != nil {
		return false, err
	}
	file, ok := st.in.(*os.File)
	here := ok && term.IsTerminal(int(file.Fd()))
	if f.force && !here {
		return false, usage(cmd, "-t needs a terminal here, too")
	}
	return !f.never && here && (f.force || st.out.tty), nil
}

// remoteText is what a program prints that is only of interest if it fails.
type remoteText struct{ b []byte }

const maxRemoteText = 16 << 10

func (t *remoteText) Write(p []byte) (int, error) {
	t.b = append(t.b, p...)
	if cut := len(t.b) - maxRemoteText; cut > 0 {
		t.b = t.b[cut:]
	}
	return len(p), nil
}

var _ io.Writer = (*remoteText)(nil)

func (t *remoteText) lines() []string {
	text := strings.TrimSpace(string(t.b))
	if text == "" {
		return nil
	}
	return strings.Split(text, "\n")
}
