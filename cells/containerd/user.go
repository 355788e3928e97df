package containerd

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"sync"
	"syscall"

	continuity "github.com/containerd/continuity/fs"
	"github.com/moby/sys/user"

	"lattice/cells"
)

// maxAccounts is how much of an image's /etc/passwd and /etc/group is read.
const maxAccounts = 1 << 20

// imageFiles are the files of an image that say who its users are. They are
// read when they are first needed: that takes a mount.
type imageFiles struct {
	mu            sync.Mutex // guards what follows
	loaded        bool
	passwd, group []byte
}

// user finds the user of a USER as Docker does: by name or number, with the
// groups that /etc/group lists for it.
func (r *Runtime) user(ctx context.Context, guid string, img *image, spec string) (*user.ExecUser, error) {
	f := img.files
	f.mu.Lock()
	defer f.mu.Unlock()
	if !f.loaded {
		err := r.withRootfs(ctx, guid, img, func(root string) (err error) {
			if f.passwd, err = readInRoot(root, "/etc/passwd"); err != nil {
				return err
			}
			f.group, err = readInRoot(root, "/etc/group")
			return err
		})
		if err != nil {
			return nil, err
		}
		f.loaded = true
	}
	u, err := user.GetExecUser(spec, nil, bytes.NewReader(f.passwd), bytes.NewReader(f.group))
	if err != nil {
		return nil, &commandError{fmt.Sprintf("user %q is not in the image's /etc/passwd and /etc/group, and not a number", spec), err}
	}
	for _, id := range append(u.Sgids, u.Uid, u.Gid) {
		if id >= rangeSize {
			return nil, &commandError{fmt.Sprintf("user %q needs ID %d, but IDs in a container end at %d", spec, id, rangeSize-1), cells.ErrCommand}
		}
	}
	return u, nil
}

// readInRoot reads a file of the image; symbolic links stay inside. A file that
// isn't there is empty.
func readInRoot(root, name string) ([]byte, error) {
	path, err := continuity.RootPath(root, name)
	if err != nil {
		return nil, err
	}
	// Not to block on what an image may have put there.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer f.Close()
	if st, err := f.Stat(); err != nil || !st.Mode().IsRegular() {
		return nil, err
	}
	return io.ReadAll(io.LimitReader(f, maxAccounts))
}

// shiftOwner adds base to the owner of path and keeps its mode.
func shiftOwner(path string, base uint32) error {
	st, err := os.Lstat(path)
	if err != nil {
		return err
	}
	sys := st.Sys().(*syscall.Stat_t)
	if err := os.Lchown(path, int(sys.Uid+base), int(sys.Gid+base)); err != nil {
		return err
	}
	if st.Mode()&fs.ModeSymlink != 0 {
		return nil
	}
	return os.Chmod(path, st.Mode()) // chown took setuid and setgid off
}
