package node

import (
	"context"
	"fmt"
	"os"
	"runtime/debug"
	"runtime/metrics"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

const (
	trimEvery = 5 * time.Second
	trimAbove = 8 << 20 // bytes
)

// trimMemory gives back to the kernel what a burst, such as the unpacking of
// an image, has left free in the heap; by itself the Go runtime does so only
// slowly. Once, it gives back what only the start needed of the program. On an idle
// node all that is more than half of what it occupies.
func trimMemory(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	free := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}}
	for started := false; ; started = true {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if !started {
			trimProgram()
		}
		if metrics.Read(free); free[0].Value.Uint64() > trimAbove {
			debug.FreeOSMemory()
		}
	}
}

// trimProgram unmaps the pages of the program, of which most were read for the start
// only. What is used comes back from the kernel's cache. Without /proc nothing
// happens.
func trimProgram() {
	exe, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/maps")
	if err != nil {
		return
	}
	for line := range strings.Lines(string(maps)) {
		var from, to uintptr
		var perms string
		if _, err := fmt.Sscanf(line, "%x-%x %s", &from, &to, &perms); err != nil || perms[1] == 'w' || !strings.HasSuffix(strings.TrimSpace(line), exe) {
			continue
		}
		_, _, _ = unix.Syscall(unix.SYS_MADVISE, from, to-from, unix.MADV_DONTNEED) // it is advice
	}
}
