package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/shim"
)

// sweepTime is how long containerd gets to clean up after a shim that died,
// before we do it.
const sweepTime = 5 * time.Second

// sweep returns when nothing of a task is left that no shim looks after any
// more. containerd does that by itself, some time after the shim has died.
func (r *Runtime) sweep(ctx context.Context, guid string) error {
	bundle := filepath.Join(r.bundles(), guid)
	if r.server != nil {
		socket, err := shim.CreateSocketAddress(ctx, r.server.shimSockets, r.server.address, guid, false)
		if err == nil {
			err = shim.RemoveSocket(socket) // a shim that was killed could not
		}
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("clean up after container %s: %w", guid, err)
		}
	}
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(sweepTime); ; {
		if _, err := os.Stat(bundle); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if r.server == nil || time.Now().After(deadline) {
			break
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("wait for the end of container %s: %w", guid, ctx.Err())
		case <-tick.C:
		}
	}
	runc := filepath.Join(r.cfg.Bin, runcName)
	out, err := exec.CommandContext(ctx, runc, "--root", filepath.Join(r.cfg.State, "runc", namespace), "delete", "--force", guid).CombinedOutput()
	if err != nil {
		return fmt.Errorf("clean up after container %s: %w: %s", guid, err, shorten(string(out)))
	}
	if err := mount.UnmountRecursive(filepath.Join(bundle, "rootfs"), 0); err != nil {
		return fmt.Errorf("clean up after container %s: %w", guid, err)
	}
	work := filepath.Join(r.cfg.Root, "io.containerd.runtime.v2.task", namespace, guid)
	if err := errors.Join(os.RemoveAll(work), os.RemoveAll(bundle)); err != nil {
		return fmt.Errorf("clean up after container %s: %w", guid, err)
	}
	return nil
}
