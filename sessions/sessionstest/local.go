//go:build unix

package sessionstest

import (
	"context"
	"fmt"
	"io"
	"net"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lattice/app"
	"lattice/cells"
)

// A Local is a runtime and a network of which every container is this machine.
// Its programs run without terminals.
type Local struct {
	Running atomic.Int32 // programs that were not closed
}

// Open starts the command.
func (l *Local) Open(_ context.Context, guid string, cmd cells.Command) (cells.Process, error) {
	args := cmd.Args
	if cmd.Helper {
		switch {
		case len(args) == 2 && args[0] == "shell":
			args = []string{"/bin/sh", "-c", args[1]}
		case args[0] == "sftp":
			args = []string{"/usr/lib/openssh/sftp-server"}
		default:
			return nil, fmt.Errorf("%w: %v is not possible here", cells.ErrCommand, args)
		}
	}
	if _, err := exec.LookPath(args[0]); err != nil {
		return nil, fmt.Errorf("start command: %q is not in the image (%w)", args[0], cells.ErrCommand)
	}
	p := &process{cmd: exec.Command(args[0], args[1:]...), local: l, ended: make(chan struct{})}
	p.cmd.Env = append([]string{"PATH=/usr/bin:/bin", "GUID=" + guid}, cmd.Env...)
	p.cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	p.cmd.WaitDelay = time.Second
	var out, errs *io.PipeWriter
	p.out, out = io.Pipe()
	p.err, errs = io.Pipe()
	p.cmd.Stdout, p.cmd.Stderr = out, errs
	var err error
	if p.in, err = p.cmd.StdinPipe(); err == nil {
		err = p.cmd.Start()
	}
	if err != nil {
		return nil, err
	}
	l.Running.Add(1)
	go func() {
		_ = p.cmd.Wait() // ProcessState tells
		out.Close()
		errs.Close()
		close(p.ended)
	}()
	return p, nil
}

// Inside returns this process.
func (*Local) Inside(context.Context, string) (cells.Inside, error) { return cells.Inside{}, nil }

// Wait waits for ctx: the machine never ends.
func (*Local) Wait(ctx context.Context, _ string) (cells.Exit, error) {
	<-ctx.Done()
	return cells.Exit{}, ctx.Err()
}

// Dial connects.
func (*Local) Dial(ctx context.Context, _ cells.Inside, host string, port int) (net.Conn, error) {
	return new(net.Dialer).DialContext(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
}

// Listen listens on loopback.
func (*Local) Listen(ctx context.Context, _ cells.Inside, _ string, port int) (net.Listener, error) {
	return new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(port)))
}

type process struct {
	cmd      *exec.Cmd
	local    *Local
	in       io.WriteCloser
	out, err *io.PipeReader
	ended    chan struct{}
	once     sync.Once
}

func (p *process) Stdin() io.WriteCloser       { return p.in }
func (p *process) Stdout() io.Reader           { return p.out }
func (p *process) Stderr() io.Reader           { return p.err }
func (*process) Resize(app.TerminalSize) error { return nil }

func (p *process) Signal(name string) error {
	sig, ok := map[string]syscall.Signal{"INT": syscall.SIGINT, "TERM": syscall.SIGTERM, "KILL": syscall.SIGKILL}[strings.TrimPrefix(name, "SIG")]
	if !ok {
		return app.Invalid("there is no signal %s", name)
	}
	return syscall.Kill(-p.cmd.Process.Pid, sig)
}

func (p *process) Wait() (int, error) {
	<-p.ended
	if st := p.cmd.ProcessState.Sys().(syscall.WaitStatus); st.Signaled() {
		return 128 + int(st.Signal()), nil
	}
	return p.cmd.ProcessState.ExitCode(), nil
}

// Close kills the program.
func (p *process) Close() error {
	p.once.Do(p.end)
	return nil
}

func (p *process) end() {
	select {
	case <-p.ended:
	default:
		_ = p.Signal("KILL") // it may end just now
		p.out.Close()
		p.err.Close()
		<-p.ended
	}
	p.local.Running.Add(-1)
}
