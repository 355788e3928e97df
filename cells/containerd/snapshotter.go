package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"

	"github.com/containerd/containerd/v2/core/mount"
)

// containerd's names of the snapshotters.
const (
	overlayfs = "overlayfs"
	native    = "native" // copies, and works everywhere
)

// pickSnapshotter prefers overlayfs if it can shift user IDs.
func (r *Runtime) pickSnapshotter(ctx context.Context) (string, error) {
	caps, err := r.client.GetSnapshotterCapabilities(ctx, overlayfs)
	if err == nil && !slices.Contains(caps, "remap-ids") {
		err = errors.New("no id-mapped overlayfs: it needs Linux 5.19")
	}
	if err == nil && r.client.SnapshotService(overlayfs) == nil {
		err = errors.New("overlayfs does not work on this file system")
	}
	if err == nil && r.server != nil {
		err = tryIDMap(r.cfg.Root) // containerd tries another folder than its own
	}
	if err == nil {
		return overlayfs, nil
	}
	r.cfg.Log.Warn("overlayfs can't be used, images are copied for each container", "err", err)
	if _, err := r.client.GetSnapshotterCapabilities(ctx, native); err != nil {
		return "", fmt.Errorf("find a snapshotter: neither overlayfs nor native works: %w", err)
	}
	return native, nil
}

// tryIDMap makes an id-mapped mount of a folder below dir, for a moment.
func tryIDMap(dir string) (err error) {
	ids := fmt.Sprintf("0:%d:%d", firstID, rangeSize)
	userns, err := mount.GetUsernsFD(ids, ids)
	if err != nil {
		return fmt.Errorf("make a user namespace: %w", err)
	}
	defer userns.Close()
	temp, err := os.MkdirTemp(dir, "try-")
	if err != nil {
		return fmt.Errorf("try an id-mapped mount: %w", err)
	}
	defer func() { err = errors.Join(err, os.Remove(temp)) }()
	if err := mount.IDMapMount(temp, temp, int(userns.Fd())); err != nil {
		return fmt.Errorf("the file system of %s has no id-mapped mounts: %w", dir, err)
	}
	return mount.Unmount(temp, 0)
}
