package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/moby/sys/signal"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lattice/app"
)

const (
	// hangUpTime is how long a program whose session is over may take to end
	// by itself.
	hangUpTime = 3 * time.Second
	// lingerTime is how long a program that has ended may leave its output
	// open, without anything coming out, to children that it left behind.
	lingerTime = 5 * time.Second
)

// An execution is a cells.Process: an exec of containerd, with FIFOs in a folder
// of its own. The folder's name tells a later process of ours what is left to
// clean up if this one dies.
type execution struct {
	runtime *Runtime
	guid    string
	dir     string

	task   client.Process
	stdin  *os.File
	stdout *output
	stderr *output
	forget context.CancelFunc // ends what waits for its end

	code  int // what Wait returns when ended is closed
	err   error
	ended chan struct{}

	closing sync.Once
	closed  error
}

// sessionMark is between a container's GUID and the rest of an exec's name.
const sessionMark = ".session-"

func (p *execution) id() string { return filepath.Base(p.dir)[len(p.guid)+1:] }

// start starts the command, and returns when the shim has opened its ends of the
// FIFOs.
func (p *execution) start(ctx context.Context, task client.Task, spec *specs.Process) error {
	holders, err := p.pipes(spec.Terminal)
	defer func() {
		for _, h := range holders {
			h.Close() // nothing was written to it
		}
	}()
	if err != nil {
		return err
	}
	p.task, err = task.Exec(ctx, p.id(), spec, func(string) (cio.IO, error) { return fifos{p.dir, spec.Terminal}, nil })
	if err != nil {
		return err
	}
	wctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	p.forget = stop
	exit, err := p.task.Wait(wctx)
	if err == nil {
		err = p.task.Start(ctx)
	}
	if err == nil {
		go p.await(exit)
		err = p.openStdin(ctx)
	}
	if err != nil {
		stop()
		return errors.Join(err, p.abandon(ctx))
	}
	return nil
}

// abandon ends a command that may run, without anybody who listens to it.
func (p *execution) abandon(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if exit, err := p.task.Wait(ctx); err == nil && p.task.Kill(ctx, syscall.SIGKILL) == nil {
		<-exit
	}
	return p.deleteExec(ctx)
}

// await notes the end.
func (p *execution) await(exit <-chan client.ExitStatus) {
	e := <-exit
	p.code, p.err = int(e.ExitCode()), e.Error()
	close(p.ended)
	// Wakes a reader that was waiting already, for the time left to it.
	p.stdout.linger()
	p.stderr.linger()
}

func (p *execution) deleteExec(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
	defer cancel()
	if _, err := p.task.Delete(ctx); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("forget a command in container %s: %w", p.guid, err)
	}
	return nil
}

func (p *execution) Resize(s app.TerminalSize) error {
	ctx, cancel := context.WithTimeout(p.runtime.context(context.Background()), endTime)
	defer cancel()
	return p.task.Resize(ctx, uint32(s.Cols), uint32(s.Rows))
}

// Signal goes to the process group, which the program leads: runc made it a
// session of its own.
func (p *execution) Signal(name string) error {
	sig, err := signal.ParseSignal(name)
	if err != nil {
		return app.Invalid("there is no signal %.20q", name)
	}
	return p.kill(sig)
}

func (p *execution) kill(sig syscall.Signal) error {
	select {
	case <-p.ended: // its number may be another's by now
		return nil
	default:
	}
	pid := int(p.task.Pid())
	if pid <= 1 {
		return fmt.Errorf("a command in container %s has no process", p.guid)
	}
	if err := unix.Kill(-pid, sig); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("send %v to a command in container %s: %w", sig, p.guid, err)
	}
	return nil
}

func (p *execution) Wait() (int, error) {
	<-p.ended
	return p.code, p.err
}

func (p *execution) Close() error {
	p.closing.Do(func() { p.closed = p.end() })
	return p.closed
}

func (p *execution) end() error {
	var errs []error
	for _, step := range []struct {
		signal syscall.Signal
		wait   time.Duration
	}{{syscall.SIGHUP, hangUpTime}, {syscall.SIGKILL, killTime}} {
		errs = append(errs, p.kill(step.signal))
		timer := time.NewTimer(step.wait)
		select {
		case <-p.ended:
		case <-timer.C:
		}
		timer.Stop()
	}
	p.forget()
	// The FIFOs first, so that the shim doesn't wait for somebody to read them.
	return errors.Join(append(errs, p.discard(), p.deleteExec(p.runtime.context(context.Background())))...)
}

// discard lets go of the FIFOs.
func (p *execution) discard() error {
	for _, f := range []*os.File{p.stdin, p.stdout.file, p.stderr.file} {
		if f != nil {
			f.Close() // the program's input may be closed already
		}
	}
	return os.RemoveAll(p.dir)
}
