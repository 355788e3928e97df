package containerd

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs"

	"lattice/app"
	"lattice/internal/du"
)

// Disk returns how many bytes the files have that the container wrote: its
// writable layer, its volumes, and the few files we put there. A file that it
// deleted and still holds open is not seen.
func (r *Runtime) Disk(ctx context.Context, guid string) (int64, error) {
	layer, ofImage, err := r.layer(r.context(ctx), guid)
	if errdefs.IsNotFound(err) {
		return 0, fmt.Errorf("container %s: %w", guid, app.ErrNotFound)
	}
	total := -ofImage
	for _, dir := range []string{layer, r.dir(guid)} {
		if err != nil {
			break
		}
		var n int64
		n, err = du.Bytes(ctx, dir)
		total += n
	}
	if err != nil {
		return 0, fmt.Errorf("count the files of container %s: %w", guid, err)
	}
	return max(0, total), nil
}

// layer returns the folder of the container's writable layer, and how much of
// what is there came with the image.
func (r *Runtime) layer(ctx context.Context, guid string) (dir string, ofImage int64, err error) {
	sn := r.client.SnapshotService(r.snapshotter)
	mounts, err := sn.Mounts(ctx, guid)
	if err != nil {
		return "", 0, err
	}
	if dir = upper(mounts); dir == "" {
		return "", 0, errors.New("its root file system has no writable layer")
	}
	if r.snapshotter == overlayfs {
		return dir, 0, nil
	}
	info, err := sn.Stat(ctx, guid)
	if err != nil || info.Parent == "" {
		return dir, 0, err
	}
	parent, err := sn.Usage(ctx, info.Parent) // was counted when it was made
	return dir, parent.Size, err
}

// upper returns the folder that takes what is written to the mounts, or "".
func upper(mounts []mount.Mount) string {
	for _, m := range mounts {
		for _, o := range m.Options {
			if dir, ok := strings.CutPrefix(o, "upperdir="); ok {
				return dir
			}
		}
		if m.Type == "bind" {
			return m.Source
		}
	}
	return ""
}
