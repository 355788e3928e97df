package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

// lock waits until no other build of this cell uses the cache.
func lock(ctx context.Context, dir string) (unlock func(), err error) {
	f, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open the cache of former builds: %w", err)
	}
	told := false
	for {
		err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return func() { f.Close() }, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(fmt.Errorf("lock the cache of former builds: %w", err), f.Close())
		}
		if !told {
			fmt.Println("waiting for another build on this cell to end")
			told = true
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(context.Cause(ctx), f.Close())
		case <-time.After(500 * time.Millisecond):
		}
	}
}

// watchDisk ends the build when it has added more than most bytes to dir.
func watchDisk(ctx context.Context, dir string, most int64, end context.CancelCauseFunc) {
	before, _, err := usage(ctx, dir)
	for err == nil {
		var now int64
		var took time.Duration
		if now, took, err = usage(ctx, dir); err == nil && now-before > most {
			end(fmt.Errorf("the build has made %d MiB of files, its disk limit is %d MiB: give it more with --disk-mb", (now-before)>>20, most>>20))
			return
		}
		select {
		case <-ctx.Done():
			return
		case <-time.After(max(2*time.Second, 20*took)): // it costs at most a twentieth of one CPU
		}
	}
	if ctx.Err() == nil {
		end(fmt.Errorf("how much the build has on the disk is not known: %w", err))
	}
}

// usage returns how much the files in dir take on the disk, and how long it took
// to find out. What goes meanwhile does not count.
func usage(ctx context.Context, dir string) (total int64, took time.Duration, err error) {
	began := time.Now()
	seen := map[uint64]bool{}
	err = filepath.WalkDir(dir, func(_ string, d fs.DirEntry, err error) error {
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || ctx.Err() != nil {
			return errors.Join(err, ctx.Err())
		}
		info, err := d.Info()
		if err != nil {
			return nil // gone
		}
		st := info.Sys().(*syscall.Stat_t)
		if st.Nlink > 1 && !d.IsDir() {
			if seen[st.Ino] {
				return nil
			}
			seen[st.Ino] = true
		}
		total += st.Blocks * 512
		return nil
	})
	return total, time.Since(began), err
}
