package images_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/opencontainers/go-digest"

	"lattice/images"
)

// found returns the files below dir that pick wants.
func found(t *testing.T, dir string, pick func(path string) bool) (files []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(p string, d os.DirEntry, err error) error {
		if err == nil && !d.IsDir() && pick(p) {
			files = append(files, p)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return files
}

func anyFile(string) bool { return true }

func isBlob(path string) bool {
	return filepath.Base(path) == "data" && strings.Contains(path, "/blobs/")
}

// until waits for a condition that takes a moment.
func until(ctx context.Context, t *testing.T, what string, cond func() bool) {
	t.Helper()
	for !cond() {
		select {
		case <-ctx.Done():
			t.Fatalf("never: %s", what)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// What was sent is not at once on the disk for good. It is listed as whole all the
// same, is kept by and by, and when the brain ends before.
func TestKept(t *testing.T) {
	for _, tt := range []struct {
		name string
		end  bool
	}{{"after a while", false}, {"at the end", true}} {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			u, b, ctx := newUpstream(t), newBrain(t, dir), within(t, time.Minute)
			image, _, _ := u.push(t, "team/web:1", 300_000, 3)
			if err := b.pull(ctx, image); err != nil {
				t.Fatal(err)
			}
			u.Close()
			if list, err := b.List(ctx); err != nil || len(list) != 1 || list[0].Partial {
				t.Errorf("just pulled: %+v %v", list, err)
			}
			if tt.end {
				if err := b.Close(); err != nil {
					t.Fatal(err)
				}
			} else {
				until(ctx, t, "all is kept", func() bool { return len(found(t, filepath.Join(dir, "incoming"), anyFile)) == 0 })
			}
			if n := len(found(t, dir, isBlob)); n != 5 { // the manifest, the config and three layers
				t.Errorf("%d blobs are kept", n)
			}
			again := newBrain(t, dir)
			if err := again.pull(ctx, image); err != nil {
				t.Errorf("after a new start: %v", err)
			}
		})
	}
}

// What is not what was asked for stays nowhere, and comes anew.
func TestSpoiledLayerIsNotKept(t *testing.T) {
	dir := t.TempDir()
	u, b, ctx := newUpstream(t), newBrain(t, dir), within(t, time.Minute)
	image, _, _ := u.push(t, "team/web:1", 300_000, 1)
	u.with(onlyBlobs(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		body := rec.Body.Bytes()
		body[len(body)/2] ^= 1
		_, _ = w.Write(body)
	}))
	if err := b.pull(ctx, image); err == nil {
		t.Error("it was taken for what was asked for")
	}
	until(ctx, t, "it is deleted", func() bool { return len(found(t, filepath.Join(dir, "incoming"), anyFile)) == 0 })
	if blobs := found(t, dir, isBlob); len(blobs) != 1 { // the manifest
		t.Errorf("stored: %v", blobs)
	}
	u.with(func(w http.ResponseWriter, r *http.Request, next http.Handler) { next.ServeHTTP(w, r) })
	if err := b.pull(ctx, image); err != nil {
		t.Errorf("from a registry that is well again: %v", err)
	}
}

// What a brain that was killed had not kept is in nobody's way.
func TestLeftovers(t *testing.T) {
	dir := t.TempDir()
	left := filepath.Join(dir, "incoming", "123")
	if err := os.MkdirAll(filepath.Dir(left), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(left, []byte("half of a layer"), 0o600); err != nil {
		t.Fatal(err)
	}
	newBrain(t, dir)
	if files := found(t, filepath.Dir(left), anyFile); len(files) > 0 {
		t.Errorf("left behind: %v", files)
	}
}

// A name that is none, which would lead elsewhere on the disk, is not fetched.
func TestNoNameOfARepository(t *testing.T) {
	dir := t.TempDir()
	u, b, ctx := newUpstream(t), newBrain(t, dir), within(t, time.Minute)
	image, _, _ := u.push(t, "team/web:1", 1000, 1)
	if err := b.pull(ctx, image); err != nil {
		t.Fatal(err)
	}
	path, err := images.Path(image)
	if err != nil {
		t.Fatal(err)
	}
	host, _, _ := strings.Cut(path, "/")
	u.with(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { _, _ = w.Write([]byte("evil")) })
	srv := strings.TrimPrefix(b.host, "http://")
	conn, err := net.Dial("tcp", srv)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprintf(conn, "GET /v2/%s/../../evil/blobs/%s HTTP/1.1\r\nHost: x\r\n\r\n", host, digest.FromString("evil"))
	res, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != http.StatusNotFound {
		t.Errorf("the answer is %s", res.Status)
	}
}

// A pull that broke off goes on with the rest of a layer that is kept, which only
// the repositories that it belongs to have.
func TestRestOfWhatIsKept(t *testing.T) {
	u, b, ctx := newUpstream(t), newBrain(t, t.TempDir()), within(t, time.Minute)
	image, img, _ := u.push(t, "team/web:1", 600_000, 1)
	if err := b.pull(ctx, image); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil { // keeps it
		t.Fatal(err)
	}
	u.Close()
	layer, dgst, path := firstLayer(t, image, img)
	whole, err := layer.Compressed()
	if err != nil {
		t.Fatal(err)
	}
	want, err := io.ReadAll(whole)
	if err != nil {
		t.Fatal(err)
	}
	get := func(repo string, from int) (int, []byte) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.host+"/v2/"+repo+"/blobs/"+dgst.String(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Range", fmt.Sprintf("bytes=%d-", from))
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		got, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, got
	}
	for _, from := range []int{0, 1, 200_000, len(want) - 1} {
		if code, got := get(path, from); code != http.StatusPartialContent || !bytes.Equal(got, want[from:]) {
			t.Errorf("from %d: %d, %d bytes of %d", from, code, len(got), len(want)-from)
		}
	}
	if code, _ := get("other", 0); code != http.StatusNotFound {
		t.Errorf("another repository has it: %d", code)
	}
}
