package containerd_test

import (
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lattice/cells"
)

// Starts, stops and removals of many containers go on at once and do not
// disturb each other.
func TestManyAtOnce(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	start(t, r, "stays", nil, "run")
	var wg sync.WaitGroup
	for i := range 6 {
		wg.Go(func() {
			for j := range 3 {
				guid := fmt.Sprintf("many-%d-%d", i, j)
				err := tryStart(t, r, guid, func(s *cells.Spec) { s.App = fmt.Sprintf("app-%d", i%2) }, "run")
				if err != nil {
					t.Error(err)
					return
				}
				if j > 0 {
					if err := r.Stop(t.Context(), guid, "SIGTERM", 30*time.Second); err != nil {
						t.Error(err)
					}
				}
				if err := r.Remove(t.Context(), guid); err != nil {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	all, err := r.List(t.Context())
	if err != nil || len(all) != 1 || !all[0].Running {
		t.Errorf("got %+v, %v, want the one that was there before", all, err)
	}
	if err := r.Remove(t.Context(), "stays"); err != nil {
		t.Error(err)
	}
	for _, l := range leftovers(t, cfg) {
		t.Errorf("left behind: %s", l)
	}
}

// On a file system that overlayfs can't use, images are copied.
func TestWithoutOverlayfs(t *testing.T) {
	cfg := config(t)
	dir := t.TempDir()
	for _, d := range []string{"lower", "upper", "work", "merged"} {
		if err := os.Mkdir(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	merged := filepath.Join(dir, "merged")
	opts := fmt.Sprintf("lowerdir=%s/lower,upperdir=%s/upper,workdir=%s/work", dir, dir, dir)
	if err := unix.Mount("overlay", merged, "overlay", 0, opts); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(merged, 0); err != nil {
			t.Error(err)
		}
	})
	cfg.Root = filepath.Join(merged, "containerd")
	r := open(t, cfg)
	d := describe(t, cfg, r, "native", func(s *cells.Spec) { s.User = "alice" }, "/data")
	if d.UID != 1000 || d.Owners["/data/file"] != "1000:10 -rw-r-----" {
		t.Errorf("got user %d and %v", d.UID, d.Owners)
	}
	start(t, r, "native-2", nil, "exit", "0")
	if e := wait(t, r, "native-2"); e.Code != 0 {
		t.Errorf("got %+v", e)
	}
	for _, guid := range []string{"native", "native-2"} {
		if err := r.Remove(t.Context(), guid); err != nil {
			t.Error(err)
		}
	}
	for _, l := range leftovers(t, cfg) {
		t.Errorf("left behind: %s", l)
	}
}
