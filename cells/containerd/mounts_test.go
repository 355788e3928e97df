package containerd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"lattice/cells"
	"lattice/cells/containerd"
)

// on adds folders to a container.
func on(app string, mounts ...cells.Mount) func(*cells.Spec) {
	return func(s *cells.Spec) { s.App, s.Mounts = app, mounts }
}

// run starts a container, waits for its end with code 0, and removes it.
func run(t *testing.T, r *containerd.Runtime, guid string, change func(*cells.Spec), args ...string) {
	t.Helper()
	start(t, r, guid, change, args...)
	if e := wait(t, r, guid); e.Code != 0 {
		t.Errorf("%s %v: exit code %d", guid, args, e.Code)
	}
	if err := r.Remove(t.Context(), guid); err != nil {
		t.Error(err)
	}
}

func owner(t *testing.T, path string) string {
	t.Helper()
	st, err := os.Stat(path)
	if err != nil {
		return err.Error()
	}
	s := st.Sys().(*syscall.Stat_t)
	return fmt.Sprintf("%d:%d", s.Uid, s.Gid)
}

// TestMounts: a folder of the host is the container's own, whichever IDs it has,
// and stays when the container goes.
func TestMounts(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	dir := t.TempDir()
	volume := func(name string) string {
		d := filepath.Join(dir, name)
		if err := os.Mkdir(d, 0o755); err != nil {
			t.Fatal(err)
		}
		return d
	}
	data := volume("data")
	// The image has a file at /data, which belongs to one of its users.
	d := describe(t, cfg, r, "first", on("web", cells.Mount{Dir: data, Path: "/data"}), "/data")
	if d.Owners["/data/file"] != "1000:10 -rw-r-----" {
		t.Errorf("an empty volume begins with what the image has: %v", d.Owners)
	}
	if got := owner(t, filepath.Join(data, "file")); got != "1000:10" {
		t.Errorf("on the disk it belongs to %s", got)
	}
	if err := r.Remove(t.Context(), "first"); err != nil {
		t.Fatal(err)
	}

	// Another app has other IDs, and finds the files its own all the same.
	other := on("other", cells.Mount{Dir: data, Path: "/data"})
	run(t, r, "second", other, "write", "/data/by-root", "here")
	if got := owner(t, filepath.Join(data, "by-root")); got != "0:0" {
		t.Errorf("what root wrote belongs to %s on the disk", got)
	}
	run(t, r, "third", other, "cat", "/data/by-root", "/data/file")

	start(t, r, "readonly", on("web", cells.Mount{Dir: data, Path: "/data", ReadOnly: true}), "write", "/data/more", "x")
	if e := wait(t, r, "readonly"); e.Code != 1 {
		t.Errorf("a write to a volume that is read only: exit code %d", e.Code)
	}
	if out := output(t, cfg, "readonly", "\n"); !strings.Contains(out, "read-only file system") {
		t.Errorf("got %s", out)
	}

	// One in the other, at a place that the image has not.
	run(t, r, "nested", on("web", cells.Mount{Dir: volume("outer"), Path: "/new/outer"}, cells.Mount{Dir: volume("inner"), Path: "/new/outer/inner"}),
		"write", "/new/outer/inner/file", "x")
	if got := owner(t, filepath.Join(dir, "inner/file")); got != "0:0" {
		t.Errorf("the file in the inner one belongs to %s", got)
	}
	if err := r.Remove(t.Context(), "readonly"); err != nil {
		t.Error(err)
	}
	for _, l := range leftovers(t, cfg) {
		t.Errorf("left behind: %s", l)
	}
}

// TestMountsWithoutIDMaps: where the file system can't map IDs, files are given to
// those that the container has this time.
func TestMountsWithoutIDMaps(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	dir := t.TempDir()
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(dir, "merged")
	if err := unix.Mount("overlay", merged, "overlay", 0, fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", dir, dir, dir)); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, 0); err != nil {
			t.Error(err)
		}
	})
	data := filepath.Join(merged, "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	seen := map[string]bool{}
	for i, app := range []string{"web", "other"} {
		guid := fmt.Sprint("chown-", i)
		d := describe(t, cfg, r, guid, on(app, cells.Mount{Dir: data, Path: "/data"}), "/data")
		if d.Owners["/data/file"] != "1000:10 -rw-r-----" {
			t.Errorf("%s: %v", app, d.Owners)
		}
		seen[owner(t, filepath.Join(data, "file"))] = true
		if err := r.Remove(t.Context(), guid); err != nil {
			t.Error(err)
		}
		run(t, r, guid+"-w", on(app, cells.Mount{Dir: data, Path: "/data"}), "write", "/data/by-root", app)
	}
	if len(seen) != 2 || seen["1000:10"] {
		t.Errorf("owners on the disk: %v, want those of two ranges", seen)
	}
}

// TestPrivileged: nothing keeps such a container from its host.
func TestPrivileged(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	data := filepath.Join(t.TempDir(), "data")
	if err := os.Mkdir(data, 0o755); err != nil {
		t.Fatal(err)
	}
	d := describe(t, cfg, r, "privileged", func(s *cells.Spec) {
		s.Privileged, s.Mounts = true, []cells.Mount{{Dir: data, Path: "/data"}}
	}, "/data", "/dev/null", "/dev/loop-control")
	if f := strings.Fields(d.UIDMap); len(f) != 3 || f[0] != "0" || f[1] != "0" {
		t.Errorf("its users are %q on the host", d.UIDMap)
	}
	for _, want := range []string{"Seccomp:\t0", "NoNewPrivs:\t0"} {
		if !strings.Contains(d.Status, want) {
			t.Errorf("its status has no %s", want)
		}
	}
	if d.Owners["/data/file"] != "1000:10 -rw-r-----" {
		t.Errorf("its volume: %v", d.Owners)
	}
	if err := r.Remove(t.Context(), "privileged"); err != nil {
		t.Error(err)
	}
	// The next one of the same app is as usual again.
	if d := describe(t, cfg, r, "usual", nil); strings.HasPrefix(d.UIDMap, "0 0 ") || strings.Contains(strings.Join(strings.Fields(d.UIDMap), " "), "0 0 ") {
		t.Errorf("its users are %q on the host", d.UIDMap)
	}
	if err := r.Remove(t.Context(), "usual"); err != nil {
		t.Error(err)
	}
	for _, l := range leftovers(t, cfg) {
		t.Errorf("left behind: %s", l)
	}
}

// TestNoKeyrings: the kernel lets a user have 200 keys, so no instance may cost one.
func TestNoKeyrings(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	for i := range 2 {
		start(t, r, fmt.Sprint("key-", i), nil, "run")
	}
	d := describe(t, cfg, r, "key-3", nil)
	base := strings.Fields(d.UIDMap)[1]
	b, err := os.ReadFile("/proc/key-users")
	if err != nil {
		t.Skip("this kernel has no keys")
	}
	for line := range strings.Lines(string(b)) {
		if user, _, _ := strings.Cut(strings.TrimSpace(line), ":"); user == base {
			t.Errorf("three instances have keys: %s", line)
		}
	}
}
