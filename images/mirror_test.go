package images_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// A mirror is asked first. What it hasn't, and all when it is gone, comes from the
// registry itself, without the mirror's password.
func TestMirrors(t *testing.T) {
	u, m, b, ctx := newUpstream(t), newUpstream(t), newBrain(t, t.TempDir()), within(t, time.Minute)
	m.with(basicAuth)
	u.with(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.Header.Get("Authorization") != "" {
			t.Error("the registry is sent the mirror's password")
		}
		next.ServeHTTP(w, r)
	})
	if err := b.settings.Put(app.Registry{Host: u.host, Mirror: m.URL, Username: "me", Password: "s3cret"}); err != nil {
		t.Fatal(err)
	}
	only, _, size := u.push(t, "team/only:1", 300_000, 2)
	both, img, _ := u.push(t, "team/both:1", 300_000, 2)
	late, lateImg, _ := u.push(t, "team/late:1", 300_000, 2)
	m.with(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) })
	write(t, m.host+"/team/both:1", img)
	write(t, m.host+"/team/late:1", lateImg)
	m.with(basicAuth)
	pulls := func(image string, fromMirror, fromRegistry int64) {
		t.Helper()
		u.blobs.Store(0)
		m.blobs.Store(0)
		if err := b.pull(ctx, image); err != nil {
			t.Fatalf("%s: %v", image, err)
		}
		if gotM, gotU := m.blobs.Load() >= size/2, u.blobs.Load() >= size/2; gotM != (fromMirror > 0) || gotU != (fromRegistry > 0) {
			t.Errorf("%s: %d bytes came from the mirror and %d from the registry", image, m.blobs.Load(), u.blobs.Load())
		}
	}
	pulls(both, 1, 0)
	pulls(only, 0, 1)
	m.CloseClientConnections()
	m.Close()
	pulls(late, 0, 1)

	none := strings.Replace(late, "late", "none", 1)
	err := b.pull(ctx, none)
	for _, want := range []string{"the mirror " + m.URL + " refuses connections", "registry " + u.host + " has no such image or tag"} {
		if !errors.Is(err, app.ErrImage) || !strings.Contains(fmt.Sprint(err), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
}

// A registry that takes connections and says nothing is given up in time, with a
// sentence; a mirror soon enough for the registry to be asked.
func TestSilence(t *testing.T) {
	silent, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer silent.Close()
	u, b := newUpstream(t), newBrain(t, t.TempDir())
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	_, err = b.Resolve(ctx, silent.Addr().String()+"/web:1", app.Login{})
	if want := "does not answer in time"; !errors.Is(err, app.ErrImage) || !strings.Contains(fmt.Sprint(err), want) {
		t.Errorf("got %v, want %q", err, want)
	}

	image, _, _ := u.push(t, "team/web:1", 10_000, 1)
	if err := b.settings.Put(app.Registry{Host: u.host, Mirror: "http://" + silent.Addr().String()}); err != nil {
		t.Fatal(err)
	}
	if err := b.pull(within(t, time.Minute), image); err != nil {
		t.Errorf("with a mirror that says nothing: %v", err)
	}
}
