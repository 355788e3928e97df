//go:build !bundle

package containerd_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lattice/cells/containerd"
)

func TestUnpackFindsOnPath(t *testing.T) {
	t.Setenv("PATH", bin)
	for range 2 {
		got, err := containerd.Unpack(t.TempDir())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range []string{"runc", "containerd-shim-runc-v2", "lattice-logger", "lattice-helper"} {
			if target, err := os.Readlink(filepath.Join(got, name)); err != nil || target != filepath.Join(bin, name) {
				t.Errorf("%s leads to %s, %v", name, target, err)
			}
		}
	}
	t.Setenv("PATH", "/nowhere")
	_, err := containerd.Unpack(t.TempDir())
	if err == nil || !strings.Contains(err.Error(), "no runc, no containerd-shim-runc-v2, no lattice-logger, no lattice-helper") {
		t.Errorf("got %v, want what is missing", err)
	}
}
