package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"time"

	"github.com/containerd/containerd/api/types/runc/options"
	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/core/leases"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/cio"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"

	"lattice/cells"
)

// Labels of a container: what a restarted process must know of it.
const (
	labelApp     = "lattice/app"
	labelIndex   = "lattice/index"
	labelIDBase  = "lattice/id-base" // first host user ID
	labelLease   = "lattice/lease"   // JSON
	labelStarted = "lattice/started" // RFC 3339
	labelBuild   = "lattice/build"   // cells.BuildKind
)

// undoTime is how long the clean-up after a failed start may take.
const undoTime = 30 * time.Second

// Start creates the container and returns when its process runs.
func (r *Runtime) Start(ctx context.Context, s cells.Spec) (err error) {
	ctx = r.context(ctx)
	p := startPhases(r.cfg.Log, s)
	img, err := r.image(ctx, s.Image)
	if err != nil {
		return err
	}
	base, err := r.takeIDs(s)
	if err != nil {
		return fmt.Errorf("start %s: %w", s.GUID, err)
	}
	defer func() {
		if err != nil {
			ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTime)
			defer cancel()
			err = errors.Join(err, r.Remove(ctx, s.GUID))
		}
	}()
	u, err := r.user(ctx, s.GUID, img, s.User)
	if err != nil {
		return err
	}
	c, err := r.create(ctx, s, img, u, base)
	if err != nil {
		return err
	}
	p.done("create")
	task, err := r.createTask(ctx, c, s)
	if err != nil {
		return err
	}
	p.done("runc")
	if err := handOverOutput(task.Pid(), hostBase(s, base), u); err != nil {
		return fmt.Errorf("start %s: %w", s.GUID, err)
	}
	if r.cfg.Network != nil {
		if err := r.cfg.Network.Attach(ctx, s.Lease, int(task.Pid())); err != nil {
			return fmt.Errorf("connect %s: %w", s.GUID, err)
		}
	}
	p.done("network")
	if err := task.Start(ctx); err != nil {
		return inDoubt{explainStart(s, err)}
	}
	p.done("start")
	p.log()
	return nil
}

// inDoubt is cells.ErrInDoubt and prints as what it wraps.
type inDoubt struct{ error }

func (e inDoubt) Unwrap() error        { return e.error }
func (e inDoubt) Is(target error) bool { return target == cells.ErrInDoubt }

// hostBase returns the host ID of a container's root. A privileged one has a range
// of IDs like the others, and makes no use of it.
func hostBase(s cells.Spec, ids uint32) uint32 {
	if s.Privileged {
		return 0
	}
	return ids
}

// create makes all that must be there before the container's process: its
// record, which keeps the snapshot from the garbage collector, its snapshot and
// its files.
func (r *Runtime) create(ctx context.Context, s cells.Spec, img *image, u *user.ExecUser, ids uint32) (client.Container, error) {
	base := hostBase(s, ids)
	if err := r.etcFiles(s, base); err != nil {
		return nil, err
	}
	vols, err := r.makeVolumes(ctx, s.GUID, img, s.Volumes, base)
	if err != nil {
		return nil, err
	}
	spec, err := r.spec(s, img, u, base, vols)
	if err == nil && len(s.Mounts) > 0 {
		err = r.addMounts(ctx, spec, s, img, base)
	}
	if err == nil {
		err = r.prepareBuild(s, spec, base)
	}
	if err != nil {
		return nil, fmt.Errorf("describe container %s: %w", s.GUID, err)
	}
	record, err := r.record(s, spec, ids)
	if err != nil {
		return nil, fmt.Errorf("describe container %s: %w", s.GUID, err)
	}
	if _, err := r.client.ContainerService().Create(ctx, record); err != nil {
		return nil, fmt.Errorf("record container %s: %w", s.GUID, err)
	}
	if err := r.snapshot(ctx, s.GUID, img, base); err != nil {
		return nil, fmt.Errorf("make the root file system of %s: %w", s.GUID, err)
	}
	return r.client.LoadContainer(ctx, s.GUID)
}

func (r *Runtime) record(s cells.Spec, spec *specs.Spec, ids uint32) (containers.Container, error) {
	lease, err1 := json.Marshal(s.Lease)
	specAny, err2 := typeurl.MarshalAny(spec)
	opts, err3 := typeurl.MarshalAny(&options.Options{
		BinaryName: filepath.Join(r.cfg.Bin, runcName),
		Root:       filepath.Join(r.cfg.State, "runc"),
		IoUid:      hostBase(s, ids),
		IoGid:      hostBase(s, ids),
		// The kernel lets a user have 200 keyrings, and all instances of an app are
		// of one user.
		NoNewKeyring: !s.Privileged, // which could read ours
	})
	return containers.Container{
		ID: s.GUID,
		Labels: map[string]string{
			labelApp:     s.App,
			labelIndex:   strconv.Itoa(s.Index),
			labelIDBase:  strconv.FormatUint(uint64(ids), 10),
			labelLease:   string(lease),
			labelStarted: time.Now().UTC().Format(time.RFC3339Nano),
			labelBuild:   string(s.Build),
		},
		Image:       s.Image,
		Runtime:     containers.RuntimeInfo{Name: filepath.Join(r.cfg.Bin, shimName), Options: opts},
		Spec:        specAny,
		SnapshotKey: s.GUID,
		Snapshotter: r.snapshotter,
	}, errors.Join(err1, err2, err3)
}

// snapshot makes the writable layer, with all of the image's files owned by the
// container's users.
func (r *Runtime) snapshot(ctx context.Context, guid string, img *image, base uint32) error {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: base, Size: rangeSize}}
	opt := client.WithUserNSRemapperLabels(ids, ids)
	if base == 0 {
		opt = func(*snapshots.Info) error { return nil } // as they are
	}
	if r.snapshotter == overlayfs {
		_, err := r.client.SnapshotService(r.snapshotter).Prepare(ctx, guid, img.parent, opt)
		return err
	}
	// Without id-mapped mounts the files are copied and given to their owners.
	ctx, done, err := r.client.WithLease(ctx)
	if err != nil {
		return err
	}
	stored, err := r.client.GetImage(ctx, img.Name)
	if err == nil {
		c := containers.Container{Snapshotter: r.snapshotter}
		err = client.WithNewSnapshot(guid, stored, opt)(ctx, r.client, &c)
	}
	return errors.Join(err, done(context.WithoutCancel(ctx)))
}

// createTask starts the shim and the logger and has runc make the namespaces.
func (r *Runtime) createTask(ctx context.Context, c client.Container, s cells.Spec) (client.Task, error) {
	dir := filepath.Join(r.cfg.LogRoot, s.GUID)
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("make log folder: %w", err)
	}
	uri := &url.URL{Scheme: "binary-v2", Path: filepath.Join(r.cfg.Bin, loggerName), RawQuery: url.Values{
		"-dir":   {dir},
		"-app":   {s.App},
		"-index": {strconv.Itoa(s.Index)},
		"-guid":  {s.GUID},
	}.Encode()}
	task, err := c.NewTask(ctx, cio.LogURI(uri))
	if err != nil {
		return nil, explainStart(s, err)
	}
	return task, nil
}

// handOverOutput makes the process's user the owner of its stdout and stderr,
// or it could not open /dev/stdout, as many images do for their log files. runc
// can't: the pipes' owner has no ID in the container.
func handOverOutput(pid, base uint32, u *user.ExecUser) error {
	for fd := 1; fd <= 2; fd++ {
		if err := os.Chown(fmt.Sprintf("/proc/%d/fd/%d", pid, fd), int(base)+u.Uid, int(base)+u.Gid); err != nil {
			return fmt.Errorf("hand over output: %w", err)
		}
	}
	return nil
}

// deleteSnapshot removes what snapshot made; that it isn't there is no error.
func (r *Runtime) deleteSnapshot(ctx context.Context, guid string) error {
	err := r.client.SnapshotService(r.snapshotter).Remove(ctx, guid)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove root file system: %w", err)
	}
	return nil
}

// collect has containerd delete what nothing refers to any more and waits for it.
func (r *Runtime) collect(ctx context.Context) error {
	l, err := r.client.LeasesService().Create(ctx, leases.WithRandomID())
	if err != nil {
		return fmt.Errorf("collect garbage: %w", err)
	}
	if err := r.client.LeasesService().Delete(ctx, l, leases.SynchronousDelete); err != nil {
		return fmt.Errorf("collect garbage: %w", err)
	}
	return nil
}
