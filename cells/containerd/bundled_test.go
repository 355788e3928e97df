//go:build bundle

package containerd_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"lattice/cells/containerd"
)

func TestUnpack(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "bin")
	old := filepath.Join(dir, "0123456789abcdef")
	inUse := filepath.Join(dir, "fedcba9876543210")
	for _, d := range []string{old, inUse} {
		if err := os.MkdirAll(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	running := exec.Command(filepath.Join(inUse, "app"), "sleep")
	if out, err := exec.Command("cp", filepath.Join(bin, "app"), inUse).CombinedOutput(); err != nil {
		t.Fatal(err, string(out))
	}
	if err := running.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := running.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = running.Wait() // it was killed
	}()

	got, err := containerd.Unpack(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"runc", "containerd-shim-runc-v2", "lattice-logger"} {
		if st, err := os.Stat(filepath.Join(got, name)); err != nil || st.Mode() != 0o755 {
			t.Errorf("%s: %v", name, err)
		}
	}
	if out, err := exec.Command(filepath.Join(got, "runc"), "--version").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
	if _, err := os.Stat(old); err == nil {
		t.Error("the old version is still there")
	}
	if _, err := os.Stat(inUse); err != nil {
		t.Errorf("the version in use was removed: %v", err)
	}

	// Again: kept as it is, but what is damaged is replaced.
	runc, shim := filepath.Join(got, "runc"), filepath.Join(got, "containerd-shim-runc-v2")
	before, err := os.Stat(shim)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(runc, []byte("damaged"), 0o755); err != nil {
		t.Fatal(err)
	}
	if again, err := containerd.Unpack(dir); err != nil || again != got {
		t.Fatalf("got %s, %v, want %s", again, err, got)
	}
	after, err := os.Stat(shim)
	if err != nil || !os.SameFile(before, after) {
		t.Errorf("the shim was written again: %v", err)
	}
	if out, err := exec.Command(runc, "--version").CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
