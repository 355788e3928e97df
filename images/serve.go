package images

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"regexp"

	"github.com/google/go-containerregistry/pkg/v1/remote/transport"
	"github.com/opencontainers/go-digest"

	"lattice/app"
)

// paths of the registry's protocol that name a thing in a repository.
var thing, inRepository = regexp.MustCompile(`^/v2/(.+)/(manifests|blobs)/([^/]+)$`), regexp.MustCompile(`^/v2/(.+)/(manifests|blobs|tags|referrers)/`)

// Wanted returns the repository here that a request is about, or "" for none.
func Wanted(req *http.Request) string {
	m := inRepository.FindStringSubmatch(req.URL.Path)
	if m == nil {
		return ""
	}
	if ns := req.URL.Query().Get("ns"); ns != "" && ns != app.ClusterHost { // as containerd asks a mirror
		return ref{host: app.RegistryHost(ns), repo: m[1]}.stored()
	}
	return m[1]
}

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
	if in := Wanted(req); in != name {
		name = in
		req.URL.Path = "/v2/" + name + "/" + what + "/" + target
	}
	x := fromStored(name)
	var err error
	switch blob := what == "blobs" && req.Method == http.MethodGet; {
	case blob && r.hint(w, req, name, target):
		return
	case blob:
		defer r.sent(req, target)
		if x.host == "" || r.hasBlob(req.Context(), name, target) {
			break
		}
		var sent bool
		if sent, err = r.streamBlob(w, req, x, target); sent {
			return
		}
	case what == "manifests" && x.host != "":
		err = r.fillManifest(req.Context(), x, target)
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

// sent takes note of who has a layer now.
func (r *Registry) sent(req *http.Request, dgst string) {
	if req.Context().Err() == nil && req.Header.Get("Range") == "" {
		r.hold(dgst, r.cfg.Cell(req), settled)
	}
}

// push serves all else, but for writes among what was fetched from others.
func (r *Registry) push(w http.ResponseWriter, req *http.Request) {
	if m := inRepository.FindStringSubmatch(req.URL.Path); m != nil {
		if x := fromStored(m[1]); x.host != "" {
			refuse(w, http.StatusForbidden, "DENIED", app.Invalid("%s is the name of another registry: push as NAME or TEAM/NAME", x.host))
			return
		}
	}
	r.serve.ServeHTTP(w, req)
	if m := thing.FindStringSubmatch(req.URL.Path); m != nil && req.Method == http.MethodPut {
		r.noteBuilt(m[1], w.Header().Get("Docker-Content-Digest"), req)
	}
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

// hasBlob reports whether a blob is kept.
func (r *Registry) hasBlob(ctx context.Context, name, dgst string) bool {
	_, ok := r.statBlob(ctx, name, dgst)
	return ok
}

func (r *Registry) statBlob(ctx context.Context, name, dgst string) (size int64, ok bool) {
	repo, err := r.repository(ctx, name)
	if err != nil {
		return 0, false
	}
	d, err := repo.Blobs(ctx).Stat(ctx, digest.Digest(dgst))
	return d.Size, err == nil
}

// blobSize returns the size of a blob that is kept, or has come whole and will be.
func (r *Registry) blobSize(ctx context.Context, name, dgst string) (size int64, ok bool) {
	r.mu.Lock()
	f := r.fetches[name+"@"+dgst]
	r.mu.Unlock()
	if f != nil {
		if now, _ := f.look(); now.all {
			return now.came, true
		}
	}
	return r.statBlob(ctx, name, dgst)
}
