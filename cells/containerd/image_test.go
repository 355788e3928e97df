package containerd_test

import (
	"archive/tar"
	"bytes"
	"io"
	"os"
	"path/filepath"
	"sync"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/layout"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"
)

const imageName = "lattice/test"

// testImage is an image with testdata/app, some users, and files to make
// volumes of.
func testImage() (v1.Image, error) {
	app, err := os.ReadFile(filepath.Join(bin, "app"))
	if err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	files := []struct {
		name     string
		mode     int64
		uid, gid int
		data     []byte
	}{
		{"bin/", 0o755, 0, 0, nil},
		{"bin/app", 0o755, 0, 0, app},
		{"bin/plain", 0o644, 0, 0, []byte("not executable")},
		{"bin/garbage", 0o755, 0, 0, []byte("\x7fELFnot really")},
		{"etc/", 0o755, 0, 0, nil},
		{"etc/passwd", 0o644, 0, 0, []byte("root:x:0:0::/root:/bin/sh\nalice:x:1000:1000::/home/alice:/bin/sh\nbig:x:70000:70000::/:/bin/sh\n")},
		{"etc/group", 0o644, 0, 0, []byte("root:x:0:\nalice:x:1000:\nwheel:x:10:alice\nvideo:x:44:alice\nstaff:x:50:\n")},
		{"data/", 0o750, 1000, 1000, nil},
		{"data/file", 0o640, 1000, 10, []byte("content")},
		{"data/tool", 0o4755, 0, 0, []byte("setuid")},
		{"private/", 0o700, 0, 0, nil},
		{"tmp/", 0o1777, 0, 0, nil},
	}
	for _, f := range files {
		h := &tar.Header{Name: f.name, Mode: f.mode, Uid: f.uid, Gid: f.gid, Size: int64(len(f.data)), ModTime: time.Unix(0, 0)}
		if f.name[len(f.name)-1] == '/' {
			h.Typeflag = tar.TypeDir
		}
		if err := w.WriteHeader(h); err != nil {
			return nil, err
		}
		if _, err := w.Write(f.data); err != nil {
			return nil, err
		}
	}
	if err := w.Close(); err != nil {
		return nil, err
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) {
		return io.NopCloser(bytes.NewReader(buf.Bytes())), nil
	})
	if err != nil {
		return nil, err
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		return nil, err
	}
	return mutate.ConfigFile(img, &v1.ConfigFile{
		Architecture: "amd64", OS: "linux", RootFS: must(img.ConfigFile()).RootFS,
		Config: v1.Config{
			Entrypoint:   []string{"/bin/app"},
			Cmd:          []string{"run"},
			Env:          []string{"FROM_IMAGE=yes"},
			User:         "alice",
			WorkingDir:   "/data",
			ExposedPorts: map[string]struct{}{"9090/tcp": {}, "443": {}, "80/tcp": {}, "53/udp": {}},
			Volumes:      map[string]struct{}{"/data": {}, "/cache": {}},
			StopSignal:   "SIGUSR1",
		},
	})
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}

// archive is testImage as an OCI archive.
var archive = sync.OnceValues(func() ([]byte, error) {
	img, err := testImage()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "lattice-layout-")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	l, err := layout.Write(dir, empty.Index)
	if err != nil {
		return nil, err
	}
	if err := l.AppendImage(img); err != nil {
		return nil, err
	}
	var buf bytes.Buffer
	w := tar.NewWriter(&buf)
	if err := w.AddFS(os.DirFS(dir)); err != nil {
		return nil, err
	}
	return buf.Bytes(), w.Close()
})

func bundled() map[string]func() (io.ReadCloser, error) {
	return map[string]func() (io.ReadCloser, error){imageName: func() (io.ReadCloser, error) {
		b, err := archive()
		return io.NopCloser(bytes.NewReader(b)), err
	}}
}
