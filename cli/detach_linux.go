package cli

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"lattice/internal/config"
	"lattice/internal/node"
)

// readyFD is the file over which a child tells its parent that it is ready.
const (
	readyFD  = 3
	readyEnv = "LATTICE_READY_FD"
)

// detach runs the same command in the background, without the flags in drop,
// and returns when it is ready or has failed. Its log goes to a file.
func (st *streams) detach(ctx context.Context, c config.Common, drop ...string) error {
	if pid := node.Running(c); pid != 0 {
		st.note("lattice is up already (process %d)", pid)
		return nil
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return fail(exitFile, fmt.Errorf("make the data folder: %w", err))
	}
	path := filepath.Join(c.DataDir, "lattice.log")
	log, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return fail(exitFile, fmt.Errorf("open the log: %w", err))
	}
	defer log.Close()
	start, err := log.Seek(0, io.SeekEnd)
	if err != nil {
		return fail(exitFile, err)
	}
	r, w, err := os.Pipe()
	if err != nil {
		return err
	}
	defer r.Close()
	cmd := exec.Command(self, slices.DeleteFunc(slices.Clone(os.Args[1:]), func(a string) bool { return slices.Contains(drop, a) })...)
	cmd.Stderr, cmd.ExtraFiles = log, []*os.File{w}
	cmd.Stdout = log
	cmd.Env = append(os.Environ(), fmt.Sprint(readyEnv, "=", readyFD))
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	st.note("Starting lattice; its log is %s", path)
	err = cmd.Start()
	w.Close()
	if err != nil {
		return fmt.Errorf("start lattice: %w", err)
	}
	return st.await(ctx, cmd, r, path, start)
}

// await waits until the child is ready, then shows what it printed, or has
// ended, then says why.
func (st *streams) await(ctx context.Context, cmd *exec.Cmd, r io.Reader, path string, start int64) error {
	said := make(chan string, 1)
	go func() { b, _ := io.ReadAll(r); said <- string(b) }()
	select {
	case <-ctx.Done():
		cmd.Process.Signal(syscall.SIGTERM)
		return ctx.Err()
	case s := <-said:
		lines := newLines(path, start)
		if s == "ready" {
			for _, l := range lines {
				if !strings.HasPrefix(l, "time=") && !strings.HasPrefix(l, "{") { // of the log
					fmt.Fprintln(st.out, l)
				}
			}
			return nil
		}
		f := &failure{code: exitFailed, err: errors.New("lattice did not come up"), hint: "the whole log is in " + path}
		f.lines = lines[max(0, len(lines)-10):]
		if err := cmd.Wait(); err != nil {
			f.err = fmt.Errorf("lattice did not come up: %w", err)
		}
		return f
	}
}

// newLines returns the lines of the file behind offset.
func newLines(path string, offset int64) []string {
	b, err := os.ReadFile(path)
	if err != nil || int64(len(b)) <= offset {
		return nil
	}
	return strings.Split(strings.TrimRight(string(b[offset:]), "\n"), "\n")
}

// tellParent says to the process that detached this one that it is ready.
func tellParent() {
	if os.Getenv(readyEnv) == "" {
		return
	}
	f := os.NewFile(readyFD, "ready")
	f.WriteString("ready") // nobody is left to tell if the parent is gone
	f.Close()
}
