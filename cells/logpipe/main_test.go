package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"lattice/app"
	"lattice/cells/logfile"
)

func TestParse(t *testing.T) {
	want := config{"/logs/g", logfile.ID{App: "web", Index: 3, GUID: "g"}, 5}
	for _, args := range []string{
		"-dir /logs/g -app web -index 3 -guid g -limit 5",
		"guid g limit 5 app web index 3 dir /logs/g",
		"--index 3 --dir /logs/g --limit 5 --guid g --app web",
	} {
		if got, err := parse(strings.Fields(args)); err != nil || got != want {
			t.Errorf("%s: got %+v, %v, want %+v", args, got, err, want)
		}
	}
	for _, args := range []string{
		"", "-dir", "-dir /logs/g -app web", "-dir /logs/g -app web -guid g -index x",
		"-dir /logs/g -app web -guid g -colour red", "-dir /logs/g -app web -guid g -limit 1MB",
	} {
		if got, err := parse(strings.Fields(args)); !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%s: got %+v, %v, want ErrInvalid", args, got, err)
		}
	}
}

// A container is what the shim sees of one with its logger.
type container struct {
	cmd            *exec.Cmd
	stdout, stderr *os.File // what the container writes to
	dir            string
	said           bytes.Buffer // by the logger itself
	readySignal    string
}

// TestMain lets the test program be the logger, too.
func TestMain(m *testing.M) {
	if os.Getenv("CONTAINER_ID") != "" {
		main()
		return
	}
	os.Exit(m.Run())
}

// start runs the logger as the shim does, and returns when it is ready or has
// said that it never will be.
func start(t *testing.T, program, dir string, args ...string) *container {
	t.Helper()
	c := &container{dir: dir, cmd: exec.Command(program, args...)}
	pipe := func() (r, w *os.File) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { r.Close(); w.Close() })
		return r, w
	}
	outR, outW := pipe()
	errR, errW := pipe()
	readyR, readyW := pipe()
	readers := []*os.File{outR, errR, readyW}
	c.stdout, c.stderr = outW, errW
	c.cmd.ExtraFiles = readers
	c.cmd.Stderr = &c.said
	c.cmd.Env = []string{"CONTAINER_ID=g", "CONTAINER_NAMESPACE=test"}
	if err := c.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.cmd.Process.Kill(); c.cmd.Wait() })
	for _, f := range readers {
		f.Close()
	}
	ready, err := io.ReadAll(readyR)
	if err != nil {
		t.Fatal(err)
	}
	c.readySignal = string(ready)
	return c
}

func startWeb(t *testing.T, program, dir string) *container {
	t.Helper()
	c := start(t, program, dir, "guid", filepath.Base(dir), "-dir", dir, "index", "1", "-app", "web")
	if c.readySignal != "\x00" {
		t.Fatalf("the ready signal is %q; %s", c.readySignal, &c.said)
	}
	return c
}

// end closes the container's side and waits for the logger to end well.
func (c *container) end(t *testing.T) {
	t.Helper()
	if err := errors.Join(c.stdout.Close(), c.stderr.Close(), c.cmd.Wait()); err != nil {
		t.Errorf("logger: %v; %s", err, &c.said)
	}
}

// lines reads the log from its beginning.
func (c *container) lines(t *testing.T) (all []app.LogLine) {
	t.Helper()
	r, err := logfile.OpenReader(c.dir, 0)
	for n := -1; err == nil && n != len(all); {
		n = len(all)
		all, err = r.Read(all, 1<<20)
	}
	if err != nil {
		t.Fatal(err)
	}
	return all
}

func TestBothStreamsAreLogged(t *testing.T) {
	c := startWeb(t, os.Args[0], filepath.Join(t.TempDir(), "g"))
	io.WriteString(c.stdout, "to stdout\n")
	io.WriteString(c.stderr, "to stderr\r\nno newline at the end")
	c.end(t)
	got := map[string]bool{}
	for _, l := range c.lines(t) {
		got[fmt.Sprint(l.App, " ", l.Index, " ", l.GUID, " ", l.Stream, " ", l.Source, " ", l.Text)] = true
	}
	want := []string{"web 1 g out APP to stdout", "web 1 g err APP to stderr", "web 1 g err APP no newline at the end"}
	for _, w := range want {
		if !got[w] {
			t.Errorf("no line %q in %v", w, got)
		}
	}
	if len(got) != len(want) {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestBurst(t *testing.T) {
	c := startWeb(t, os.Args[0], filepath.Join(t.TempDir(), "g"))
	const n = 10_000
	for i := range n {
		if _, err := fmt.Fprintf(c.stdout, "line %d\n", i+1); err != nil {
			t.Fatal(err)
		}
	}
	c.end(t)
	lines := c.lines(t)
	if len(lines) != n {
		t.Fatalf("%d lines logged, want %d", len(lines), n)
	}
	for i, l := range lines {
		if l.Seq != uint64(i+1) || l.Text != fmt.Sprintf("line %d", i+1) {
			t.Fatalf("line %d is %d %q", i+1, l.Seq, l.Text)
		}
	}
}

// The shim sends SIGTERM while there is output in the pipes.
func TestSignalsDoNotEndIt(t *testing.T) {
	c := startWeb(t, os.Args[0], filepath.Join(t.TempDir(), "g"))
	for _, s := range []os.Signal{syscall.SIGTERM, syscall.SIGINT, syscall.SIGHUP, syscall.SIGPIPE} {
		if err := c.cmd.Process.Signal(s); err != nil {
			t.Fatal(err)
		}
		fmt.Fprintln(c.stdout, "after", s)
	}
	c.end(t)
	if n := len(c.lines(t)); n != 4 {
		t.Errorf("%d lines logged, want 4", n)
	}
}

func TestNotReadyWhenItCannotWork(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "g")
	for name, args := range map[string][]string{
		"no arguments":   nil,
		"wrong folder":   {"-dir", dir, "-guid", "other", "-app", "web"},
		"not a folder":   {"-dir", "/dev/null/g", "-guid", "g", "-app", "web"},
		"unknown option": {"-dir", dir, "-guid", "g", "-app", "web", "-colour", "red"},
	} {
		c := start(t, os.Args[0], dir, args...)
		if err := c.cmd.Wait(); err == nil || c.readySignal != "" {
			t.Errorf("%s: ended with %v, ready signal %q", name, err, c.readySignal)
		}
		if !strings.HasPrefix(c.said.String(), "lattice-logger: ") {
			t.Errorf("%s: said %q", name, &c.said)
		}
	}
}

// A full disk never blocks the app, and the log says what is missing without
// the app having to write anything more.
func TestFullDiskDoesNotBlockTheApp(t *testing.T) {
	disk := t.TempDir()
	if err := syscall.Mount("tmpfs", disk, "tmpfs", 0, "size=2m"); err != nil {
		t.Skip("needs root to mount a disk of its own:", err)
	}
	t.Cleanup(func() {
		if err := syscall.Unmount(disk, syscall.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	c := startWeb(t, os.Args[0], filepath.Join(disk, "g"))
	hog := filepath.Join(disk, "hog")
	if err := os.WriteFile(hog, make([]byte, 1<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	const n = 100_000
	written := make(chan error, 1)
	go func() {
		var err error
		for i := 0; i < n && err == nil; i += 100 {
			_, err = io.WriteString(c.stdout, strings.Repeat("all work and no play\n", 100))
		}
		written <- err
	}()
	select {
	case err := <-written:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(30 * time.Second):
		t.Fatal("the app is blocked")
	}
	eventually(t, "the logger takes everything", func() bool { return unread(t, c.stdout) == 0 })
	if err := os.Remove(hog); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the log tells of the loss", func() bool {
		lines := c.lines(t)
		return slices.ContainsFunc(lines, app.LogLine.IsLoss) && lines[len(lines)-1].Seq == n
	})
	c.end(t)
}

func eventually(t *testing.T, what string, is func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !is(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("does not happen: ", what)
		}
	}
}

// unread returns how many bytes are in a pipe.
func unread(t *testing.T, f *os.File) (n int32) {
	t.Helper()
	if _, _, errno := syscall.Syscall(syscall.SYS_IOCTL, f.Fd(), syscall.TIOCINQ, uintptr(unsafe.Pointer(&n))); errno != 0 {
		t.Fatal(errno)
	}
	return n
}

// Each container has one of these.
func TestItIsSmall(t *testing.T) {
	bin := filepath.Join(t.TempDir(), "lattice-logger")
	build := exec.Command("go", "build", "-trimpath", "-ldflags=-s -w", "-o", bin, "lattice/cells/logpipe")
	build.Env = append(os.Environ(), "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	info, err := os.Stat(bin)
	if err != nil {
		t.Fatal(err)
	}
	c := startWeb(t, bin, filepath.Join(t.TempDir(), "g"))
	for range 100 {
		io.WriteString(c.stdout, strings.Repeat(strings.Repeat("x", 100)+"\n", 1000))
	}
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", c.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	_, rss, _ := strings.Cut(string(status), "VmRSS:")
	var kb int
	if _, err := fmt.Sscan(rss, &kb); err != nil {
		t.Fatal(err)
	}
	c.end(t)
	t.Logf("%d KiB on disk, %d KiB of memory after 10 MB of output", info.Size()>>10, kb)
	if info.Size() > 3<<20 || kb > 8<<10 {
		t.Errorf("%d bytes on disk, %d KiB of memory, want 3 MiB and 8 MiB at most", info.Size(), kb)
	}
}
