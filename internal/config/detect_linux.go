package config

import (
	"path/filepath"

	"golang.org/x/sys/unix"
)

// totalMemoryMB returns the host's memory in MiB, 0 if unknown.
func totalMemoryMB() int {
	var info unix.Sysinfo_t
	if err := unix.Sysinfo(&info); err != nil {
		return 0
	}
	return int(uint64(info.Totalram) * uint64(info.Unit) >> 20)
}

// freeDiskMB returns what is free, in MiB, where dir is or will be; 0 if unknown,
// so a disk that is full has 1.
func freeDiskMB(dir string) int {
	var stat unix.Statfs_t
	for unix.Statfs(dir, &stat) != nil {
		parent := filepath.Dir(dir)
		if parent == dir {
			return 0
		}
		dir = parent
	}
	return max(1, int(stat.Bavail*uint64(stat.Bsize)>>20))
}
