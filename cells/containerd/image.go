package containerd

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	imagestore "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/platforms"
	"github.com/opencontainers/image-spec/identity"
	ocispec "github.com/opencontainers/image-spec/specs-go/v1"

	"lattice/cells"
)

// images remembers what Start needs to know of images, and keeps pulls of the
// same one apart.
type images struct {
	mu    sync.Mutex // guards what follows
	known map[string]*image
	locks map[string]chan struct{} // capacity 1; full while somebody pulls
	bad   map[string]failedPull    // the last one of those that failed last
}

// A failedPull is told to those who waited for it: each trying anew, one after
// the other, would only take long.
type failedPull struct {
	err error
	at  time.Time // when it was begun
}

// An image is ready to be started from. It is never changed.
type image struct {
	cells.Image
	at     time.Time // when it was last made sure of
	parent string    // snapshot with all its layers
	bits32 bool      // it has programs of the 32-bit sister of this machine
	files  *imageFiles
}

func newImages() *images {
	return &images{known: map[string]*image{}, locks: map[string]chan struct{}{}, bad: map[string]failedPull{}}
}

// lock waits until nobody else pulls name and returns how to unlock it.
func (s *images) lock(ctx context.Context, name string) (unlock func(), err error) {
	s.mu.Lock()
	l := s.locks[name]
	if l == nil {
		l = make(chan struct{}, 1)
		s.locks[name] = l
	}
	s.mu.Unlock()
	select {
	case l <- struct{}{}:
		return func() { <-l }, nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *images) get(name string) *image {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.known[name]
}

// failed returns why the pull of name failed that was begun after asked; nil
// when there was none.
func (s *images) failed(name string, asked time.Time) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if f := s.bad[name]; f.at.After(asked) {
		return f.err
	}
	return nil
}

// fail remembers why the pull of name failed that was begun then.
func (s *images) fail(name string, begun time.Time, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.bad[name] = failedPull{err, begun}
}

// forget makes name be looked at anew.
func (s *images) forget(name string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.known, name)
}

// put remembers i.
func (s *images) put(i *image) *image {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.bad, i.Name)
	if old := s.known[i.Name]; old != nil && old.parent == i.parent {
		i.files = old.files
	}
	s.known[i.Name] = i
	return i
}

// image returns what is stored under name, unpacked.
func (r *Runtime) image(ctx context.Context, name string) (*image, error) {
	if i := r.images.get(name); i != nil {
		return i, nil
	}
	img, err := r.client.GetImage(ctx, name)
	if err != nil {
		return nil, imageError(name, err)
	}
	return r.describe(ctx, img)
}

// describe unpacks img unless it is, and reads its config.
func (r *Runtime) describe(ctx context.Context, img client.Image) (*image, error) {
	unpacked, err := img.IsUnpacked(ctx, r.snapshotter)
	if err == nil && !unpacked {
		err = img.Unpack(ctx, r.snapshotter)
	}
	if err != nil {
		return nil, imageError(img.Name(), fmt.Errorf("unpack: %w", err))
	}
	cs := r.client.ContentStore()
	m, err := imagestore.Manifest(ctx, cs, img.Target(), platforms.Default())
	if err != nil {
		return nil, imageError(img.Name(), err)
	}
	blob, err := content.ReadBlob(ctx, cs, m.Config)
	if err != nil {
		return nil, imageError(img.Name(), fmt.Errorf("read config: %w", err))
	}
	var oci ocispec.Image
	if err := json.Unmarshal(blob, &oci); err != nil {
		return nil, imageError(img.Name(), fmt.Errorf("read config: %w", err))
	}
	if oci.Architecture != "" && !platforms.Default().Match(oci.Platform) {
		return nil, imageError(img.Name(), platformError(fmt.Sprintf("it is for %s, this cell is %s",
			platforms.Format(oci.Platform), platforms.DefaultString())))
	}
	size := m.Config.Size
	for _, l := range m.Layers {
		size += l.Size
	}
	c := oci.Config
	return r.images.put(&image{
		Image: cells.Image{
			Name:       img.Name(),
			Digest:     img.Target().Digest.String(),
			Entrypoint: c.Entrypoint,
			Cmd:        c.Cmd,
			Env:        c.Env,
			Dir:        c.WorkingDir,
			User:       c.User,
			Ports:      tcpPorts(c.ExposedPorts),
			Volumes:    slices.Sorted(maps.Keys(c.Volumes)),
			StopSignal: c.StopSignal,
			Unpacked:   true,
			Size:       size,
		},
		at:     time.Now(),
		parent: identity.ChainID(oci.RootFS.DiffIDs).String(),
		bits32: oci.Architecture == "386" || oci.Architecture == "arm" && runtime.GOARCH == "arm64",
		files:  &imageFiles{},
	}), nil
}

// tcpPorts returns the TCP ports of an image's EXPOSE, ascending. Entries that
// are no port are left out, as Docker does.
func tcpPorts(exposed map[string]struct{}) []int {
	var ports []int
	for e := range exposed {
		p, proto, _ := strings.Cut(e, "/")
		n, err := strconv.Atoi(p)
		if err == nil && n > 0 && n < 1<<16 && (proto == "" || strings.EqualFold(proto, "tcp")) {
			ports = append(ports, n)
		}
	}
	slices.Sort(ports)
	return slices.Compact(ports)
}
