package images_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	memory "github.com/google/go-containerregistry/pkg/registry"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"

	"lattice/app"
	"lattice/images"
)

// An upstream is another registry, on loopback, of which a test can spoil the
// answers.
type upstream struct {
	*httptest.Server
	host  string
	spoil atomic.Pointer[func(w http.ResponseWriter, r *http.Request, next http.Handler)]
	blobs atomic.Int64 // bytes of blobs that left it
}

func newUpstream(t *testing.T) *upstream {
	t.Helper()
	u := &upstream{}
	inner := memory.New(memory.Logger(slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)))
	u.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			w = counted{w, &u.blobs}
		}
		if f := u.spoil.Load(); f != nil {
			(*f)(w, r, inner)
			return
		}
		inner.ServeHTTP(w, r)
	}))
	t.Cleanup(u.Close)
	u.host = strings.TrimPrefix(u.URL, "http://")
	return u
}

type counted struct {
	http.ResponseWriter
	n *atomic.Int64
}

func (c counted) Write(b []byte) (int, error) {
	n, err := c.ResponseWriter.Write(b)
	c.n.Add(int64(n))
	return n, err
}

func (c counted) Unwrap() http.ResponseWriter { return c.ResponseWriter }

func (u *upstream) with(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) {
	u.spoil.Store(&f)
}

// push puts a random image there and returns its name and size.
func (u *upstream) push(t *testing.T, repo string, bytes, layers int64) (image string, img v1.Image, size int64) {
	t.Helper()
	img, err := random.Image(bytes, layers)
	if err != nil {
		t.Fatal(err)
	}
	image = u.host + "/" + repo
	write(t, image, img)
	ls, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	config, err := img.RawConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	size = int64(len(config))
	for _, l := range ls {
		n, err := l.Size()
		if err != nil {
			t.Fatal(err)
		}
		size += n
	}
	return image, img, size
}

func write(t *testing.T, image string, img v1.Image) {
	t.Helper()
	ref, err := name.ParseReference(image)
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.Write(ref, img); err != nil {
		t.Fatalf("push %s: %v", image, err)
	}
}

// A brain is a Registry that is served.
type brain struct {
	*images.Registry
	settings *images.Settings
	host     string
	users    map[string][]string // by images.Key
}

func newBrain(t *testing.T, dir string) *brain {
	t.Helper()
	b := &brain{users: map[string][]string{}}
	var err error
	if b.settings, err = images.OpenSettings(dir); err != nil {
		t.Fatal(err)
	}
	b.Registry, err = images.Open(images.Config{
		Dir: dir, Settings: b.settings, Log: slog.New(slog.DiscardHandler),
		Authorize: func(*http.Request, bool) error { return nil },
		Cell:      func(r *http.Request) string { return r.Header.Get("X-Test-Cell") },
		Peers: func(cells []string) (at []string) {
			for _, c := range cells {
				at = append(at, c+":7947")
			}
			return at
		},
		Age: time.Hour, Full: func() bool { return false },
		InUse: func() map[string][]string { return b.users },
	})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(b.Registry)
	t.Cleanup(func() {
		srv.Close()
		if err := b.Registry.Close(); err != nil {
			t.Error(err)
		}
	})
	b.host = strings.TrimPrefix(srv.URL, "http://")
	return b
}

// firstLayer returns the first layer of an image, its digest, and where a Registry
// has the image.
func firstLayer(t *testing.T, image string, img v1.Image) (layer v1.Layer, dgst v1.Hash, path string) {
	t.Helper()
	layers, err := img.Layers()
	if err != nil {
		t.Fatal(err)
	}
	if dgst, err = layers[0].Digest(); err != nil {
		t.Fatal(err)
	}
	if path, err = images.Path(image); err != nil {
		t.Fatal(err)
	}
	return layers[0], dgst, path
}

// pull reads all of an image through the brain, by digest as a cell does, and
// returns what was wrong. Everything is checked against its digest.
func (b *brain) pull(ctx context.Context, image string) error {
	dgst, err := b.Resolve(ctx, image, app.LoginOf(ctx))
	if err != nil {
		return err
	}
	path, err := images.Path(image)
	if err != nil {
		return err
	}
	ref, err := name.NewDigest(b.host + "/" + path + "@" + dgst)
	if err != nil {
		return err
	}
	img, err := remote.Image(ref, remote.WithContext(ctx), remote.WithPlatform(v1.Platform{OS: "linux", Architecture: "amd64"}))
	if err != nil {
		return err
	}
	ls, err := img.Layers()
	if err != nil {
		return err
	}
	for _, l := range ls {
		rc, err := l.Compressed()
		if err != nil {
			return err
		}
		_, err = io.Copy(io.Discard, rc) // which verifies
		if err = errors.Join(err, rc.Close()); err != nil {
			return err
		}
	}
	_, err = img.RawConfigFile()
	return err
}

func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// onlyBlobs spoils nothing but the way to blobs.
func onlyBlobs(f func(w http.ResponseWriter, r *http.Request, next http.Handler)) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Method == http.MethodGet && strings.Contains(r.URL.Path, "/blobs/") {
			f(w, r, next)
			return
		}
		next.ServeHTTP(w, r)
	}
}

// cutAfter answers as next does, and breaks the connection off after n bytes.
func cutAfter(w http.ResponseWriter, r *http.Request, next http.Handler, n int) {
	rec := httptest.NewRecorder()
	next.ServeHTTP(rec, r)
	for k, v := range rec.Header() {
		w.Header()[k] = v
	}
	body := rec.Body.Bytes()
	w.Header().Set("Content-Length", fmt.Sprint(len(body)))
	w.WriteHeader(rec.Code)
	if n >= len(body) {
		_, _ = w.Write(body)
		return
	}
	_, _ = w.Write(body[:n])
	_ = http.NewResponseController(w).Flush()
	panic(http.ErrAbortHandler)
}

// basicAuth lets only me in.
func basicAuth(w http.ResponseWriter, r *http.Request, next http.Handler) {
	if user, password, _ := r.BasicAuth(); user != "me" || password != "s3cret" {
		w.Header().Set("WWW-Authenticate", `Basic realm="test"`)
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	next.ServeHTTP(w, r)
}
