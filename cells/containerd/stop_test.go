package containerd_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/cells"
	"lattice/cells/containerd"
)

func TestStop(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	tests := []struct {
		name, cmd, signal string
		grace             time.Duration
		code              int
	}{
		{"term", "run", "SIGTERM", 30 * time.Second, 7},
		{"default", "run", "", 30 * time.Second, 7},
		{"usr1", "run", "SIGUSR1", 30 * time.Second, 8},
		{"number", "run", "10", 30 * time.Second, 8},
		{"stubborn", "stubborn", "SIGTERM", 200 * time.Millisecond, 137},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			guid := "stop-" + tt.name
			start(t, r, guid, nil, tt.cmd)
			output(t, cfg, guid, "running\n")
			if err := r.Stop(t.Context(), guid, tt.signal, tt.grace); err != nil {
				t.Fatal(err)
			}
			if e := wait(t, r, guid); e.Code != tt.code || e.OOMKilled {
				t.Errorf("got %+v, want code %d", e, tt.code)
			}
			if err := r.Stop(t.Context(), guid, tt.signal, tt.grace); err != nil {
				t.Errorf("stop of a stopped one: %v", err)
			}
		})
	}
	if err := r.Stop(t.Context(), "never-was", "SIGTERM", time.Second); err != nil {
		t.Errorf("stop of what isn't there: %v", err)
	}
	if err := r.Stop(t.Context(), "stop-term", "SIGNONSENSE", time.Second); !errors.Is(err, app.ErrInvalid) {
		t.Errorf("got %v, want ErrInvalid", err)
	}
}

func TestWait(t *testing.T) {
	r := open(t, config(t))
	if _, err := r.Wait(t.Context(), "never-was"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	start(t, r, "wait", nil, "run")
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if _, err := r.Wait(ctx, "wait"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
}

func TestRemoveLeavesNothing(t *testing.T) {
	cfg := config(t)
	net := &recordingNetwork{}
	cfg.Network = net
	r := open(t, cfg)
	for _, guid := range []string{"gone-1", "gone-2"} {
		start(t, r, guid, func(s *cells.Spec) { s.Volumes = []string{"/data"} }, "run")
	}
	if _, _, err := r.Exec(t.Context(), "gone-1", []string{"/bin/app", "write", "/file", "x"}); err != nil {
		t.Fatal(err)
	}
	if left := leftovers(t, cfg); len(left) == 0 {
		t.Error("the search for leftovers does not find what a running container has")
	}
	for _, guid := range []string{"gone-1", "gone-2", "gone-2", "never-was"} {
		if err := r.Remove(t.Context(), guid); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range leftovers(t, cfg) {
		t.Errorf("left behind: %s", l)
	}
	if got := strings.Join(net.calls, " "); got != "restore attach:gone-1 attach:gone-2 release:gone-1 release:gone-2 release:gone-2 release:never-was" {
		t.Errorf("network was told %s", got)
	}
}

// leftovers returns what containers leave behind if nobody removes it.
func leftovers(t *testing.T, cfg containerd.Config) []string {
	t.Helper()
	var out []string
	mounts, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, cfg.State) || strings.Contains(line, cfg.Root) {
			out = append(out, "mount "+line)
		}
	}
	procs, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range procs {
		if b, err := os.ReadFile(p); err == nil && strings.Contains(string(b), "-address\x00"+cfg.State) {
			out = append(out, "process "+string(b))
		}
	}
	id := filepath.Base(cfg.State)
	for _, glob := range []string{
		"/sys/fs/cgroup/lattice/" + id, "/sys/fs/cgroup/*/lattice/" + id, // cgroups v2 and v1
		cfg.Root + "/containers/*",
		cfg.State + "/io.containerd.runtime.v2.task/*/*",
		cfg.State + "/runc/*/*",
		cfg.State + "/exec/*",
		cfg.State + "/s/*",
		cfg.Root + "/io.containerd.runtime.v2.task/*/*",
	} {
		found, err := filepath.Glob(glob)
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, found...)
	}
	// The image has one layer; a snapshot more is one of a container.
	snapshots, err := filepath.Glob(cfg.Root + "/io.containerd.snapshotter.v1.*/snapshots/*")
	if err != nil {
		t.Fatal(err)
	}
	if len(snapshots) > 1 {
		out = append(out, snapshots[1:]...)
	}
	return out
}

// recordingNetwork is a Network that connects nothing.
type recordingNetwork struct {
	calls    []string
	restored []cells.Lease
}

func (n *recordingNetwork) Reserve(guid string, _ []int) (cells.Lease, error) {
	return cells.Lease{GUID: guid}, nil
}

func (n *recordingNetwork) Attach(_ context.Context, l cells.Lease, pid int) error {
	if _, err := os.Stat(filepath.Join("/proc", itoa(pid), "ns/net")); err != nil {
		return err
	}
	n.calls = append(n.calls, "attach:"+l.GUID)
	return nil
}

func (n *recordingNetwork) Release(_ context.Context, guid string) error {
	n.calls = append(n.calls, "release:"+guid)
	return nil
}

func (n *recordingNetwork) Restore(_ context.Context, leases []cells.Lease) error {
	n.calls = append(n.calls, "restore")
	n.restored = leases
	return nil
}

func TestExec(t *testing.T) {
	r := open(t, config(t))
	start(t, r, "exec", func(s *cells.Spec) { s.User = "alice" }, "run")
	tests := []struct {
		name string
		args []string
		code int
		want string
	}{
		{"output", []string{"/bin/app", "cat", "/etc/hostname"}, 0, "web-0\n"},
		{"code", []string{"/bin/app", "exit", "5"}, 5, ""},
		{"denied", []string{"/bin/app", "write", "/bin/x", "x"}, 1, "open /bin/x: permission denied\n"},
		{"last 4 KiB", []string{"/bin/app", "flood", "100000"}, 0, "99998\n99999\n"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			code, out, err := r.Exec(t.Context(), "exec", tt.args)
			if err != nil || code != tt.code || !strings.HasSuffix(out, tt.want) || len(out) > 4<<10 {
				t.Errorf("got %d %q %v, want %d %q", code, out, err, tt.code, tt.want)
			}
		})
	}
	if _, _, err := r.Exec(t.Context(), "exec", []string{"/bin/nonsense"}); !errors.Is(err, cells.ErrCommand) {
		t.Errorf("got %v, want ErrCommand", err)
	}
	if _, _, err := r.Exec(t.Context(), "never-was", []string{"/bin/app"}); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	begin := time.Now()
	if _, _, err := r.Exec(ctx, "exec", []string{"/bin/app", "sleep"}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, want DeadlineExceeded", err)
	}
	if took := time.Since(begin); took > 3*time.Second {
		t.Errorf("took %v, must be killed when its time is over", took)
	}
}

func TestUsage(t *testing.T) {
	r := open(t, config(t))
	start(t, r, "usage", nil, "run")
	if _, _, err := r.Exec(t.Context(), "usage", []string{"/bin/app", "write", "/file", strings.Repeat("x", 50000)}); err != nil {
		t.Fatal(err)
	}
	u, err := r.Usage(t.Context(), "usage")
	if err != nil {
		t.Fatal(err)
	}
	if u.MemoryBytes < 100<<10 || u.MemoryBytes > 64<<20 || u.CPU <= 0 || u.CPU > time.Minute {
		t.Errorf("got %+v", u)
	}
	if disk, err := r.Disk(t.Context(), "usage"); err != nil || disk < 50000 || disk > 1<<20 {
		t.Errorf("disk: got %d, %v, want the 50,000 bytes that were written and little else", disk, err)
	}
	if _, err := r.Disk(t.Context(), "never-was"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
	if _, err := r.Usage(t.Context(), "never-was"); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("got %v, want ErrNotFound", err)
	}
}
