package containerd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"

	"lattice/cells"
)

const (
	maxOutput = 4 << 10
	// endTime is how long a killed exec may take to end, and one that has ended
	// to let go of its output, which children that it left behind may hold.
	endTime = 2 * time.Second
)

// Exec runs args inside the container as the user, in the folder and with the
// environment of the container's own process.
func (r *Runtime) Exec(ctx context.Context, guid string, args []string) (code int, output string, err error) {
	ctx = r.context(ctx)
	task, spec, err := r.running(ctx, guid)
	if err != nil {
		return 0, "", err
	}
	out, err := newExecOutput(filepath.Join(r.cfg.State, "exec"))
	if err != nil {
		return 0, "", fmt.Errorf("exec in container %s: %w", guid, err)
	}
	defer out.discard()
	spec.Process.Args = args
	p, err := task.Exec(ctx, out.id, spec.Process, func(string) (cio.IO, error) { return out, nil })
	if err != nil {
		return 0, "", fmt.Errorf("exec in container %s: %w", guid, err)
	}
	code, err = runExec(ctx, p, cells.Spec{GUID: guid, Args: args})
	return code, out.text(), err
}

// runExec starts p and waits for its end; when ctx ends it kills it.
func runExec(ctx context.Context, p client.Process, s cells.Spec) (code int, err error) {
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), endTime)
		defer cancel()
		// What is left at the end of the time is gone with the container.
		if _, derr := p.Delete(ctx); derr != nil && !errdefs.IsNotFound(derr) && ctx.Err() == nil && err == nil {
			err = fmt.Errorf("exec in container %s: %w", s.GUID, derr)
		}
	}()
	// Independent of ctx: the end must be seen of a killed one, too.
	wctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	defer stop()
	ended, err := p.Wait(wctx)
	if err != nil {
		return 0, fmt.Errorf("exec in container %s: %w", s.GUID, err)
	}
	if err := p.Start(ctx); err != nil {
		return 0, explainStart(s, err)
	}
	select {
	case e := <-ended:
		if err := e.Error(); err != nil {
			return 0, fmt.Errorf("exec in container %s: %w", s.GUID, err)
		}
		return int(e.ExitCode()), nil
	case <-ctx.Done():
	}
	kctx, cancel := context.WithTimeout(wctx, endTime)
	defer cancel()
	if err := p.Kill(kctx, syscall.SIGKILL); err == nil {
		select {
		case <-ended:
		case <-kctx.Done():
		}
	}
	return 0, fmt.Errorf("exec in container %s: %w", s.GUID, ctx.Err())
}

// execOutput is a FIFO that takes stdout and stderr of an exec; the end of what
// comes out of it is kept.
type execOutput struct {
	id   string
	path string
	fifo *os.File
	read chan struct{} // closed when the reader has ended
	tail []byte        // of the reader until read is closed
}

func newExecOutput(dir string) (*execOutput, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	o := &execOutput{id: "exec-" + rand.Text(), read: make(chan struct{})}
	o.path = filepath.Join(dir, o.id)
	if err := syscall.Mkfifo(o.path, 0o600); err != nil {
		return nil, fmt.Errorf("make %s: %w", o.path, err)
	}
	// Open for writing, too, so that there is no end before the first writer.
	f, err := os.OpenFile(o.path, os.O_RDWR|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, errors.Join(err, os.Remove(o.path))
	}
	o.fifo = f
	go o.run()
	return o, nil
}

func (o *execOutput) run() {
	defer close(o.read)
	buf := make([]byte, 8<<10)
	for {
		n, err := o.fifo.Read(buf)
		o.keep(buf[:n])
		if err != nil {
			return
		}
	}
}

func (o *execOutput) keep(b []byte) {
	o.tail = append(o.tail, b...)
	if cut := len(o.tail) - maxOutput; cut > 0 {
		o.tail = append(o.tail[:0], o.tail[cut:]...)
	}
}

// text ends the reader and returns what was kept. The shim has written all when
// the exec has been deleted.
func (o *execOutput) text() string {
	_ = o.fifo.SetReadDeadline(time.Now()) // a FIFO opened this way always takes one
	<-o.read
	// What the reader was kept from by the deadline.
	if raw, err := o.fifo.SyscallConn(); err == nil {
		buf := make([]byte, 8<<10)
		_ = raw.Control(func(fd uintptr) {
			for {
				n, err := syscall.Read(int(fd), buf)
				if n <= 0 || err != nil {
					return
				}
				o.keep(buf[:n])
			}
		})
	}
	return string(o.tail)
}

// discard ends the reader and removes the FIFO.
func (o *execOutput) discard() {
	_ = os.Remove(o.path)
	_ = o.fifo.Close()
	<-o.read
}

// The methods of cio.IO. The client calls the last three before we have read
// everything.

func (o *execOutput) Config() cio.Config { return cio.Config{Stdout: o.path, Stderr: o.path} }
func (o *execOutput) Cancel()            {}
func (o *execOutput) Wait()              {}
func (o *execOutput) Close() error       { return nil }
