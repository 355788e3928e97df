// Package du counts how much files take on a disk, in folders that somebody else
// may be changing, and may want to lead us astray.
package du

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/sys/unix"
)

const (
	blockBytes = 512  // what stat counts in
	maxDepth   = 1000 // folders in folders: each is an open file of ours
	dirBatch   = 1024 // names read at a time
)

// Bytes adds up the blocks of all files below dir. It follows no links, and
// goes from folder to folder by open files: a container that moves its folders
// about meanwhile can't lead it elsewhere. A file with several names counts for
// each in part, and one that was deleted and is still open not at all.
func Bytes(ctx context.Context, dir string) (int64, error) {
	fd, err := unix.Open(dir, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if errors.Is(err, unix.ENOENT) {
		return 0, nil
	}
	if err != nil {
		return 0, fmt.Errorf("open %s: %w", dir, err)
	}
	return walk(ctx, os.NewFile(uintptr(fd), dir), maxDepth)
}

// walk adds up what is in the folder d, and closes it. What vanishes meanwhile
// doesn't count.
func walk(ctx context.Context, d *os.File, depth int) (total int64, err error) {
	defer d.Close()
	if depth == 0 {
		return 0, fmt.Errorf("there are more than %d folders inside of each other", maxDepth)
	}
	for {
		names, err := d.Readdirnames(dirBatch)
		if ctx.Err() != nil {
			return total, ctx.Err()
		}
		for _, name := range names {
			n, err := entry(ctx, d, name, depth)
			if total += n; err != nil {
				return total, err
			}
		}
		if errors.Is(err, io.EOF) || errors.Is(err, unix.ENOENT) {
			return total, nil
		}
		if err != nil {
			return total, err
		}
	}
}

func entry(ctx context.Context, d *os.File, name string, depth int) (int64, error) {
	var st unix.Stat_t
	at := int(d.Fd())
	if err := unix.Fstatat(at, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return 0, unlessGone(err)
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return st.Blocks * blockBytes / max(1, int64(st.Nlink)), nil
	}
	own := st.Blocks * blockBytes
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return own, unlessGone(err)
	}
	below, err := walk(ctx, os.NewFile(uintptr(fd), name), depth-1)
	return own + below, err
}

// unlessGone leaves out errors that say that a file or folder was removed, or
// replaced by something else, since its name was read.
func unlessGone(err error) error {
	if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.ENOTDIR) || errors.Is(err, unix.ELOOP) {
		return nil
	}
	return err
}
