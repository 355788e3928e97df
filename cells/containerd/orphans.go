package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"golang.org/x/sys/unix"
)

// endOrphans ends the shims of this installation that containerd doesn't know:
// their start was cut off by the death of an earlier process before it had
// written down where to reach them. It also undoes what they were mounting.
func (r *Runtime) endOrphans(ctx context.Context) error {
	if r.server == nil {
		return nil // an external containerd looks after its own
	}
	tasks, err := r.client.TaskService().List(ctx, &tasksapi.ListTasksRequest{})
	if err != nil {
		return fmt.Errorf("list containers: %w", errgrpc.ToNative(err))
	}
	known := map[string]bool{}
	for _, t := range tasks.Tasks {
		known[t.ID] = true
	}
	var errs []error
	for pid, guid := range r.shims() {
		if known[guid] {
			continue
		}
		r.cfg.Log.Info("ending a container whose start was cut off", "instance", guid)
		errs = append(errs, r.endOrphan(ctx, pid, guid))
	}
	return errors.Join(append(errs, r.unmountOrphans())...)
}

// shims returns the GUIDs of the shims of this installation by process.
func (r *Runtime) shims() map[int]string {
	found := map[int]string{}
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline") // the pattern is right
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			continue // it has ended
		}
		args := strings.Split(strings.TrimSuffix(string(b), "\x00"), "\x00")
		if filepath.Base(args[0]) != shimName || value(args, "-address") != r.server.address || value(args, "-namespace") != namespace {
			continue
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(f))); err == nil {
			found[pid] = value(args, "-id")
		}
	}
	return found
}

// value returns the argument behind a flag, or "".
func value(args []string, flag string) string {
	if i := slices.Index(args, flag); i >= 0 && i+1 < len(args) {
		return args[i+1]
	}
	return ""
}

// endOrphan kills a shim, and the container that it may have made.
func (r *Runtime) endOrphan(ctx context.Context, pid int, guid string) error {
	if err := unix.Kill(pid, unix.SIGKILL); err != nil && !errors.Is(err, unix.ESRCH) {
		return fmt.Errorf("end the shim of container %s: %w", guid, err)
	}
	for deadline := time.Now().Add(sweepTime); unix.Kill(pid, 0) == nil && r.shims()[pid] == guid && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	state := filepath.Join(r.cfg.State, "runc", namespace)
	if _, err := os.Stat(filepath.Join(state, guid)); err == nil {
		out, err := exec.CommandContext(ctx, filepath.Join(r.cfg.Bin, runcName), "--root", state, "delete", "--force", guid).CombinedOutput()
		if err != nil {
			return fmt.Errorf("end container %s: %w: %s", guid, err, shorten(string(out)))
		}
	}
	return r.sweep(ctx, guid)
}

// unmountOrphans undoes id-mapped mounts of our snapshots that a shim makes for
// a moment, in the folder for temporary files, and could not undo.
func (r *Runtime) unmountOrphans() error {
	var errs []error
	points, _ := filepath.Glob(filepath.Join(os.TempDir(), "ovl-idmapped*")) // the pattern is right
	for _, p := range points {
		info, err := mount.Lookup(p)
		if err != nil || info.Mountpoint != p || !r.hasSnapshot(p, info.Root) {
			continue
		}
		if err := mount.UnmountAll(p, unix.MNT_DETACH); err != nil {
			errs = append(errs, fmt.Errorf("undo mount %s: %w", p, err))
			continue
		}
		errs = append(errs, os.Remove(p))
	}
	return errors.Join(errs...)
}

// hasSnapshot reports whether the folder mounted at p, which its file system
// calls root, is that of this installation's snapshots or one of them.
func (r *Runtime) hasSnapshot(p, root string) bool {
	mounted, err := os.Stat(p)
	if err != nil {
		return false
	}
	snapshots := filepath.Join(r.cfg.Root, "io.containerd.snapshotter.v1.overlayfs", "snapshots")
	for _, ours := range []string{snapshots, filepath.Join(snapshots, filepath.Base(root))} {
		if s, err := os.Stat(ours); err == nil && os.SameFile(s, mounted) {
			return true
		}
	}
	return false
}
