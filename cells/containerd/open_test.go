package containerd_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"io"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/app"
	"lattice/cells"
	"lattice/cells/containerd"
)

// openIn starts a command in the container; it is closed when the test ends.
func openIn(t *testing.T, r *containerd.Runtime, guid string, cmd cells.Command) cells.Process {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	p, err := r.Open(ctx, guid, cmd)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Error(err)
		}
	})
	return p
}

// gather writes in to the program and returns all that came out of it.
func gather(t *testing.T, p cells.Process, in []byte) (out, errs string, code int) {
	t.Helper()
	var o, e bytes.Buffer
	var wg sync.WaitGroup
	wg.Go(func() { _, _ = io.Copy(&o, p.Stdout()) })
	wg.Go(func() { _, _ = io.Copy(&e, p.Stderr()) })
	wg.Go(func() {
		if _, err := p.Stdin().Write(in); err != nil && len(in) > 0 {
			t.Error(err)
		}
		if err := p.Stdin().Close(); err != nil {
			t.Error(err)
		}
	})
	wg.Wait()
	code, err := p.Wait()
	if err != nil {
		t.Error(err)
	}
	return o.String(), e.String(), code
}

func TestOpen(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	start(t, r, "a-0", nil, "run")
	app0 := func(args ...string) cells.Command { return cells.Command{Args: append([]string{"/bin/app"}, args...)} }

	for _, code := range []int{0, 7} {
		if _, _, got := gather(t, openIn(t, r, "a-0", app0("exit", []string{"0", "", "", "", "", "", "", "7"}[code])), nil); got != code {
			t.Errorf("exit code %d, want %d", got, code)
		}
	}
	big := make([]byte, 50<<20)
	random := rand.NewChaCha8([32]byte{1})
	_, _ = random.Read(big)
	began := time.Now()
	out, errs, code := gather(t, openIn(t, r, "a-0", app0("pipe")), big)
	if code != 0 || sha256.Sum256([]byte(out)) != sha256.Sum256(big) || errs != "52428800 <nil>\n" {
		t.Errorf("50 MB both ways: %d bytes came back, code %d, stderr %q", len(out), code, errs)
	}
	t.Logf("50 MB both ways took %v", time.Since(began))
	for range 10 {
		if out, _, code := gather(t, openIn(t, r, "a-0", app0("pipe")), nil); out != "" || code != 0 {
			t.Errorf("empty input: %q, code %d", out, code)
		}
	}
	line := cells.Command{Args: []string{"shell", "/bin/app 'exit' 5"}, Helper: true}
	if _, errs, code := gather(t, openIn(t, r, "a-0", line), nil); code != 5 || errs != "" {
		t.Errorf("a line without a shell: code %d, %q", code, errs)
	}
	for args, want := range map[string]string{"no-such": "not in the image's PATH", "/no/such": "not in the image"} {
		_, err := r.Open(t.Context(), "a-0", cells.Command{Args: []string{args}})
		if !errors.Is(err, cells.ErrCommand) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", args, err)
		}
	}
	if _, err := r.Open(t.Context(), "none", app0("exit", "0")); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("no such container: %v", err)
	}

	p := openIn(t, r, "a-0", app0("sleep"))
	if err := p.Signal("TERM"); err != nil {
		t.Error(err)
	}
	if code, err := p.Wait(); code != 128+15 || err != nil {
		t.Errorf("SIGTERM: code %d, %v", code, err)
	}
	if err := p.Signal("KILL"); err != nil {
		t.Errorf("signal to one that has ended: %v", err)
	}
	if err := openIn(t, r, "a-0", app0("stubborn")).Close(); err != nil {
		t.Errorf("close one that runs: %v", err)
	}
	terminal(t, r)
}

func terminal(t *testing.T, r *containerd.Runtime) {
	p := openIn(t, r, "a-0", cells.Command{Args: []string{"/bin/app", "pipe"}, TTY: true, Size: app.TerminalSize{Cols: 90, Rows: 30}})
	if _, err := io.WriteString(p.Stdin(), "hello\n"); err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	buf := make([]byte, 1024)
	for strings.Count(out.String(), "hello") < 2 { // the echo, and what the program prints
		n, err := p.Stdout().Read(buf)
		out.Write(buf[:n])
		if err != nil {
			t.Fatalf("%q %v", out.String(), err)
		}
	}
	if err := p.Resize(app.TerminalSize{Cols: 100, Rows: 40}); err != nil {
		t.Error(err)
	}
	if _, err := io.WriteString(p.Stdin(), "\x03"); err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, p.Stdout())
	if code, err := p.Wait(); code != 130 || err != nil {
		t.Errorf("Ctrl-C: code %d, %v", code, err)
	}
}

// A process of ours that dies leaves commands of sessions behind; the next one
// ends them.
func TestSessionsOfADeadProcessAreEnded(t *testing.T) {
	cfg := config(t)
	r, err := containerd.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	start(t, r, "a-0", nil, "run")
	p, err := r.Open(t.Context(), "a-0", cells.Command{Args: []string{"/bin/app", "sleep"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	_ = p // as if we were dead
	r = open(t, cfg)
	if left, err := os.ReadDir(filepath.Join(cfg.State, "exec")); err != nil || len(left) != 0 {
		t.Errorf("left behind: %v %v", left, err)
	}
	if out, err := procs(r, "a-0"); err != nil || strings.Contains(out, "sleep") {
		t.Errorf("still runs: %q %v", out, err)
	}
	if err := r.Stop(t.Context(), "a-0", "SIGTERM", 10*time.Second); err != nil {
		t.Error(err)
	}
}

// procs returns the command lines of what runs in the container.
func procs(r *containerd.Runtime, guid string) (string, error) {
	in, err := r.Inside(context.Background(), guid)
	if err != nil {
		return "", err
	}
	var all strings.Builder
	files, err := filepath.Glob("/proc/[0-9]*/ns/pid")
	own, err2 := os.Readlink(filepath.Join("/proc", strconv.Itoa(in.PID), "ns/pid"))
	for _, f := range files {
		if ns, err := os.Readlink(f); err == nil && ns == own {
			b, _ := os.ReadFile(filepath.Join(filepath.Dir(filepath.Dir(f)), "cmdline"))
			all.WriteString(strings.ReplaceAll(string(b), "\x00", " ") + "\n")
		}
	}
	return all.String(), errors.Join(err, err2)
}
