package containerd_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"lattice/app"
	"lattice/cells"
	"lattice/cells/containerd"
)

func TestReadFile(t *testing.T) {
	cfg := config(t)
	r := open(t, cfg)
	start(t, r, "results", func(s *cells.Spec) { s.Volumes, s.User = []string{"/data"}, "root" }, "results")
	if e := wait(t, r, "results"); e.Code != 5 {
		t.Fatalf("%+v", e)
	}
	reads(t, r)
	if e := wait(t, r, "results"); e.Code != 5 {
		t.Errorf("how it ended is forgotten: %+v", e)
	}
	if err := r.Remove(t.Context(), "results"); err != nil {
		t.Error(err)
	}
	if _, err := r.ReadFile(t.Context(), "results", "/out/plain", 100); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("of a container that is gone: %v", err)
	}
	if left, _ := filepath.Glob(filepath.Join(cfg.Root, "mounts", "*")); len(left) > 0 {
		t.Errorf("mounts left: %v", left)
	}
}

// reads reads all kinds of files.
func reads(t *testing.T, r *containerd.Runtime) {
	t.Helper()
	for _, tt := range []struct {
		path string
		want string
		err  error
	}{
		{"/out/plain", "plain", nil},
		{"out/../out/plain", "plain", nil},
		{"/out/relative", "plain", nil},
		{"/out/absolute", "plain", nil},
		{"/data/volume", "volume", nil},
		{"/out/covered", "volume", nil},
		{"/out/nowhere", "", app.ErrNotFound},
		{"/nothing", "", app.ErrNotFound},
		{"/out/plain/below", "", app.ErrNotFound},
		{"/out/dir", "", app.ErrInvalid},
		{"/out/pipe", "", app.ErrInvalid},
	} {
		got, err := r.ReadFile(t.Context(), "results", tt.path, 6)
		if string(got) != tt.want || !errors.Is(err, tt.err) || (err == nil) != (tt.err == nil) {
			t.Errorf("%s: got %q, %v, want %q, %v", tt.path, got, err, tt.want, tt.err)
		}
	}
	if _, err := r.ReadFile(t.Context(), "results", "/data/volume", 5); !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), "6 bytes") {
		t.Errorf("too large: %v", err)
	}
	ours, err := os.ReadFile("/etc/passwd")
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := r.ReadFile(t.Context(), "results", "/out/outside", 1<<20)
	if err != nil || string(theirs) == string(ours) || !strings.Contains(string(theirs), "alice") {
		t.Errorf("a link that leads out of the container: got %q, %v", theirs, err)
	}
	for _, path := range []string{"/out/loop", "/out/disk"} {
		if got, err := r.ReadFile(t.Context(), "results", path, 10); err == nil {
			t.Errorf("%s: got %q", path, got)
		}
	}
}

func TestReadFileOfOneThatEndedWhileNobodyWasThere(t *testing.T) {
	cfg := config(t)
	r, err := containerd.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	start(t, r, "results", func(s *cells.Spec) { s.Volumes, s.User = []string{"/data"}, "root" }, "results")
	wait(t, r, "results")
	if err := r.Close(); err != nil {
		t.Fatal(err)
	}
	reads(t, open(t, cfg))
}
