package images_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-containerregistry/pkg/name"
	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/random"
	"github.com/google/go-containerregistry/pkg/v1/remote"
	"github.com/google/go-containerregistry/pkg/v1/types"

	"lattice/app"
	"lattice/images"
)

// Whatever a registry makes of its answers, an image comes whole, its layers
// once, and is there when the registry is gone.
func TestPullThroughADifficultRegistry(t *testing.T) {
	var n atomic.Int64 // spoiled answers so far
	first := func(f func(http.ResponseWriter, *http.Request, http.Handler)) func(http.ResponseWriter, *http.Request, http.Handler) {
		seen := sync.Map{}
		return func(w http.ResponseWriter, r *http.Request, next http.Handler) {
			if _, again := seen.LoadOrStore(r.Method+r.URL.Path, true); again {
				next.ServeHTTP(w, r)
				return
			}
			n.Add(1)
			f(w, r, next)
		}
	}
	mirror := newUpstream(t) // layers are redirected to it
	for _, tt := range []struct {
		name  string
		spoil func(u *upstream) func(http.ResponseWriter, *http.Request, http.Handler)
		most  float64 // of the image, that may leave the registry
	}{
		{"nothing is wrong", nil, 1},
		{"503 at first", func(*upstream) func(http.ResponseWriter, *http.Request, http.Handler) {
			return first(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.WriteHeader(http.StatusServiceUnavailable)
			})
		}, 1},
		{"too many requests at first", func(*upstream) func(http.ResponseWriter, *http.Request, http.Handler) {
			return first(func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
				w.WriteHeader(http.StatusTooManyRequests)
			})
		}, 1},
		{"layers break off", func(*upstream) func(http.ResponseWriter, *http.Request, http.Handler) {
			return onlyBlobs(first(func(w http.ResponseWriter, r *http.Request, next http.Handler) { cutAfter(w, r, next, 100_000) }))
		}, 1.01},
		{"layers break off, and begin anew", func(*upstream) func(http.ResponseWriter, *http.Request, http.Handler) {
			return onlyBlobs(first(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
				cutAfter(w, r, next, 100_000)
			}))
		}, 2},
		{"layers are elsewhere", func(u *upstream) func(http.ResponseWriter, *http.Request, http.Handler) {
			return onlyBlobs(func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
				if r.Header.Get("Authorization") != "" {
					t.Error("credentials go where the layers are")
				}
				n.Add(1)
				http.Redirect(w, r, mirror.URL+strings.Replace(r.URL.Path, "/v2/team", "/v2/mirror", 1), http.StatusTemporaryRedirect)
			})
		}, 0.01},
	} {
		t.Run(tt.name, func(t *testing.T) {
			u, b, ctx := newUpstream(t), newBrain(t, t.TempDir()), within(t, time.Minute)
			image, img, size := u.push(t, "team/web:1", 300_000, 3)
			write(t, mirror.host+"/mirror/web:1", img)
			n.Store(0)
			if tt.spoil != nil {
				spoil := tt.spoil(u)
				if strings.HasSuffix(tt.name, "anew") {
					inner := spoil
					spoil = func(w http.ResponseWriter, r *http.Request, next http.Handler) {
						r.Header.Del("Range")
						inner(w, r, next)
					}
				}
				u.with(spoil)
			}
			if err := b.pull(ctx, image); err != nil {
				t.Fatal(err)
			}
			if n.Load() == 0 && tt.spoil != nil {
				t.Error("nothing was spoiled")
			}
			if got := float64(u.blobs.Load()) / float64(size); got > tt.most {
				t.Errorf("%.2f of the image left the registry, want at most %.2f", got, tt.most)
			}
			u.CloseClientConnections()
			u.Close()
			if err := b.pull(ctx, image); err != nil {
				t.Errorf("with the registry gone: %v", err)
			}
		})
	}
}

// Basic and token authentication: with the registry's login, with one given, and
// what is said when they are wrong.
func TestLogins(t *testing.T) {
	tokens := func(w http.ResponseWriter, r *http.Request) {
		if user, password, _ := r.BasicAuth(); user != "me" || password != "s3cret" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]string{"token": "t0ken:" + r.URL.Query().Get("scope")})
	}
	token := func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		if r.URL.Path == "/token" {
			tokens(w, r)
			return
		}
		if got := r.Header.Get("Authorization"); !strings.HasPrefix(got, "Bearer t0ken:repository:private/web:pull") && r.URL.Path != "/v2/" || got == "" {
			w.Header().Set("WWW-Authenticate", fmt.Sprintf(`Bearer realm="http://%s/token",service="test",scope="repository:private/web:pull"`, r.Host))
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		next.ServeHTTP(w, r)
	}
	for how, auth := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){"basic": basicAuth, "token": token} {
		t.Run(how, func(t *testing.T) {
			u, b, ctx := newUpstream(t), newBrain(t, t.TempDir()), within(t, time.Minute)
			image, _, _ := u.push(t, "private/web:1", 10_000, 2)
			u.with(auth)
			refused := func(ctx context.Context, want string) {
				t.Helper()
				err := b.pull(ctx, image)
				if !errors.Is(err, app.ErrImage) || !strings.Contains(fmt.Sprint(err), want) || strings.Contains(fmt.Sprint(err), "wr0ng") {
					t.Errorf("got %v, want %q", err, want)
				}
			}
			refused(ctx, "needs a login")
			refused(app.WithLogin(ctx, app.Login{Username: "me", Password: "wr0ng"}), "password is wrong")
			if err := b.settings.Greet(ctx, app.Registry{Host: u.host, Username: "me", Password: "wr0ng"}); err == nil {
				t.Error("a wrong password is good enough for the greeting")
			}

			// One app's own, for its image and no other.
			given := app.WithLogin(ctx, app.Login{Username: "me", Password: "s3cret"})
			if _, err := b.Resolve(given, image, app.LoginOf(given)); err != nil {
				t.Fatal(err)
			}
			undo, err := b.settings.SetLogin("app web", image, app.LoginOf(given))
			if err != nil {
				t.Fatal(err)
			}
			if err := b.pull(ctx, image); err != nil {
				t.Error(err)
			}
			if err := undo(); err != nil {
				t.Fatal(err)
			}

			fresh := newBrain(t, t.TempDir())
			if err := fresh.settings.Put(app.Registry{Host: u.host, Username: "me", Password: "s3cret"}); err != nil {
				t.Fatal(err)
			}
			if err := fresh.pull(ctx, image); err != nil {
				t.Error(err)
			}
		})
	}
}

// All kinds of images go through: an index, Docker's schema 2, layers in zstd.
// What is pruned goes whole.
func TestKindsOfImages(t *testing.T) {
	u, b, ctx := newUpstream(t), newBrain(t, t.TempDir()), within(t, time.Minute)
	zstd, err := random.Image(20_000, 2, random.WithSource(newSource()))
	if err != nil {
		t.Fatal(err)
	}
	layer, err := random.Layer(20_000, types.OCILayerZStd)
	if err != nil {
		t.Fatal(err)
	}
	oci := mutate.MediaType(mutate.ConfigMediaType(zstd, types.OCIConfigJSON), types.OCIManifestSchema1)
	if oci, err = mutate.Append(oci, mutate.Addendum{Layer: layer, MediaType: types.OCILayerZStd}); err != nil {
		t.Fatal(err)
	}
	write(t, u.host+"/team/zstd:1", oci)
	write(t, u.host+"/team/docker:1", zstd)

	here, err := random.Image(20_000, 1)
	if err != nil {
		t.Fatal(err)
	}
	other, err := random.Image(20_000, 1)
	if err != nil {
		t.Fatal(err)
	}
	index := mutate.AppendManifests(mutate.IndexMediaType(empty.Index, types.OCIImageIndex),
		mutate.IndexAddendum{Add: here, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "amd64"}}},
		mutate.IndexAddendum{Add: other, Descriptor: v1.Descriptor{Platform: &v1.Platform{OS: "linux", Architecture: "s390x"}}})
	ref, err := name.ParseReference(u.host + "/team/many:1")
	if err != nil {
		t.Fatal(err)
	}
	if err := remote.WriteIndex(ref, index); err != nil {
		t.Fatal(err)
	}

	for _, kind := range []string{"zstd", "docker", "many"} {
		if err := b.pull(ctx, u.host+"/team/"+kind+":1"); err != nil {
			t.Errorf("%s: %v", kind, err)
		}
	}
	all, err := b.List(ctx)
	if err != nil || len(all) != 3 {
		t.Fatalf("list: %+v %v", all, err)
	}
	for _, i := range all {
		if !i.Cached || i.Bytes == 0 || len(i.Tags) != 1 || i.UsedAt.IsZero() {
			t.Errorf("listed: %+v", i)
		}
	}
	b.users[images.Key(u.host+"/team/many:1", all[1].Digest)] = []string{"web"}
	for _, i := range all {
		if strings.HasSuffix(i.Name, "/many") {
			b.users = map[string][]string{images.Key(i.Name, i.Digest): {"web"}}
		}
	}
	p, err := b.Prune(ctx, images.Rule{DryRun: true})
	if err != nil || len(p.Images) != 2 {
		t.Errorf("dry run: %+v %v", p, err)
	}
	if p, err = b.Prune(ctx, images.Rule{}); err != nil || len(p.Images) != 2 || p.Bytes == 0 {
		t.Errorf("prune: %+v %v", p, err)
	}
	if all, err = b.List(ctx); err != nil || len(all) != 1 || all[0].UsedBy[0] != "web" {
		t.Errorf("after prune: %+v %v", all, err)
	}
	u.Close()
	if err := b.pull(ctx, u.host+"/team/many:1"); err != nil {
		t.Errorf("what is in use was pruned: %v", err)
	}
}

// Who asks while a layer is on its way gets what has come so far, and the layer
// crosses the internet once.
func TestAllAreSentWhatComes(t *testing.T) {
	u, b, ctx := newUpstream(t), newBrain(t, t.TempDir()), within(t, time.Minute)
	image, img, size := u.push(t, "team/web:1", 1_000_000, 1)
	goOn := make(chan struct{})
	u.with(onlyBlobs(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		rec := httptest.NewRecorder()
		next.ServeHTTP(rec, r)
		w.Header().Set("Content-Length", fmt.Sprint(rec.Body.Len()))
		half := rec.Body.Len() / 2
		_, _ = w.Write(rec.Body.Next(half))
		_ = http.NewResponseController(w).Flush()
		<-goOn
		_, _ = w.Write(rec.Body.Bytes())
	}))
	if _, err := b.Resolve(ctx, image, app.Login{}); err != nil {
		t.Fatal(err)
	}
	_, dgst, path := firstLayer(t, image, img)
	const many = 5
	var halves, all sync.WaitGroup
	halves.Add(many)
	for range many {
		all.Go(func() {
			resp, err := http.Get("http://" + b.host + "/v2/" + strings.TrimSuffix(path, ":1") + "/blobs/" + dgst.String())
			if err != nil {
				t.Error(err)
				halves.Done()
				return
			}
			defer resp.Body.Close()
			if _, err := io.CopyN(io.Discard, resp.Body, 400_000); err != nil {
				t.Errorf("the first half: %v", err)
			}
			halves.Done()
			n, err := io.Copy(io.Discard, resp.Body)
			if err != nil || n+400_000 != resp.ContentLength {
				t.Errorf("the rest: %d bytes of %d, %v", n, resp.ContentLength, err)
			}
		})
	}
	halves.Wait() // before the registry has sent the rest
	close(goOn)
	all.Wait()
	if got := u.blobs.Load(); got > size {
		t.Errorf("%d bytes left the registry, the image has %d", got, size)
	}
}

// A registry that dies in mid-pull gives an error to all who wait, and nothing of
// it stays.
func TestRegistryDiesInMidPull(t *testing.T) {
	dir := t.TempDir()
	u, b, ctx := newUpstream(t), newBrain(t, dir), within(t, time.Minute)
	image, _, _ := u.push(t, "team/web:1", 500_000, 1)
	if _, err := b.Resolve(ctx, image, app.Login{}); err != nil {
		t.Fatal(err)
	}
	u.with(onlyBlobs(func(w http.ResponseWriter, r *http.Request, next http.Handler) {
		go u.Listener.Close()
		cutAfter(w, r, next, 200_000)
	}))
	if err := b.pull(ctx, image); err == nil {
		t.Error("the image came whole")
	}
	if left := found(t, filepath.Join(dir, "incoming"), anyFile); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
	if blobs := found(t, dir, isBlob); len(blobs) != 1 { // the manifest
		t.Errorf("stored: %v", blobs)
	}
}

// A cell that asks for a layer that another one was sent is told of that one, but
// for small ones, and for its own.
func TestCellsAreToldOfOthers(t *testing.T) {
	u, b, ctx := newUpstream(t), newBrain(t, t.TempDir()), within(t, time.Minute)
	image, img, _ := u.push(t, "team/web:1", 600_000, 1)
	if _, err := b.Resolve(ctx, image, app.Login{}); err != nil {
		t.Fatal(err)
	}
	_, dgst, path := firstLayer(t, image, img)
	config, err := img.ConfigName()
	if err != nil {
		t.Fatal(err)
	}
	ask := func(cell, dgst string, takes bool) (int, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.host+"/v2/"+path+"/blobs/"+dgst, nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("X-Test-Cell", cell)
		if takes {
			req.Header.Set(app.LayersHeader, "take")
		}
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			t.Fatal(err)
		}
		return resp.StatusCode, resp.Header.Get(app.LayersHeader)
	}
	for _, d := range []string{dgst.String(), config.String()} {
		if code, at := ask("a", d, true); code != 200 || at != "" {
			t.Errorf("nobody has it: %d %q", code, at)
		}
	}
	deadline := time.Now().Add(30 * time.Second)
	for {
		code, at := ask("b", dgst.String(), true)
		if code == http.StatusSeeOther && at == "a:7947" {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("a has it: %d %q", code, at)
		}
		time.Sleep(100 * time.Millisecond)
	}
	for what, got := range map[string]func() (int, string){
		"a itself":         func() (int, string) { return ask("a", dgst.String(), true) },
		"who can't take":   func() (int, string) { return ask("c", dgst.String(), false) },
		"a user":           func() (int, string) { return ask("", dgst.String(), true) },
		"a small one of b": func() (int, string) { return ask("b", config.String(), true) },
	} {
		if code, at := got(); what != "a itself" && (code != 200 || at != "") || strings.Contains(at, "a:") {
			t.Errorf("%s: %d %q", what, code, at)
		}
	}
}

// newSource gives the same bytes in every run.
func newSource() *fixed { return &fixed{seed: 42} }

type fixed struct{ seed uint64 }

func (f *fixed) Int63() int64 { return int64(f.Uint64() >> 1) }
func (f *fixed) Uint64() uint64 {
	f.seed = f.seed*6364136223846793005 + 1442695040888963407
	return f.seed
}
func (f *fixed) Seed(int64) {}

// A password in an answer of ours would be found by this.
func TestNothingTellsAPassword(t *testing.T) {
	dir := t.TempDir()
	b := newBrain(t, dir)
	if err := b.settings.Put(app.Registry{Host: "private.lan", Username: "me", Password: "s3cret"}); err != nil {
		t.Fatal(err)
	}
	if _, err := b.settings.SetLogin("app web", "private.lan/web", app.Login{Username: "you", Password: "s3cret"}); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(filepath.Join(dir, "registries.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, text := range [][]byte{data, fmt.Appendf(nil, "%+v", b.settings.List()), fmt.Appendf(nil, "%v", app.Login{Username: "me", Password: "s3cret"})} {
		if bytes.Contains(text, []byte("s3cret")) || bytes.Contains(text, []byte(base64.StdEncoding.EncodeToString([]byte("s3cret")))) {
			t.Errorf("a password in clear: %s", text)
		}
	}
}
