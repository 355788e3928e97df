package archive_test

import (
	"archive/tar"
	"bytes"
	"errors"
	"io/fs"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/google/go-containerregistry/pkg/name"
	"github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"lattice/app"
	"lattice/images/archive"
)

func image(t testing.TB) v1.Image {
	t.Helper()
	img, err := random.Image(1000, 2)
	if err != nil {
		t.Fatal(err)
	}
	return img
}

// docker writes what docker save would, with images of those names.
func docker(t testing.TB, names ...string) string {
	t.Helper()
	all := map[name.Reference]v1.Image{}
	for _, n := range names {
		ref, err := name.ParseReference(n)
		if err != nil {
			t.Fatal(err)
		}
		all[ref] = image(t)
	}
	path := filepath.Join(t.TempDir(), "docker.tar")
	if err := tarball.MultiRefWriteToFile(path, all); err != nil {
		t.Fatal(err)
	}
	return path
}

// oci writes an OCI archive of an image with those annotations.
func oci(t testing.TB, annotations map[string]string) string {
	t.Helper()
	dir := t.TempDir()
	p, err := layout.Write(dir, empty.Index)
	if err == nil {
		err = p.AppendImage(image(t), layout.WithAnnotations(annotations))
	}
	if err != nil {
		t.Fatal(err)
	}
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	if err := errors.Join(w.AddFS(os.DirFS(dir)), w.Close()); err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "oci.tar")
	if err := os.WriteFile(path, b.Bytes(), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestOpen(t *testing.T) {
	for _, tt := range []struct {
		name, path, want string
		called           string
		wrong            string
	}{
		{"docker save", docker(t, "team/web:1"), "", "team/web:1", ""},
		{"of another registry", docker(t, "r.lan:5000/team/web:1"), "", "team/web:1", ""},
		{"as podman names it", docker(t, "localhost/web:1"), "", "web:1", ""},
		{"one of several", docker(t, "a:1", "b:1"), "b:1", "b:1", ""},
		{"which of several", docker(t, "a:1", "b:1"), "", "", "has several images"},
		{"OCI", oci(t, map[string]string{"org.opencontainers.image.ref.name": "web:1"}), "", "web:1", ""},
		{"OCI, of BuildKit", oci(t, map[string]string{"org.opencontainers.image.ref.name": "1", "io.containerd.image.name": "docker.io/library/web:1"}), "", "web:1", ""},
		{"OCI, without a name", oci(t, nil), "", "", ""},
		{"no archive", "archive_test.go", "", "", "can't be read as an image"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			img, err := archive.Open(tt.path, tt.want)
			if tt.wrong != "" {
				if !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), tt.wrong) {
					t.Errorf("got %v, want %q", err, tt.wrong)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			defer img.Close()
			if img.Name != tt.called {
				t.Errorf("it is called %q, want %q", img.Name, tt.called)
			}
		})
	}
	if _, err := archive.Open("none.tar", ""); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("no file: %v", err)
	}
}

// What is pushed arrives whole, is told on the way, and does not travel twice.
func TestPush(t *testing.T) {
	srv := httptest.NewServer(registry.New())
	defer srv.Close()
	host := strings.TrimPrefix(srv.URL, "http://")
	for _, path := range []string{docker(t, "team/web:1"), oci(t, nil)} {
		img, err := archive.Open(path, "")
		if err != nil {
			t.Fatal(err)
		}
		defer img.Close()
		for round, want := range []bool{true, false} {
			var sent atomic.Int64
			to := archive.To{Host: host, Repo: "x/web:1", Token: "t", Via: remote.DefaultTransport, Progress: func(done, _ int64) { sent.Store(done) }}
			dgst, err := img.Push(t.Context(), to)
			if err != nil || !strings.HasPrefix(dgst, "sha256:") {
				t.Fatalf("push: %q %v", dgst, err)
			}
			if (sent.Load() > 1000) != want {
				t.Errorf("round %d: %d bytes travelled", round, sent.Load())
			}
			ref, err := name.ParseReference(host + "/x/web@" + dgst)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := remote.Image(ref); err != nil {
				t.Errorf("it did not arrive: %v", err)
			}
		}
	}
	img, err := archive.Open(docker(t, "web:1"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer img.Close()
	if _, err := img.Push(t.Context(), archive.To{Host: host, Repo: "NIX", Via: remote.DefaultTransport}); !errors.Is(err, app.ErrInvalid) {
		t.Errorf("a bad name: %v", err)
	}
}

// An archive comes from anywhere: whatever it is, it is read or refused, and
// nothing is written or left outside of what Close deletes.
func FuzzOpen(f *testing.F) {
	for _, path := range []string{docker(f, "a:1"), docker(f, "a:1", "b:1"), oci(f, nil)} {
		b, err := os.ReadFile(path)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(b)
		f.Add(b[:len(b)/2])
	}
	for _, h := range []tar.Header{
		{Name: "../../evil", Typeflag: tar.TypeReg}, {Name: "/evil", Typeflag: tar.TypeReg}, {Name: "blobs", Linkname: "/", Typeflag: tar.TypeSymlink}, {Name: "blobs/../../evil", Typeflag: tar.TypeDir},
	} {
		var b bytes.Buffer
		w := tar.NewWriter(&b)
		if err := errors.Join(w.WriteHeader(&h), w.WriteHeader(&tar.Header{Name: "index.json", Typeflag: tar.TypeReg}), w.Close()); err != nil {
			f.Fatal(err)
		}
		f.Add(b.Bytes())
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		dir := t.TempDir()
		t.Setenv("TMPDIR", filepath.Join(dir, "tmp"))
		if err := os.Mkdir(filepath.Join(dir, "tmp"), 0o700); err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, "x.tar")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		if img, err := archive.Open(path, ""); err == nil {
			if err := img.Close(); err != nil {
				t.Error(err)
			}
		}
		if left, _ := filepath.Glob(filepath.Join(dir, "tmp", "*")); len(left) > 0 {
			t.Errorf("left behind: %v", left)
		}
		if all, _ := os.ReadDir(dir); len(all) != 2 {
			t.Errorf("written outside: %v", all)
		}
	})
}
