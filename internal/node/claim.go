package node

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"lattice/internal/config"
)

// claim makes this process the only one that works with the data folder. The
// kernel lets go of the claim when the process ends, however it ends.
func claim(c config.Common) (release func(), err error) {
	if err := os.MkdirAll(c.DataDir, 0o700); err != nil {
		return nil, fmt.Errorf("make the data folder: %w", err)
	}
	f, err := os.OpenFile(lockPath(c), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("claim the data folder: %w", err)
	}
	err = syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		pid := holder(c)
		return nil, errors.Join(fmt.Errorf("lattice is up already with the data folder %s (process %d); `lattice down` stops it", c.DataDir, pid), f.Close())
	}
	if err == nil {
		err = errors.Join(f.Truncate(0), second(f.WriteAt([]byte(strconv.Itoa(os.Getpid())), 0)))
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("claim the data folder: %w", err), f.Close())
	}
	return func() { f.Close() }, nil
}

func second[T any](_ T, err error) error { return err }

func lockPath(c config.Common) string { return filepath.Join(c.DataDir, "lock") }

// holder returns the process that has claimed the data folder, or 0.
func holder(c config.Common) int {
	f, err := os.Open(lockPath(c))
	if err != nil {
		return 0
	}
	defer f.Close()
	if syscall.Flock(int(f.Fd()), syscall.LOCK_SH|syscall.LOCK_NB) == nil {
		return 0 // nobody has it; closing f lets go of it again
	}
	data, err := os.ReadFile(lockPath(c))
	if err != nil {
		return 0
	}
	pid, _ := strconv.Atoi(strings.TrimSpace(string(data))) // 0 when it is just being written
	return pid
}

// Running returns the process that runs with the data folder, or 0.
func Running(c config.Common) int { return holder(c) }
