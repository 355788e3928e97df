package images

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"regexp"
	"strconv"

	"github.com/distribution/distribution/v3"
	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"

	"lattice/app"
)

// paths of the registry's protocol that name a thing in a repository.
var thing = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs)/([^/]+)$`)

// ServeHTTP serves what is here, and fetches what is not but could be.
func (r *Registry) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	push := req.Method != http.MethodGet && req.Method != http.MethodHead
	if err := r.cfg.Authorize(req, push); err != nil {
		w.Header().Set("WWW-Authenticate", `Basic realm="lattice"`)
		refuse(w, http.StatusUnauthorized, "UNAUTHORIZED", err)
		return
	}
	r.sweeping.RLock()
	defer r.sweeping.RUnlock()
	m := thing.FindStringSubmatch(req.URL.Path)
	if m == nil || push {
		r.push(w, req)
		return
	}
	name, what, target := m[1], m[2], m[3]
	if ns := req.URL.Query().Get("ns"); ns != "" && ns != app.ClusterHost { // as containerd asks a mirror
		name = ref{host: domain(ns), repo: name}.stored()
		req.URL.Path = "/v2/" + name + "/" + what + "/" + target
	}
	x := fromStored(name)
	var err error
	switch {
	case x.host == "":
	case what == "manifests":
		err = r.fillManifest(req.Context(), x, target)
	case req.Method == http.MethodGet && !r.hasBlob(req.Context(), name, target):
		var sent bool
		if sent, err = r.streamBlob(w, req, x, target); sent {
			return
		}
	}
	if err != nil {
		status, code := http.StatusBadGateway, "UNKNOWN"
		if errors.Is(err, app.ErrInvalid) || notThere(err) {
			status, code = http.StatusNotFound, "NAME_UNKNOWN"
		}
		refuse(w, status, code, err)
		return
	}
	if what == "manifests" && digest.Digest(target).Validate() == nil {
		r.use(name, target)
	}
	r.serve.ServeHTTP(w, req)
}

// push serves all else, but for writes among what was fetched from others.
func (r *Registry) push(w http.ResponseWriter, req *http.Request) {
	if m := regexp.MustCompile(`^/v2/(.+)/(manifests|blobs)/`).FindStringSubmatch(req.URL.Path); m != nil {
		if x := fromStored(m[1]); x.host != "" {
			refuse(w, http.StatusForbidden, "DENIED", app.Invalid("%s is the name of another registry: push as NAME or TEAM/NAME", x.host))
			return
		}
	}
	r.serve.ServeHTTP(w, req)
}

// refuse answers with an error as registries do.
func refuse(w http.ResponseWriter, status int, code string, err error) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	type item struct {
		Code    string `json:"code"`
		Message string `json:"message"`
	}
	_ = json.NewEncoder(w).Encode(map[string][]item{"errors": {{code, err.Error()}}}) // who asked may have gone away
}

// notThere reports whether err is a registry's word that there is no such thing.
func notThere(err error) bool {
	var status *transport.Error
	return errors.As(err, &status) && status.StatusCode == http.StatusNotFound
}

// denied reports whether err is a registry's word that we may not have it.
func denied(err error) bool {
	var status *transport.Error
	return errors.As(err, &status) && (status.StatusCode == http.StatusUnauthorized || status.StatusCode == http.StatusForbidden || status.StatusCode == http.StatusNotFound)
}

// fillManifest makes sure that a manifest is here.
func (r *Registry) fillManifest(ctx context.Context, x ref, target string) error {
	if digest.Digest(target).Validate() == nil {
		if x.digest = target; r.has(ctx, x.stored(), target) {
			return nil
		}
	} else {
		x.tag = target
	}
	_, err := r.ask(ctx, x, app.Login{})
	return err
}

func (r *Registry) hasBlob(ctx context.Context, name, dgst string) bool {
	repo, err := r.repository(ctx, name)
	if err != nil {
		return false
	}
	_, err = repo.Blobs(ctx).Stat(ctx, digest.Digest(dgst))
	return err == nil
}

// A fetch is a blob on its way here.
type fetch struct {
	done chan struct{}
	err  error // when done
}

// streamBlob fetches a blob. The first who asks gets it as it comes; others
// wait until it is here, and are not sent anything.
func (r *Registry) streamBlob(w http.ResponseWriter, req *http.Request, x ref, dgst string) (sent bool, err error) {
	if err := digest.Digest(dgst).Validate(); err != nil {
		return false, app.Invalid("%.100q is no digest", dgst)
	}
	key := x.stored() + "@" + dgst
	r.mu.Lock()
	f := r.fetches[key]
	if f != nil {
		r.mu.Unlock()
		select {
		case <-f.done:
			return false, f.err
		case <-req.Context().Done():
			return false, req.Context().Err()
		}
	}
	f = &fetch{done: make(chan struct{})}
	r.fetches[key] = f
	r.mu.Unlock()
	tap := &tap{w: w, gone: req.Context()}
	f.err = r.fetchBlob(context.WithoutCancel(req.Context()), x, dgst, tap)
	r.mu.Lock()
	delete(r.fetches, key)
	r.mu.Unlock()
	close(f.done)
	if f.err != nil && tap.began {
		panic(http.ErrAbortHandler) // cuts the connection, so that nobody takes it for whole
	}
	return tap.began, f.err
}

// fetchBlob brings a blob here, and copies it to tap on the way.
func (r *Registry) fetchBlob(ctx context.Context, x ref, dgst string, tap *tap) error {
	repo, err := r.repository(ctx, x.stored())
	if err != nil {
		return err
	}
	return r.from(ctx, x, app.Login{}, func(u *upstream) error {
		b, err := u.blob(ctx, dgst)
		if err != nil {
			return err
		}
		defer b.Close()
		to, err := repo.Blobs(ctx).Create(ctx)
		if err != nil {
			return err
		}
		defer to.Close()
		tap.begin(b.size, dgst)
		if _, err := io.CopyBuffer(io.MultiWriter(to, tap), b, make([]byte, 256<<10)); err != nil {
			return errors.Join(err, to.Cancel(ctx))
		}
		_, err = to.Commit(ctx, distribution.Descriptor{Digest: digest.Digest(dgst)})
		return err
	})
}

// A tap is the one who asked first. It may leave: what it wanted is fetched all
// the same.
type tap struct {
	w     http.ResponseWriter
	gone  context.Context
	began bool
	left  bool
}

func (t *tap) begin(size int64, dgst string) {
	if t.began { // a second source: what was sent can't be taken back
		t.left = true
		return
	}
	t.began = true
	h := t.w.Header()
	h.Set("Content-Type", "application/octet-stream")
	h.Set("Docker-Content-Digest", dgst)
	if size >= 0 {
		h.Set("Content-Length", strconv.FormatInt(size, 10))
	}
}

func (t *tap) Write(p []byte) (int, error) {
	if t.left || t.gone.Err() != nil {
		t.left = true
		return len(p), nil
	}
	if _, err := t.w.Write(p); err != nil {
		t.left = true
	}
	return len(p), nil
}
