package containerd

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	imagestore "github.com/containerd/containerd/v2/core/images"
	"github.com/containerd/errdefs"

	"lattice/cells"
)

const (
	usedLabel = "lattice/used" // when an image was last pulled or needed, in RFC 3339
	usedExact = time.Hour      // how exact that is
)

// Collect deletes images that nothing needs. Bundled ones stay.
func (r *Runtime) Collect(ctx context.Context, rule cells.CollectRule) (n int, err error) {
	ctx = r.context(ctx)
	all, err := r.client.ImageService().List(ctx)
	if err != nil {
		return 0, fmt.Errorf("list images: %w", err)
	}
	slices.SortFunc(all, func(a, b imagestore.Image) int { return cmp.Compare(usedAt(a).UnixNano(), usedAt(b).UnixNano()) })
	for _, img := range all {
		if strings.HasPrefix(img.Name, bundledPrefix) {
			continue
		}
		gone, err := r.collectOne(ctx, img, rule)
		if err != nil {
			return n, fmt.Errorf("delete image %s: %w", img.Name, err)
		}
		if gone {
			n++
		}
	}
	return n, nil
}

// collectOne deletes an image, unless it is needed or too new. Whoever pulls it
// meanwhile waits, and pulls it again.
func (r *Runtime) collectOne(ctx context.Context, img imagestore.Image, rule cells.CollectRule) (gone bool, err error) {
	unlock, err := r.images.lock(ctx, img.Name)
	if err != nil {
		return false, err
	}
	defer unlock()
	needed, err := r.isNeeded(ctx, img.Name, rule.Needed())
	if err != nil {
		return false, err
	}
	if needed {
		return false, r.touch(ctx, img)
	}
	if time.Since(usedAt(img)) < rule.Unused && (rule.Full == nil || !rule.Full()) {
		return false, nil
	}
	r.images.forget(img.Name)
	err = r.client.ImageService().Delete(ctx, img.Name, imagestore.SynchronousDelete())
	if errdefs.IsNotFound(err) {
		return false, nil
	}
	return err == nil, err
}

// isNeeded reports whether a container, or something that shall run, has the image.
func (r *Runtime) isNeeded(ctx context.Context, name string, refs []string) (bool, error) {
	for _, ref := range refs {
		if n, _, err := r.nameOf(ref); err == nil && n == name {
			return true, nil
		}
	}
	all, err := r.client.ContainerService().List(ctx, fmt.Sprintf("image==%q", name))
	return len(all) > 0, err
}

// Has reports whether an image is here.
func (r *Runtime) Has(ctx context.Context, ref string) bool {
	name, _, err := r.nameOf(ref)
	if err == nil {
		_, err = r.client.ImageService().Get(r.context(ctx), name)
	}
	return err == nil
}

// touch takes note that an image is used now.
func (r *Runtime) touch(ctx context.Context, img imagestore.Image) error {
	if time.Since(usedAt(img)) < usedExact {
		return nil
	}
	img.Labels = map[string]string{usedLabel: time.Now().UTC().Format(time.RFC3339)}
	_, err := r.client.ImageService().Update(ctx, img, "labels."+usedLabel)
	return err
}

// usedAt is when an image was last used.
func usedAt(img imagestore.Image) time.Time {
	at, err := time.Parse(time.RFC3339, img.Labels[usedLabel])
	if err != nil {
		return img.UpdatedAt
	}
	return at
}
