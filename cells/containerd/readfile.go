package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/oci"
	continuity "github.com/containerd/continuity/fs"
	"github.com/containerd/errdefs"
	"github.com/containerd/typeurl/v2"
	"golang.org/x/sys/unix"

	"lattice/app"
)

// ReadFile returns what a file has of a container whose process has ended, as
// the process saw it: with links, and in its volumes, too. It ends what is left
// around the process, so that nobody else uses the file system, and its output
// is written to the log.
func (r *Runtime) ReadFile(ctx context.Context, guid, path string, most int64) ([]byte, error) {
	ctx = r.context(ctx)
	data, err := r.readFile(ctx, guid, filepath.Clean("/"+path), most)
	switch {
	case errors.Is(err, fs.ErrNotExist), errors.Is(err, unix.ENOTDIR):
		return nil, fmt.Errorf("file %s %w", path, app.ErrNotFound)
	case errors.Is(err, app.ErrInvalid):
		return nil, err
	case err != nil:
		return nil, fmt.Errorf("read file %s of container %s: %w", path, guid, err)
	}
	return data, nil
}

func (r *Runtime) readFile(ctx context.Context, guid, path string, most int64) (data []byte, err error) {
	exit, err := r.Wait(ctx, guid)
	if err != nil {
		return nil, err
	}
	if err := errors.Join(r.keepExit(ctx, guid, exit), r.deleteTask(ctx, guid)); err != nil {
		return nil, err
	}
	volumes, err := r.volumesOf(ctx, guid)
	if err != nil {
		return nil, err
	}
	mounts, err := r.client.SnapshotService(r.snapshotter).Mounts(ctx, guid)
	if err != nil {
		return nil, err
	}
	err = mount.WithReadonlyTempMount(ctx, mounts, func(root string) error {
		data, err = readIn(root, volumes, path, most)
		return err
	})
	return data, err
}

// volumesOf returns what was mounted into the container from its own folder.
func (r *Runtime) volumesOf(ctx context.Context, guid string) ([]volume, error) {
	c, err := r.client.ContainerService().Get(ctx, guid)
	if errdefs.IsNotFound(err) {
		return nil, fmt.Errorf("container %s: %w", guid, app.ErrNotFound)
	}
	if err != nil {
		return nil, err
	}
	var spec oci.Spec
	if err := typeurl.UnmarshalTo(c.Spec, &spec); err != nil {
		return nil, err
	}
	var vols []volume
	for _, m := range spec.Mounts {
		if m.Type == "bind" {
			vols = append(vols, volume{path: m.Destination, dir: m.Source})
		}
	}
	return vols, nil
}

// readIn reads a file below root, or in the volume that is mounted over it.
// Nobody changes these files any more, so what a link leads to stays so.
func readIn(root string, volumes []volume, path string, most int64) ([]byte, error) {
	full, err := continuity.RootPath(root, path)
	if err != nil {
		return nil, err
	}
	inside := "/" + strings.TrimPrefix(strings.TrimPrefix(full, root), "/")
	covers := ""
	for _, v := range volumes {
		rest, in := strings.CutPrefix(inside, v.path)
		if in && (rest == "" || rest[0] == '/') && len(v.path) > len(covers) {
			covers = v.path
			if full, err = continuity.RootPath(v.dir, rest); err != nil {
				return nil, err
			}
		}
	}
	return readRegular(full, path, most)
}

// readRegular reads a file that a stranger made: it may be a pipe or a device,
// or have no end.
func readRegular(full, path string, most int64) ([]byte, error) {
	info, err := os.Lstat(full)
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, app.Invalid("%s is no regular file", path)
	}
	f, err := os.Open(full)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(data)) > most {
		return nil, app.Invalid("%s has %d bytes: at most %d are possible", path, max(info.Size(), int64(len(data))), most)
	}
	return data, err
}
