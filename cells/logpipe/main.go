// Command lattice-logger writes the output of one container to its log. The
// runc shim starts it with the container and it ends with it, so that neither
// a restart of lattice nor a brain that is away ever blocks the container.
//
//	lattice-logger -dir LOGROOT/GUID -app NAME -index N -guid GUID [-limit BYTES]
//
// File 3 is the container's stdout, file 4 its stderr; both are read to their
// end. File 5 is closed when all is ready, after a byte was written to it,
// which is what containerd's schemes binary:// and binary-v2:// ask for.
// There is one such process for each container, so nothing heavy may be linked
// in: it takes 2 MB on disk and 3 MB of memory.
package main

import (
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"lattice/app"
	"lattice/cells/logfile"
)

const (
	readBytes  = 64 << 10
	pipeBytes  = 256 << 10   // what the app may be ahead of us
	settleWait = time.Second // between two tries to say what was dropped
	lastTries  = 5           // of that when the container has ended; the shim kills us after 12 s
)

func main() {
	runtime.GOMAXPROCS(1)
	debug.SetGCPercent(25)
	debug.SetMemoryLimit(8 << 20)
	// The shim sends SIGTERM as soon as the container is removed; there may be
	// output in the pipes then.
	signal.Ignore(syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE)
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "lattice-logger:", err)
		os.Exit(1)
	}
}

// run returns when both files have ended.
func run(args []string) error {
	c, err := parse(args)
	if err != nil {
		return err
	}
	for fd := 3; fd <= 5; fd++ { // before anything else takes these numbers
		if err := syscall.Fstat(fd, new(syscall.Stat_t)); err != nil {
			return fmt.Errorf("file %d: %w; containerd's binary:// log starts this program, not you", fd, err)
		}
	}
	if err := os.Chdir("/"); err != nil { // keep no folder of the container busy
		return err
	}
	w, err := logfile.Open(c.dir, c.ID, c.limit)
	if err != nil {
		return err
	}
	out, errOut := pipe(3, "stdout"), pipe(4, "stderr")
	ready := os.NewFile(5, "ready")
	_, err = ready.Write([]byte{0})
	if err := errors.Join(err, ready.Close()); err != nil {
		return fmt.Errorf("tell the shim that all is ready: %w", err)
	}
	s := &settler{w: w}
	var spoke atomic.Bool
	var streams sync.WaitGroup
	streams.Go(func() { drain(out, spoken{w.Lines(app.Stdout, app.SourceApp), &spoke}, s) })
	streams.Go(func() { drain(errOut, &hold{lines: w.Lines(app.Stderr, app.SourceApp), spoke: &spoke}, s) })
	streams.Wait()
	return s.end()
}

// config is what the command line says.
type config struct {
	dir string
	logfile.ID
	limit int64 // bytes; 0: the default
}

// parse reads pairs of a name and a value. The names may come in any order and
// with dashes or none: the shim takes them from the query of a URL.
func parse(args []string) (config, error) {
	var c config
	if len(args)%2 != 0 {
		return c, app.Invalid("arguments must be pairs of a name and a value, got %q", args)
	}
	for i := 0; i < len(args); i += 2 {
		var err error
		switch name, value := strings.TrimLeft(args[i], "-"), args[i+1]; name {
		case "dir":
			c.dir = value
		case "app":
			c.App = value
		case "guid":
			c.GUID = value
		case "index":
			c.Index, err = strconv.Atoi(value)
		case "limit":
			c.limit, err = strconv.ParseInt(value, 10, 64)
		default:
			err = app.Invalid("unknown")
		}
		if err != nil {
			return c, app.Invalid("argument %s %q: %v", args[i], args[i+1], err)
		}
	}
	if c.dir == "" || c.App == "" || c.GUID == "" {
		return c, app.Invalid("dir, app and guid are needed, got %q", args)
	}
	return c, nil
}

// pipe returns a file that the shim has opened for us, which is read without
// taking up a thread while nothing comes.
func pipe(fd uintptr, name string) *os.File {
	syscall.SetNonblock(int(fd), true)                                               // where it fails, reading takes a thread
	syscall.Syscall(syscall.SYS_FCNTL, fd, syscall.F_SETPIPE_SZ, uintptr(pipeBytes)) // where it fails, 64 KiB have to do
	return os.NewFile(fd, name)
}

// drain reads f to its end. What can't be written is dropped and counted; the
// app that writes to f never waits for that.
func drain(f *os.File, lines lines, s *settler) {
	buf := make([]byte, readBytes)
	for {
		n, err := f.Read(buf)
		if n > 0 && lines.Add(time.Now(), buf[:n]) != nil {
			s.later()
		}
		if err != nil {
			if err != io.EOF {
				lines.Add(time.Now(), fmt.Appendf(nil, "lattice-logger: output lost: %v\n", err))
			}
			lines.End(time.Now()) // what is dropped here, s.end tells
			return
		}
	}
}
