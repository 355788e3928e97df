package containerd_test

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"lattice/app"
	"lattice/cells"
)

// registry starts Debian's registry on loopback and returns its host:port and
// what stops it.
func registry(t *testing.T) (host string, stop func()) {
	t.Helper()
	program, err := exec.LookPath("docker-registry")
	if err != nil {
		t.Fatal("the tests of pulling need a registry: apt-get install docker-registry")
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	host = l.Addr().String()
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	config := filepath.Join(dir, "config.yml")
	text := fmt.Sprintf("version: 0.1\nlog:\n  accesslog:\n    disabled: true\n  level: error\nstorage:\n  filesystem:\n    rootdirectory: %s\nhttp:\n  addr: %s\n", dir, host)
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(program, "serve", config)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	stop = sync.OnceFunc(func() {
		if err := cmd.Process.Kill(); err != nil {
			t.Error(err)
		}
		_ = cmd.Wait() // it was killed
	})
	t.Cleanup(stop)
	eventually(t, func() bool {
		res, err := http.Get("http://" + host + "/v2/")
		if err != nil {
			return false
		}
		_ = res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return host, stop
}

func push(t *testing.T, ref string, img v1.Image) {
	t.Helper()
	n, err := name.ParseReference(ref)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(n, img); err != nil {
		t.Fatal(err)
	}
}

func TestPull(t *testing.T) {
	host, stop := registry(t)
	first := must(testImage())
	push(t, host+"/shop/web:1", first)
	r := open(t, config(t))

	var steps []app.Pull
	img, err := r.Pull(t.Context(), host+"/shop/web:1", func(p app.Pull) { steps = append(steps, p) })
	if err != nil {
		t.Fatal(err)
	}
	if img.Digest != must(first.Digest()).String() || !img.Unpacked || img.Size < 1<<20 {
		t.Errorf("got %+v", img)
	}
	if !slices.Equal(img.Entrypoint, []string{"/bin/app"}) || !slices.Equal(img.Cmd, []string{"run"}) ||
		!slices.Equal(img.Env, []string{"FROM_IMAGE=yes"}) || img.User != "alice" || img.Dir != "/data" || img.StopSignal != "SIGUSR1" ||
		!slices.Equal(img.Ports, []int{80, 443, 9090}) || !slices.Equal(img.Volumes, []string{"/cache", "/data"}) {
		t.Errorf("config is %+v", img)
	}
	if len(steps) == 0 || steps[len(steps)-1].Done != steps[len(steps)-1].Total || steps[0].Total < 1<<20 {
		t.Errorf("progress was %v", steps)
	}
	start(t, r, "pulled", func(s *cells.Spec) { s.Image = img.Name }, "exit", "0")
	if e := wait(t, r, "pulled"); e.Code != 0 {
		t.Errorf("got %+v", e)
	}

	// A tag that moved.
	second, err := mutate.Config(first, v1.Config{Cmd: []string{"other"}})
	if err != nil {
		t.Fatal(err)
	}
	push(t, host+"/shop/web:1", second)
	img, err = r.Pull(t.Context(), host+"/shop/web:1", nil)
	if err != nil || !slices.Equal(img.Cmd, []string{"other"}) {
		t.Errorf("got %+v, %v, want the new one", img, err)
	}

	// By digest, which is the first again.
	img, err = r.Pull(t.Context(), host+"/shop/web@"+must(first.Digest()).String(), nil)
	if err != nil || !slices.Equal(img.Cmd, []string{"run"}) {
		t.Errorf("got %+v, %v, want the first one", img, err)
	}

	if _, err := r.Pull(t.Context(), host+"/shop/web:2", nil); !errors.Is(err, cells.ErrImage) || !strings.Contains(err.Error(), "has no such image or tag") {
		t.Errorf("got %v, want that the tag is unknown", err)
	}

	stop()
	if img, err = r.Pull(t.Context(), host+"/shop/web:1", nil); err != nil || !slices.Equal(img.Cmd, []string{"other"}) {
		t.Errorf("without the registry: got %+v, %v, want what is here", img, err)
	}
}

func TestPullManyAtOnce(t *testing.T) {
	host, _ := registry(t)
	push(t, host+"/many", must(random.Image(1<<20, 3)))
	r := open(t, config(t))
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			if _, err := r.Pull(t.Context(), host+"/many", nil); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
}

func TestPullErrors(t *testing.T) {
	host, _ := registry(t)
	other, err := mutate.ConfigFile(empty.Image, &v1.ConfigFile{Architecture: "s390x", OS: "linux"})
	if err != nil {
		t.Fatal(err)
	}
	push(t, host+"/other-arch", other)
	answer := func(code int, body string) string {
		s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(code); io.WriteString(w, body) }))
		t.Cleanup(s.Close)
		return strings.TrimPrefix(s.URL, "http://")
	}
	closed, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	nobody := closed.Addr().String()
	if err := closed.Close(); err != nil {
		t.Fatal(err)
	}

	r := open(t, config(t))
	tests := []struct{ name, ref, want string }{
		{"bad name", "Shop/Web:1", "must be lowercase"},
		{"empty", "", "invalid reference format"},
		{"unknown image", host + "/nothing", "registry " + host + " has no such image or tag"},
		{"nobody there", nobody + "/x", "the brain, through which it comes, does not answer"},
		{"refused", answer(http.StatusBadGateway, `{"errors":[{"message":"image x:1: registry y is asleep"}]}`) + "/x", "registry y is asleep"},
		{"broken", answer(http.StatusNotImplemented, "") + "/x", "answers 501 Not Implemented"},
		{"other platform", host + "/other-arch", "it is for linux/s390x, this cell is linux/"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			_, err := r.Pull(t.Context(), tt.ref, nil)
			if !errors.Is(err, cells.ErrImage) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("got %v, want %q", err, tt.want)
			}
		})
	}
}

func TestBundledImage(t *testing.T) {
	r := open(t, config(t))
	for _, ref := range []string{imageName, imageName + ":latest"} {
		img, err := r.Pull(t.Context(), ref, nil)
		if err != nil {
			t.Fatal(err)
		}
		if img.User != "alice" || !img.Unpacked || !strings.HasPrefix(img.Digest, "sha256:") {
			t.Errorf("got %+v", img)
		}
	}
}
