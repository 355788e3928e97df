package containerd

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"strings"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/remotes"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/errdefs"
	"github.com/distribution/reference"
	"github.com/opencontainers/go-digest"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"
	"golang.org/x/sync/semaphore"

	"lattice/app"
	"lattice/cells"
)

// bundledPrefix is put before the names of bundled images, so that none can be
// taken for one of a registry.
const bundledPrefix = "bundled/"

// Pull makes the image present and unpacked. Nobody is asked about one with a
// digest that is here. What a tag means is always asked; when the registry can't
// say, an image that is here already is used.
func (r *Runtime) Pull(ctx context.Context, ref string, progress func(app.Pull)) (cells.Image, error) {
	asked := time.Now()
	name, open, err := r.nameOf(ref)
	if err != nil {
		return cells.Image{}, err
	}
	bundled := open != nil
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

// nameOf returns what an image is called here; open is nil unless it is bundled.
func (r *Runtime) nameOf(ref string) (name string, open func() (io.ReadCloser, error), err error) {
	short := strings.TrimSuffix(ref, ":latest")
	if open := r.cfg.Bundled[short]; open != nil {
		return bundledPrefix + short, open, nil
	}
	named, err := reference.ParseDockerRef(app.FullImage(ref))
	if err != nil {
		return "", nil, &refError{ref, err.Error(), err}
	}
	return named.String(), nil, nil
}

// downloads is how many layers come at the same time: few, so that the first can
// be unpacked while others still come.
const downloads = 3

func (r *Runtime) pull(ctx context.Context, name string, p *progress) (*image, error) {
	if strings.Contains(name, "@") {
		if i, err := r.present(ctx, name); err == nil {
			return i, nil
		}
	}
	img, err := r.client.Pull(ctx, name,
		client.WithPullUnpack,
		client.WithMaxConcurrentDownloads(downloads),
		client.WithUnpackOpts([]client.UnpackOpt{client.WithUnpackLimiter(semaphore.NewWeighted(int64(runtime.NumCPU())))}),
		client.WithPullSnapshotter(r.snapshotter),
		client.WithResolver(countingResolver{r.resolver(), p}),
		client.WithImageHandlerWrapper(p.expect(r.client.ContentStore())),
	)
	if err == nil {
		return r.describe(ctx, img)
	}
	if ctx.Err() != nil {
		return nil, fmt.Errorf("pull %s: %w", name, ctx.Err())
	}
	err = imageError(name, err)
	i, oldErr := r.present(ctx, name)
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

// present returns an image that is here.
func (r *Runtime) present(ctx context.Context, name string) (*image, error) {
	img, err := r.client.GetImage(ctx, name)
	if err != nil {
		return nil, err
	}
	if err := r.touch(ctx, img.Metadata()); err != nil {
		r.cfg.Log.Warn("when an image was used is not kept", "err", err)
	}
	return r.describe(ctx, img)
}

// resolver returns what speaks to the registry.
func (r *Runtime) resolver() remotes.Resolver {
	base, via := r.cfg.Registry()
	return docker.NewResolver(docker.ResolverOptions{Hosts: func(string) ([]docker.RegistryHost, error) {
		return []docker.RegistryHost{{
			Client: &http.Client{Transport: asker{via}}, Scheme: base.Scheme, Host: base.Host, Path: "/v2",
			Capabilities: docker.HostCapabilityPull | docker.HostCapabilityResolve,
		}}, nil
	}})
}

// Layer opens a layer of an image that is here.
func (r *Runtime) Layer(ctx context.Context, dgst string) (io.ReadCloser, int64, error) {
	ra, err := r.client.ContentStore().ReaderAt(r.context(ctx), ocispec.Descriptor{Digest: digest.Digest(dgst)})
	if errdefs.IsNotFound(err) {
		return nil, 0, fmt.Errorf("layer %s %w", dgst, app.ErrNotFound)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("open layer %s: %w", dgst, err)
	}
	return struct {
		io.Reader
		io.Closer
	}{io.NewSectionReader(ra, 0, ra.Size()), ra}, ra.Size(), nil
}

// An asker makes an error of the sentence with which the brain's registry
// refuses: containerd would not look at it.
type asker struct{ http.RoundTripper }

func (a asker) RoundTrip(r *http.Request) (*http.Response, error) {
	resp, err := a.RoundTripper.RoundTrip(r)
	if err != nil || resp.StatusCode < http.StatusInternalServerError {
		return resp, err
	}
	if r.Method == http.MethodHead { // without a body
		resp.Body.Close()
		again := r.Clone(r.Context())
		again.Method = http.MethodGet
		if resp, err = a.RoundTripper.RoundTrip(again); err != nil {
			return nil, err
		}
	}
	body, err := io.ReadAll(io.LimitReader(resp.Body, 64<<10))
	resp.Body.Close()
	if sentence := told(body); sentence != "" {
		return nil, refusal(sentence)
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	return resp, err
}

// A refusal is the sentence with which the brain's registry refuses.
type refusal string

func (r refusal) Error() string { return string(r) }
