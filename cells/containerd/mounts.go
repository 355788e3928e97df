package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/containerd/containerd/v2/core/mount"
	continuity "github.com/containerd/continuity/fs"
	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"lattice/cells"
)

// addMounts adds the folders that outlive the container. Where the file system can
// map IDs, files have the IDs on the disk that users have in the container, so that
// the next one, which may have other IDs on the host, finds them its own; else they
// are given to the IDs that the container has this time.
func (r *Runtime) addMounts(ctx context.Context, spec *specs.Spec, s cells.Spec, img *image, base uint32) error {
	for _, m := range s.Mounts {
		out := specs.Mount{Destination: m.Path, Type: "bind", Source: m.Dir, Options: []string{"rbind", "nosuid", "nodev", "rw"}}
		if m.ReadOnly {
			out.Options[3] = "ro"
		}
		owner := base
		if base != 0 && canMapIDs(m.Dir) {
			owner = 0
			out.Options = append(out.Options, "idmap")
			out.UIDMappings, out.GIDMappings = spec.Linux.UIDMappings, spec.Linux.GIDMappings
		}
		if !m.Shared {
			if err := r.prepareVolume(ctx, s.GUID, img, m, owner); err != nil {
				return fmt.Errorf("volume at %s: %w", m.Path, err)
			}
		}
		spec.Mounts = append(spec.Mounts, out)
	}
	return nil
}

// canMapIDs reports whether the file system of a folder has id-mapped mounts, by
// making one that is nowhere.
func canMapIDs(dir string) bool {
	ids := fmt.Sprintf("0:%d:%d", firstID, rangeSize)
	userns, err := mount.GetUsernsFD(ids, ids)
	if err != nil {
		return false
	}
	defer userns.Close()
	tree, err := unix.OpenTree(unix.AT_FDCWD, dir, unix.OPEN_TREE_CLONE|unix.OPEN_TREE_CLOEXEC)
	if err != nil {
		return false
	}
	defer unix.Close(tree)
	return unix.MountSetattr(tree, "", unix.AT_EMPTY_PATH, &unix.MountAttr{Attr_set: unix.MOUNT_ATTR_IDMAP, Userns_fd: uint64(userns.Fd())}) == nil
}

// prepareVolume gives an empty volume what the image has at its place, and has its
// files be of the range of IDs that begins with owner.
func (r *Runtime) prepareVolume(ctx context.Context, guid string, img *image, m cells.Mount, owner uint32) error {
	empty, err := isEmpty(m.Dir)
	if err == nil && empty {
		err = r.fillFromImage(ctx, guid, img, m)
	}
	if err != nil {
		return err
	}
	return rebase(ctx, m.Dir, owner)
}

func isEmpty(dir string) (bool, error) {
	d, err := os.Open(dir)
	if err != nil {
		return false, err
	}
	defer d.Close()
	_, err = d.Readdirnames(1)
	if errors.Is(err, io.EOF) {
		return true, nil
	}
	return false, err
}

// fillFromImage copies what the image has at the place of a volume, all or nothing.
func (r *Runtime) fillFromImage(ctx context.Context, guid string, img *image, m cells.Mount) error {
	return r.withRootfs(ctx, guid, img, func(root string) error {
		src, err := continuity.RootPath(root, m.Path)
		if err != nil {
			return err
		}
		if st, err := os.Stat(src); err != nil || !st.IsDir() {
			return nil // the image has nothing there
		}
		temp := filepath.Join(filepath.Dir(m.Dir), ".fill-"+filepath.Base(m.Dir))
		if err := os.RemoveAll(temp); err != nil {
			return err
		}
		err = fillVolume(temp, src, 0)
		if err == nil {
			err = unix.Rename(temp, m.Dir) // an empty folder may be replaced, which os.Rename refuses
		}
		if err != nil {
			return errors.Join(err, os.RemoveAll(temp))
		}
		return nil
	})
}

// rebase moves the owners of a volume's files from the range of IDs that they are
// in to the one that begins with base. The folder itself comes last: as long as it
// has another owner, there is something left to do.
func rebase(ctx context.Context, dir string, base uint32) error {
	var st unix.Stat_t
	if err := unix.Lstat(dir, &st); err != nil {
		return err
	}
	if st.Uid-st.Uid%rangeSize == base {
		return nil
	}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err = errors.Join(err, ctx.Err()); err != nil || path == dir {
			return err
		}
		return moveOwner(path, base)
	})
	if err != nil {
		return fmt.Errorf("give its files to the container's users: %w", err)
	}
	return moveOwner(dir, base)
}

// moveOwner gives path to the same user and group of another range, and keeps its
// mode.
func moveOwner(path string, base uint32) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	sys := st.Sys().(*syscall.Stat_t)
	if err := os.Lchown(path, int(base+sys.Uid%rangeSize), int(base+sys.Gid%rangeSize)); err != nil {
		return err
	}
	if st.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	return os.Chmod(path, st.Mode()) // chown took setuid and setgid off
}
