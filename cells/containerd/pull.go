package containerd

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/distribution/reference"

	"lattice/app"
	"lattice/cells"
)

// bundledPrefix is put before the names of bundled images, so that none can be
// taken for one of a registry.
const bundledPrefix = "bundled/"

// Pull makes the image present and unpacked. The registry is always asked what
// the tag means now; when it can't say, an image that is here already is used.
func (r *Runtime) Pull(ctx context.Context, ref string, progress func(app.Pull)) (cells.Image, error) {
	asked := time.Now()
	open, bundled := r.cfg.Bundled[strings.TrimSuffix(ref, ":latest")]
	name := bundledPrefix + strings.TrimSuffix(ref, ":latest")
	if !bundled {
		named, err := reference.ParseDockerRef(ref)
		if err != nil {
			return cells.Image{}, &refError{ref, err.Error(), err}
		}
		name = named.String()
	}
	unlock, err := r.images.lock(ctx, name)
	if err != nil {
		return cells.Image{}, fmt.Errorf("wait for the pull of %s: %w", ref, err)
	}
	defer unlock()
	if i := r.images.get(name); i != nil && (bundled || i.at.After(asked)) {
		return i.Image, nil // somebody else pulled it while we waited
	}
	if err := r.images.failed(name, asked); err != nil {
		return cells.Image{}, err // somebody else tried while we waited
	}
	begun := time.Now()
	ctx, done, err := r.client.WithLease(r.context(ctx))
	if err != nil {
		return cells.Image{}, fmt.Errorf("hold image %s: %w", ref, err)
	}
	defer done(context.WithoutCancel(ctx))
	var i *image
	if bundled {
		i, err = r.unpackBundled(ctx, name, open)
	} else {
		i, err = r.pull(ctx, name, newProgress(progress))
	}
	if err != nil {
		if ctx.Err() == nil { // else it is only ours
			r.images.fail(name, begun, err)
		}
		return cells.Image{}, err
	}
	return i.Image, nil
}

func (r *Runtime) pull(ctx context.Context, name string, p *progress) (*image, error) {
	img, err := r.client.Pull(ctx, name,
		client.WithPullUnpack,
		client.WithPullSnapshotter(r.snapshotter),
		client.WithResolver(countingResolver{r.resolver(), p}),
		client.WithImageHandlerWrapper(p.expect(r.client.ContentStore())),
	)
	if err == nil {
		p.finish()
		return r.describe(ctx, img)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("pull %s: %w", name, ctx.Err())
	}
	err = imageError(name, err)
	old, oldErr := r.client.GetImage(ctx, name)
	if oldErr != nil {
		return nil, err
	}
	i, oldErr := r.describe(ctx, old)
	if oldErr != nil {
		return nil, err
	}
	r.cfg.Log.Warn("image could not be refreshed, the one that is here is used", "err", err)
	return i, nil
}

// unpackBundled imports the archive. It does so once in every process, for a
// new build of ours may bring a new image.
func (r *Runtime) unpackBundled(ctx context.Context, name string, open func() (io.ReadCloser, error)) (*image, error) {
	archive, err := open()
	if err != nil {
		return nil, imageError(name, err)
	}
	defer archive.Close()
	_, err = r.client.Import(ctx, archive,
		client.WithIndexName(name),
		client.WithImageRefTranslator(func(string) string { return "" }))
	if err != nil {
		return nil, imageError(name, fmt.Errorf("read the archive: %w", err))
	}
	img, err := r.client.GetImage(ctx, name)
	if err != nil {
		return nil, imageError(name, err)
	}
	return r.describe(ctx, img)
}

// resolver returns what speaks to registries.
func (r *Runtime) resolver() remotes.Resolver {
	transport := &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout:   10 * time.Second,
		ResponseHeaderTimeout: time.Minute,
		IdleConnTimeout:       10 * time.Second,
		MaxIdleConnsPerHost:   4,
	}
	c := &http.Client{Transport: transport}
	return docker.NewResolver(docker.ResolverOptions{
		Hosts: docker.ConfigureDefaultRegistries(
			docker.WithClient(c),
			docker.WithAuthorizer(docker.NewDockerAuthorizer(docker.WithAuthClient(c))),
			docker.WithPlainHTTP(r.plainHTTP),
		),
	})
}

func (r *Runtime) plainHTTP(host string) (bool, error) {
	if slices.Contains(r.cfg.PlainHTTP, host) {
		return true, nil
	}
	return docker.MatchLocalhost(host)
}
