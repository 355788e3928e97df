package api

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/gin-gonic/gin"

	"lattice/app"
)

// Images is the brain's registry, and what it knows of others. All methods may
// be called concurrently.
type Images interface {
	Registries() []app.Registry // by host, without passwords

	// PutRegistry adds a registry or changes the one of its host. With check it
	// is greeted first, and what it says to its user is the error.
	PutRegistry(ctx context.Context, r app.Registry, check bool) error

	// RemoveRegistry is ErrNotFound if there is none of that host.
	RemoveRegistry(ctx context.Context, host string) error

	// Allowed has the patterns of images that may run; none: all may.
	Allowed() []string
	SetAllowed(ctx context.Context, patterns []string) error

	Images(ctx context.Context) ([]app.StoredImage, error) // by name
	Prune(ctx context.Context, r PruneRequest) (app.Pruning, error)
}

// Allowed says which images may run.
type Allowed struct {
	Patterns []string `json:"patterns"` // * is anything but a slash, ** at the end anything; none: all may
}

// A PruneRequest says which images are to be deleted. What an app needs stays.
type PruneRequest struct {
	Unused app.Duration `json:"unused"`            // that nobody asked for so long
	Own    bool         `json:"own,omitempty"`     // also those that were pushed and have a tag
	Only   string       `json:"only,omitempty"`    // image of this name, and cells delete nothing
	DryRun bool         `json:"dry_run,omitempty"` // only tell
}

func (s *server) listRegistries(c *gin.Context) {
	s.answer(c, http.StatusOK, some(s.cfg.Images.Registries()))
}

func (s *server) putRegistry(c *gin.Context) {
	var r app.Registry
	err := readStrict(c, &r)
	if err == nil && r.Host == "" {
		r.Host = c.Param("host")
	}
	if err == nil && r.Host != c.Param("host") {
		err = app.Invalid("the path names the registry %.100q and the body %.100q", c.Param("host"), r.Host)
	}
	check, flagErr := flag(c, "check")
	if err = errors.Join(err, flagErr); err == nil {
		err = s.cfg.Images.PutRegistry(c.Request.Context(), r, check)
	}
	s.noContent(c, err)
}

func (s *server) removeRegistry(c *gin.Context) {
	s.noContent(c, s.cfg.Images.RemoveRegistry(c.Request.Context(), c.Param("host")))
}

// loginHeader has what an image is pulled with, as basic authentication has it.
const loginHeader = "X-Registry-Authorization"

// withLogin returns the context of a request that names an image, with the login
// that came in its header.
func withLogin(c *gin.Context) (context.Context, error) {
	ctx, text := c.Request.Context(), c.GetHeader(loginHeader)
	if text == "" {
		return ctx, nil
	}
	as := http.Request{Header: http.Header{"Authorization": {text}}}
	name, password, ok := as.BasicAuth()
	if !ok || name == "" {
		return ctx, app.Invalid("the header %s must be as for basic authentication, with a user name", loginHeader)
	}
	return app.WithLogin(ctx, app.Login{Username: name, Password: password}), nil
}

// setLogin puts the login that ctx has, if any, into the header of a request.
func setLogin(ctx context.Context, r *http.Request) {
	if l := app.LoginOf(ctx); l.Username != "" {
		as := http.Request{Header: http.Header{}}
		as.SetBasicAuth(l.Username, l.Password)
		r.Header.Set(loginHeader, as.Header.Get("Authorization"))
	}
}

func (s *server) listAllowed(c *gin.Context) {
	s.answer(c, http.StatusOK, Allowed{some(s.cfg.Images.Allowed())})
}

func (s *server) setAllowed(c *gin.Context) {
	var a Allowed
	err := readStrict(c, &a)
	if err == nil {
		err = s.cfg.Images.SetAllowed(c.Request.Context(), a.Patterns)
	}
	s.noContent(c, err)
}

func (s *server) listImages(c *gin.Context) {
	list, err := s.cfg.Images.Images(c.Request.Context())
	s.done(c, http.StatusOK, some(list), err)
}

func (s *server) pruneImages(c *gin.Context) {
	var r PruneRequest
	err := readStrict(c, &r)
	if err == nil && r.Unused < 0 {
		err = app.Invalid("unused is %v: it must not be below 0", time.Duration(r.Unused))
	}
	var p app.Pruning
	if err == nil {
		p, err = s.cfg.Images.Prune(c.Request.Context(), r)
	}
	s.done(c, http.StatusOK, p, err)
}

// noContent answers that something was done, or with err if there is one.
func (s *server) noContent(c *gin.Context, err error) {
	if err != nil {
		s.fail(c, err)
		return
	}
	c.Status(http.StatusNoContent)
}

// Registries returns what the brain knows of registries, by host.
func (c *Client) Registries(ctx context.Context) ([]app.Registry, error) {
	return get[[]app.Registry](ctx, c, "/registries")
}

// PutRegistry adds a registry or changes the one of its host. With check it is
// greeted first.
func (c *Client) PutRegistry(ctx context.Context, r app.Registry, check bool) error {
	path := registryPath(r.Host)
	if check {
		path += "?check=true"
	}
	return c.call(ctx, http.MethodPut, path, r, nil)
}

// RemoveRegistry makes the brain forget a registry.
func (c *Client) RemoveRegistry(ctx context.Context, host string) error {
	return c.call(ctx, http.MethodDelete, registryPath(host), nil, nil)
}

// AllowedImages returns the patterns of images that may run; none: all may.
func (c *Client) AllowedImages(ctx context.Context) ([]string, error) {
	a, err := get[Allowed](ctx, c, "/images/allowed")
	return a.Patterns, err
}

// AllowImages replaces the patterns of images that may run.
func (c *Client) AllowImages(ctx context.Context, patterns []string) error {
	return c.call(ctx, http.MethodPut, "/images/allowed", Allowed{some(patterns)}, nil)
}

// Images returns what the brain's registry has, by name.
func (c *Client) Images(ctx context.Context) ([]app.StoredImage, error) {
	return get[[]app.StoredImage](ctx, c, "/images")
}

// PruneImages deletes images that no app needs.
func (c *Client) PruneImages(ctx context.Context, r PruneRequest) (app.Pruning, error) {
	var out app.Pruning
	err := c.call(ctx, http.MethodPost, "/images/prune", r, &out)
	return out, err
}

// Registry returns the URL of the brain's registry without its path, and the
// way there.
func (c *Client) Registry() (base *url.URL, via http.RoundTripper) {
	base, err := url.Parse(c.base)
	if err != nil { // NewClient has parsed it
		panic(err)
	}
	return base, c.http.Transport
}

func registryPath(host string) string { return "/registries/" + url.PathEscape(host) }
