package containerd_test

import (
	"bufio"
	"context"
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/cells"
	"lattice/cells/containerd"
)

func itoa(n int) string { return strconv.Itoa(n) }

// child is the process that TestSurvivesCrash kills. It starts containers and
// leaves one half made.
func child(dir string) int {
	bin = os.Getenv("LATTICE_TEST_BIN")
	ctx := context.Background()
	cfg := configIn(dir, os.Getenv("LATTICE_TEST_STATE"))
	cfg.Network = &hangingNetwork{}
	r, err := containerd.Open(ctx, cfg)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	img, err := r.Pull(ctx, imageName, nil)
	if err != nil {
		fmt.Println(err)
		return 1
	}
	for guid, args := range map[string][]string{"counts": {"count"}, "ends": {"exit", "4"}} {
		err := r.Start(ctx, cells.Spec{
			GUID: guid, App: "web", Index: 2, Image: img.Name, Args: append([]string{"/bin/app"}, args...), MemoryMB: 64, CPUWeight: 50,
			Lease: cells.Lease{GUID: guid, IP: netip.MustParseAddr("10.1.2.3"), Ports: []app.PortPair{{Container: 8080, Host: 61001}}},
		})
		if err != nil {
			fmt.Println(err)
			return 1
		}
	}
	// Its Attach never returns, so it stays between create and start.
	_ = r.Start(ctx, cells.Spec{GUID: "half-made", App: "half", Image: img.Name, Args: []string{"/bin/app", "run"}, CPUWeight: 1})
	return 1
}

type hangingNetwork struct{ recordingNetwork }

func (n *hangingNetwork) Attach(ctx context.Context, l cells.Lease, pid int) error {
	if l.GUID == "" {
		fmt.Println("ready")
		<-ctx.Done()
	}
	return nil
}

func TestSurvivesCrash(t *testing.T) {
	cfg := config(t)
	net := &recordingNetwork{}
	cfg.Network = net
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "LATTICE_TEST_CHILD="+filepath.Dir(cfg.Root), "LATTICE_TEST_STATE="+cfg.State, "LATTICE_TEST_BIN="+bin)
	cmd.Stderr = os.Stderr
	stdout, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := bufio.NewScanner(stdout)
	if !s.Scan() || s.Text() != "ready" {
		t.Errorf("the first process says %q", s.Text())
	}
	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // it was killed

	r := open(t, cfg)
	before := lines(t, cfg, "counts")
	all, err := r.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 {
		t.Fatalf("got %+v, want the two that were started", all)
	}
	for _, c := range all {
		want := cells.Container{
			GUID: c.GUID, App: "web", Index: 2, Running: c.GUID == "counts", Started: c.Started,
			Lease: cells.Lease{GUID: c.GUID, IP: netip.MustParseAddr("10.1.2.3"), Ports: []app.PortPair{{Container: 8080, Host: 61001}}},
		}
		if fmt.Sprint(c) != fmt.Sprint(want) || time.Since(c.Started) > time.Minute {
			t.Errorf("got %+v, want %+v", c, want)
		}
	}
	if len(net.restored) != 2 || strings.Join(net.calls, " ") != "restore release:half-made" {
		t.Errorf("network was told %v and to restore %v", net.calls, net.restored)
	}
	if e := wait(t, r, "ends"); e.Code != 4 {
		t.Errorf("got %+v, want code 4", e)
	}
	// The output goes on as if nothing had happened.
	eventually(t, func() bool { return lines(t, cfg, "counts") > before+10 })
	if err := r.Stop(t.Context(), "counts", "SIGTERM", 5*time.Second); err != nil {
		t.Fatal(err)
	}
	// A new container of the app shares the user IDs of the old ones.
	start(t, r, "new", nil, "run")
	for _, guid := range []string{"counts", "ends", "new"} {
		if err := r.Remove(t.Context(), guid); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range leftovers(t, cfg) {
		t.Errorf("left behind: %s", l)
	}
	n := 0
	b, err := os.ReadFile(filepath.Join(cfg.LogRoot, "counts/stdout"))
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(b)) {
		if line != itoa(n)+"\n" {
			t.Fatalf("line %d is %q", n, line)
		}
		n++
	}
}

func lines(t *testing.T, cfg containerd.Config, guid string) int {
	t.Helper()
	b, err := os.ReadFile(filepath.Join(cfg.LogRoot, guid, "stdout"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.Count(string(b), "\n")
}

func TestOpenTwice(t *testing.T) {
	cfg := config(t)
	open(t, cfg)
	if _, err := containerd.Open(t.Context(), cfg); err == nil || !strings.Contains(err.Error(), "another process") {
		t.Errorf("got %v, want that somebody else is there", err)
	}
}

func TestReopen(t *testing.T) {
	cfg := config(t)
	r, err := containerd.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.Pull(t.Context(), imageName, nil); err != nil {
		t.Fatal(err)
	}
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	r = open(t, cfg)
	// Without a Pull: the image of the earlier life is good for a start.
	if err := r.Start(t.Context(), cells.Spec{GUID: "again", App: "a", Image: "bundled/" + imageName, Args: []string{"/bin/app", "exit", "0"}, CPUWeight: 1}); err != nil {
		t.Error(err)
	}
}

// A shim that is killed takes its container with it, and that is noticed.
func TestShimDies(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	start(t, r, "orphan", nil, "run")
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	killed := false
	for _, p := range procs {
		b, err := os.ReadFile(p)
		if err != nil || !strings.Contains(string(b), "-address\x00"+cfg.State) {
			continue
		}
		pid, err := strconv.Atoi(filepath.Base(filepath.Dir(p)))
		if err != nil {
			t.Fatal(err)
		}
		shim, err := os.FindProcess(pid)
		if err != nil {
			t.Fatal(err)
		}
		if err := shim.Kill(); err != nil {
			t.Fatal(err)
		}
		killed = true
	}
	if !killed {
		t.Fatal("no shim found")
	}
	if e := wait(t, r, "orphan"); e.Code == 0 {
		t.Errorf("got %+v, want that it failed", e)
	}
	eventually(t, func() bool {
		all, err := r.List(t.Context())
		return err == nil && len(all) == 1 && !all[0].Running
	})
	if err := r.Remove(t.Context(), "orphan"); err != nil {
		t.Error(err)
	}
	for _, l := range leftovers(t, cfg) {
		t.Errorf("left behind: %s", l)
	}
}
