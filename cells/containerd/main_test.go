package containerd_test

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"lattice/cells"
	"lattice/cells/containerd"
)

// bin has the programs that the tests need; TestMain fills it.
var bin string

func TestMain(m *testing.M) {
	if dir := os.Getenv("LATTICE_TEST_CHILD"); dir != "" {
		os.Exit(child(dir))
	}
	if os.Getenv("LATTICE_TEST_SLEEP") != "" {
		time.Sleep(time.Minute)
		os.Exit(0)
	}
	os.Exit(runTests(m))
}

func runTests(m *testing.M) int {
	dir, err := os.MkdirTemp("", "lattice-containerd-")
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	defer os.RemoveAll(dir)
	bin = dir
	builds := []struct {
		name, pkg, tags, ldflags, cgo string
	}{
		{"runc", "github.com/opencontainers/runc", "seccomp netgo osusergo runc_nocriu", "-s -w -extldflags -static", "1"},
		{"containerd-shim-runc-v2", "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2", "no_grpc", "-s -w", "0"},
		{"lattice-logger", "./testdata/logger", "", "-s -w", "0"},
		{"lattice-helper", "lattice/cells/helper", "", "-s -w", "0"},
		{"app", "./testdata/app", "", "-s -w", "0"},
	}
	for _, b := range builds {
		cmd := exec.Command("go", "build", "-trimpath", "-tags", b.tags, "-ldflags", b.ldflags, "-o", filepath.Join(dir, b.name), b.pkg)
		cmd.Env = append(os.Environ(), "CGO_ENABLED="+b.cgo)
		if out, err := cmd.CombinedOutput(); err != nil {
			fmt.Fprintf(os.Stderr, "build %s for the tests (runc needs gcc and libseccomp-dev): %v\n%s", b.pkg, err, out)
			return 1
		}
	}
	return m.Run()
}

// config returns what one installation needs, below fresh folders.
func config(t testing.TB) containerd.Config {
	t.Helper()
	state, err := os.MkdirTemp("/run", "lattice-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := os.RemoveAll(state); err != nil {
			t.Error(err)
		}
	})
	return configIn(t.TempDir(), state)
}

func configIn(root, state string) containerd.Config {
	level := slog.LevelWarn
	if os.Getenv("LATTICE_TEST_DEBUG") != "" {
		level = slog.LevelDebug
	}
	return containerd.Config{
		Root:    filepath.Join(root, "containerd"),
		State:   state,
		Bin:     bin,
		LogRoot: filepath.Join(root, "logs"),
		Bundled: bundled(),
		Registry: func() (*url.URL, http.RoundTripper) {
			return &url.URL{Scheme: "http", Host: "brain.invalid"}, passOn{}
		},
		Log: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: level})),
	}
}

// passOn stands in for the brain's registry: it asks the registry that is meant
// itself.
type passOn struct{}

func (passOn) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.URL.Host = r.URL.Query().Get("ns")
	r.Host = r.URL.Host
	return http.DefaultTransport.RoundTrip(r)
}

// open opens a runtime and removes everything at the end of the test.
func open(t testing.TB, cfg containerd.Config) *containerd.Runtime {
	t.Helper()
	r, err := containerd.Open(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		all, err := r.List(ctx)
		if err != nil {
			t.Error(err)
		}
		for _, c := range all {
			if err := r.Remove(ctx, c.GUID); err != nil {
				t.Error(err)
			}
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

// start pulls the test's image and starts args in it.
func start(t testing.TB, r *containerd.Runtime, guid string, change func(*cells.Spec), args ...string) {
	t.Helper()
	if err := tryStart(t, r, guid, change, args...); err != nil {
		t.Fatal(err)
	}
}

func tryStart(t testing.TB, r *containerd.Runtime, guid string, change func(*cells.Spec), args ...string) error {
	t.Helper()
	img, err := r.Pull(t.Context(), imageName, nil)
	if err != nil {
		t.Fatal(err)
	}
	s := cells.Spec{
		GUID: guid, App: "web", Image: img.Name, Args: append([]string{"/bin/app"}, args...),
		Env: []string{"PORT=8080"}, MemoryMB: 64, CPUWeight: 100, MaxPIDs: 100, Lease: cells.Lease{GUID: guid},
	}
	if change != nil {
		change(&s)
	}
	return r.Start(t.Context(), s)
}

// wait returns how the container ended.
func wait(t testing.TB, r *containerd.Runtime, guid string) cells.Exit {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	e, err := r.Wait(ctx, guid)
	if err != nil {
		t.Fatal(err)
	}
	return e
}
