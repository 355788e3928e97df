//go:build unix

package tarball

import (
	"io/fs"
	"os"
	"syscall"
)

// identity returns which file it is, and whether it has several names.
func identity(info fs.FileInfo) (inode, bool) {
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return inode{}, false
	}
	return inode{uint64(st.Dev), uint64(st.Ino)}, st.Nlink > 1
}

// own gives a file to its owner.
func own(root *os.Root, name string, uid, gid int) error { return root.Lchown(name, uid, gid) }
