package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
)

// pipes makes the FIFOs. Those for output are also opened to write, for one
// that nobody has open ends at once for who reads.
func (p *execution) pipes(tty bool) (holders []io.Closer, err error) {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return nil, err
	}
	names := map[string]*output{"stdin": nil, "stdout": p.stdout}
	if !tty {
		names["stderr"] = p.stderr
	}
	for name, out := range names {
		path := filepath.Join(p.dir, name)
		if err := syscall.Mkfifo(path, 0o600); err != nil {
			return nil, fmt.Errorf("make %s: %w", path, err)
		}
		if out == nil {
			continue
		}
		if out.file, err = os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0); err != nil {
			return holders, err
		}
		w, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if err != nil {
			return holders, err
		}
		holders = append(holders, w)
	}
	return holders, nil
}

// openStdin waits until the shim has opened the FIFO to read, which it does some
// time after the start: if all that write to it were gone by then, it would wait
// for another one for ever.
func (p *execution) openStdin(ctx context.Context) error {
	path := filepath.Join(p.dir, "stdin")
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for {
		f, err := os.OpenFile(path, os.O_WRONLY|syscall.O_NONBLOCK, 0)
		if !errors.Is(err, syscall.ENXIO) {
			p.stdin = f
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-p.ended: // there will be no reader
			return nil
		case <-tick.C:
		}
	}
}

// fifos is the cio.IO of FIFOs that we made ourselves.
type fifos struct {
	dir string
	tty bool
}

func (f fifos) Config() cio.Config {
	c := cio.Config{Terminal: f.tty, Stdin: filepath.Join(f.dir, "stdin"), Stdout: filepath.Join(f.dir, "stdout")}
	if !f.tty {
		c.Stderr = filepath.Join(f.dir, "stderr")
	}
	return c
}
func (fifos) Cancel()      {}
func (fifos) Wait()        {}
func (fifos) Close() error { return nil }

func (p *execution) Stdin() io.WriteCloser { return stdin{p} }
func (p *execution) Stdout() io.Reader     { return p.stdout }
func (p *execution) Stderr() io.Reader     { return p.stderr }

// stdin also tells the shim of its end, which holds the FIFO open.
type stdin struct{ *execution }

func (s stdin) Write(b []byte) (int, error) {
	if s.execution.stdin == nil {
		return 0, syscall.EPIPE
	}
	return s.execution.stdin.Write(b)
}

func (s stdin) Close() error {
	if s.execution.stdin == nil {
		return nil
	}
	if err := s.execution.stdin.Close(); errors.Is(err, os.ErrClosed) {
		return nil
	} else if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(s.runtime.context(context.Background()), endTime)
	defer cancel()
	if err := s.task.CloseIO(ctx, client.WithStdinCloser); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("end the input of a command in container %s: %w", s.guid, err)
	}
	return nil
}

// An output is one of stdout and stderr. A nil file has ended.
type output struct {
	file  *os.File
	ended <-chan struct{} // of the program
}

// Read waits without a limit while the program runs.
func (o *output) Read(b []byte) (int, error) {
	if o.file == nil {
		return 0, io.EOF
	}
	select {
	case <-o.ended:
		o.linger()
	default:
	}
	n, err := o.file.Read(b)
	if errors.Is(err, os.ErrDeadlineExceeded) || errors.Is(err, os.ErrClosed) {
		err = io.EOF
	}
	return n, err
}

func (o *output) linger() {
	if o.file != nil {
		_ = o.file.SetReadDeadline(time.Now().Add(lingerTime)) // a FIFO opened this way always takes one
	}
}
