package images

import (
	"strings"

	"github.com/distribution/reference"

	"lattice/app"
)

// A ref is an image in a registry.
type ref struct {
	host   string // of another registry, as reference.Domain has it; empty: it is our own
	repo   string // path in that registry
	tag    string // empty: digest is there
	digest string // sha256:…; empty: whatever tag leads to
}

// parse reads what a user writes. An image of ours starts with
// app.ClusterImages.
func parse(text string) (ref, error) {
	named, err := reference.ParseDockerRef(app.FullImage(text))
	if err != nil {
		return ref{}, app.Invalid("the image %.200q is no name of an image: %v", text, err)
	}
	r := ref{host: reference.Domain(named), repo: reference.Path(named)}
	if r.host == app.ClusterHost {
		r.host = ""
	}
	if _, ok := dirHost(hostDir(r.host)); r.host != "" && !ok || strings.HasPrefix(r.host, "[") {
		return ref{}, app.Invalid("the image %.200q names a registry %q: a registry is written as a name with a dot, with a port or as localhost", text, r.host)
	}
	if t, ok := named.(reference.Tagged); ok {
		r.tag = t.Tag()
	}
	if d, ok := named.(reference.Digested); ok {
		r.digest = d.Digest().String()
	}
	return r, nil
}

// target is what comes behind the name in a registry's paths.
func (r ref) target() string {
	if r.digest != "" {
		return r.digest
	}
	return r.tag
}

// name is how a user names it, without tag and digest.
func (r ref) name() string {
	switch r.host {
	case "":
		return app.ClusterImages + r.repo
	case "docker.io":
		return strings.TrimPrefix(r.repo, "library/")
	}
	return r.host + "/" + r.repo
}

func (r ref) String() string {
	if r.digest != "" {
		return r.name() + "@" + r.digest
	}
	return r.name() + ":" + r.tag
}

// stored is the name of its repository here: what comes from another registry
// is under the name of that.
func (r ref) stored() string {
	if r.host == "" {
		return r.repo
	}
	return hostDir(r.host) + "/" + r.repo
}

// Path returns where an image that a user names is in the registry of the brain,
// as NAME of /v2/NAME/manifests/….
func Path(image string) (string, error) {
	r, err := parse(image)
	return r.stored(), err
}

// fromStored is the reverse of stored.
func fromStored(name string) ref {
	first, rest, ok := strings.Cut(name, "/")
	if host, is := dirHost(first); ok && is {
		return ref{host: host, repo: rest}
	}
	return ref{repo: name}
}

// hostDir makes the first part of a repository's name of a host: a colon may
// not be in it, and an underscore is in no host.
func hostDir(host string) string { return strings.Replace(strings.ToLower(host), ":", "_", 1) }

// dirHost is the reverse of hostDir; ok is false for what is no host.
func dirHost(dir string) (host string, ok bool) {
	h, port, hasPort := strings.Cut(dir, "_")
	if hasPort && port != "" && strings.Trim(port, "0123456789") == "" {
		return h + ":" + port, true
	}
	return dir, dir == "localhost" || strings.Contains(dir, ".")
}
