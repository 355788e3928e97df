package containerd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// TestOrphansAreEnded opens a runtime where the death of an earlier process in
// the middle of a start has left a shim that nobody wrote down and a mount of
// the snapshots. A process with a shim's command line stands for the shim.
func TestOrphansAreEnded(t *testing.T) {
	cfg := config(t)
	snapshots := filepath.Join(cfg.Root, "io.containerd.snapshotter.v1.overlayfs", "snapshots")
	if err := os.MkdirAll(snapshots, 0o700); err != nil {
		t.Fatal(err)
	}
	point, err := os.MkdirTemp("", "ovl-idmapped")
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount(snapshots, point, "", unix.MS_BIND, ""); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // nothing of it is left if all is well
		unix.Unmount(point, unix.MNT_DETACH)
		os.Remove(point)
	})
	shim := &exec.Cmd{
		Path: os.Args[0], Env: append(os.Environ(), "LATTICE_TEST_SLEEP=1"),
		Args: []string{filepath.Join(cfg.Bin, "containerd-shim-runc-v2"), "-namespace", "lattice", "-id", "orphan", "-address", filepath.Join(cfg.State, "grpc.sock")},
	}
	if err := shim.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { shim.Process.Kill() })
	ended := make(chan error, 1)
	go func() { ended <- shim.Wait() }()

	open(t, cfg)
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Error("the shim is still there")
	}
	if _, err := os.Stat(point); !os.IsNotExist(err) {
		t.Errorf("the mount point is still there: %v", err)
	}
	if mounts, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(mounts), point) {
		t.Error("the mount is still there")
	}
}
