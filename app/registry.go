package app

import (
	"context"
	"net/url"
	"strings"
	"time"
)

// ClusterImages starts the names of images that are in the cluster's own
// registry.
const ClusterImages = "cluster/"

// ClusterHost stands for the host of such an image where a host is needed.
const ClusterHost = "cluster.invalid"

// FullImage returns the name of an image with a host in front where it would be
// taken for one of Docker's registry.
func FullImage(image string) string {
	if rest, own := strings.CutPrefix(image, ClusterImages); own {
		return ClusterHost + "/" + rest
	}
	return image
}

// LayersHeader is how a cell that asks the brain for a layer says that it takes it
// from another cell as well, and how the brain names those that have it, as
// HOST:PORT with commas.
const LayersHeader = "X-Lattice-Layers"

// LayersPath is where a cell gives layers to others; the digest comes behind it.
const LayersPath = "/layers/"

// A Registry is what the brain knows of a registry from which it pulls.
type Registry struct {
	Host      string `json:"host"`                 // host or host:port, as it starts the names of images
	Username  string `json:"username,omitempty"`   // empty: nobody in particular
	Password  string `json:"password,omitempty"`   // on its way to the brain only; never in an answer
	PlainHTTP bool   `json:"plain_http,omitempty"` // without TLS; loopback addresses are tried without it anyway
	Insecure  bool   `json:"insecure,omitempty"`   // whose certificate it shows is not looked at
	CA        string `json:"ca,omitempty"`         // certificates in PEM that sign its own; empty: the system's
	Mirror    string `json:"mirror,omitempty"`     // URL that is asked first, with the same names; user and password are for that then
}

// RegistryHost writes a host as it is in the names of images.
func RegistryHost(host string) string {
	host = strings.ToLower(strings.TrimSpace(host))
	if host == "index.docker.io" || host == "registry-1.docker.io" {
		return "docker.io"
	}
	return host
}

// Validate returns what is wrong with r, as ErrInvalid.
func (r Registry) Validate() error {
	host := strings.TrimSpace(r.Host)
	switch u, err := url.Parse("https://" + host); {
	case host == "" || err != nil || u.Host != host || u.Hostname() == "":
		return Invalid("the registry %.100q is no host: write it as it starts the names of images, such as registry.example.com or 10.0.0.5:5000", r.Host)
	case r.Username == "" && r.Password != "":
		return Invalid("the password of %s has no user name with it", host)
	case r.PlainHTTP && (r.Insecure || r.CA != ""):
		return Invalid("%s is to be asked without TLS: then neither a CA nor --insecure makes sense", host)
	}
	if r.Mirror == "" {
		return nil
	}
	if u, err := url.Parse(r.Mirror); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" || u.User != nil || strings.Trim(u.Path, "/") != "" {
		return Invalid("the mirror %.100q of %s must be http://HOST[:PORT] or https://HOST[:PORT]", r.Mirror, host)
	}
	return nil
}

// A Login is what the image of one app, task or schedule is pulled with. It is a
// secret.
type Login struct{ Username, Password string }

// String hides the password.
func (l Login) String() string { return l.Username }

type loginKey struct{}

// WithLogin returns a context for what is to be created, or changed, with a
// login for its image.
func WithLogin(ctx context.Context, l Login) context.Context {
	return context.WithValue(ctx, loginKey{}, l)
}

// LoginOf returns the login that came with what ctx is for; a zero one: none.
func LoginOf(ctx context.Context) Login {
	l, _ := ctx.Value(loginKey{}).(Login)
	return l
}

// A StoredImage is an image that the brain's registry has.
type StoredImage struct {
	Name    string      `json:"name"`              // as an app names it, without the digest
	Digest  string      `json:"digest"`            // sha256:…
	Tags    []string    `json:"tags,omitempty"`    // that lead to it now
	Bytes   int64       `json:"bytes"`             // of its layers, compressed; those that others have as well included
	UsedAt  time.Time   `json:"used_at,omitzero"`  // when a cell or a user last asked for it
	UsedBy  []string    `json:"used_by,omitempty"` // apps that run it, or can go back to it
	Cached  bool        `json:"cached,omitempty"`  // it came from another registry and can be had again
	Built   *BuiltImage `json:"built,omitempty"`   // nil: it was not built here
	Partial bool        `json:"partial,omitempty"` // some of its layers are not here: no cell wanted them yet
	Cells   []string    `json:"cells,omitempty"`   // that have it, of those they used last
}

// A Pruning is what the removal of images that nobody uses has freed.
type Pruning struct {
	Images []StoredImage `json:"images"` // that are gone, or with a dry run would be
	Bytes  int64         `json:"bytes"`  // that were freed on the brain's disk
	Cells  []string      `json:"cells"`  // that delete theirs as well, by and by
}
