package containerd

import (
	"context"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/core/content"
	imagestore "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/containerd/v2/core/remotes"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lattice/app"
)

// progressEvery is how often a pull is reported on.
const progressEvery = 250 * time.Millisecond

// progress adds up the bytes of one pull.
type progress struct {
	report func(app.Pull)

	mu   sync.Mutex // guards what follows, and calls of report
	pull app.Pull
	last time.Time
}

func newProgress(report func(app.Pull)) *progress {
	if report == nil {
		report = func(app.Pull) {}
	}
	return &progress{report: report}
}

// add counts, and reports now and then, and when all has come: to unpack may take
// long. Nothing is reported at the end, which the next state tells.
func (p *progress) add(done, total int64) {
	if done == 0 && total == 0 {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.pull.Done += done
	p.pull.Total += total
	if now := time.Now(); now.Sub(p.last) >= progressEvery || p.pull.Done == p.pull.Total {
		p.last = now
		p.report(p.pull)
	}
}

// expect returns a wrapper of containerd's handlers that adds what a manifest
// lists and the store does not have to the total.
func (p *progress) expect(store content.Store) func(imagestore.Handler) imagestore.Handler {
	return func(h imagestore.Handler) imagestore.Handler {
		return imagestore.HandlerFunc(func(ctx context.Context, d ocispec.Descriptor) ([]ocispec.Descriptor, error) {
			children, err := h.Handle(ctx, d)
			if err != nil || !imagestore.IsManifestType(d.MediaType) {
				return children, err
			}
			var total int64
			for _, c := range children {
				if _, err := store.Info(ctx, c.Digest); err != nil {
					total += c.Size
				}
			}
			p.add(0, total)
			return children, nil
		})
	}
}

// countingResolver is a Resolver whose fetches of layers and configs count.
type countingResolver struct {
	remotes.Resolver
	progress *progress
}

func (r countingResolver) Fetcher(ctx context.Context, ref string) (remotes.Fetcher, error) {
	f, err := r.Resolver.Fetcher(ctx, ref)
	if err != nil {
		return nil, err
	}
	return remotes.FetcherFunc(func(ctx context.Context, d ocispec.Descriptor) (io.ReadCloser, error) {
		rc, err := f.Fetch(ctx, d)
		if err != nil || imagestore.IsManifestType(d.MediaType) || imagestore.IsIndexType(d.MediaType) {
			return rc, err
		}
		return &countingReader{rc, r.progress}, nil
	}), nil
}

type countingReader struct {
	io.ReadCloser
	progress *progress
}

func (r *countingReader) Read(b []byte) (int, error) {
	n, err := r.ReadCloser.Read(b)
	r.progress.add(int64(n), 0)
	return n, err
}

// Seek is called when an interrupted pull goes on; what was skipped counts.
func (r *countingReader) Seek(offset int64, whence int) (int64, error) {
	s, ok := r.ReadCloser.(io.Seeker)
	if !ok {
		return 0, fmt.Errorf("resume pull: %w", io.ErrUnexpectedEOF)
	}
	n, err := s.Seek(offset, whence)
	if err == nil && whence == io.SeekStart {
		r.progress.add(n, 0)
	}
	return n, err
}
