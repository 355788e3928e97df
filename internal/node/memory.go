package node

import (
	"context"
	"runtime/debug"
	"runtime/metrics"
	"time"
)

const (
	trimEvery = 5 * time.Second
	trimAbove = 8 << 20 // bytes
)

// trimMemory gives back to the kernel what a burst, such as the unpacking of
// an image, has left free in the heap; by itself the Go runtime does so only
// slowly. On an idle node that is half of what it occupies.
func trimMemory(ctx context.Context) error {
	tick := time.NewTicker(trimEvery)
	defer tick.Stop()
	free := []metrics.Sample{{Name: "/memory/classes/heap/free:bytes"}}
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
		if metrics.Read(free); free[0].Value.Uint64() > trimAbove {
			debug.FreeOSMemory()
		}
	}
}
