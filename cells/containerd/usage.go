package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"sync"
	"time"

	continuity "github.com/containerd/continuity/fs"

	"lattice/app"
	"lattice/cells"
)

// diskEvery is how often the size of a container's files is added up anew; that
// takes a walk over all of them.
const diskEvery = 30 * time.Second

// Usage returns what the container uses now; its DiskBytes may be half a minute old.
func (r *Runtime) Usage(ctx context.Context, guid string) (cells.Usage, error) {
	ctx = r.context(ctx)
	mem, err1 := r.memory(guid)
	cpu, err2 := r.cpu(guid)
	err := errors.Join(err1, err2)
	if errors.Is(err, fs.ErrNotExist) {
		return cells.Usage{}, fmt.Errorf("container %s does not run: %w", guid, app.ErrNotFound)
	}
	if err != nil {
		return cells.Usage{}, fmt.Errorf("read usage of container %s: %w", guid, err)
	}
	disk, err := r.disk.get(guid, func() (int64, error) {
		layer, err := r.client.SnapshotService(r.snapshotter).Usage(ctx, guid)
		if err != nil {
			return 0, err
		}
		dir, err := continuity.DiskUsage(ctx, r.dir(guid))
		return layer.Size + dir.Size, err
	})
	if err != nil {
		return cells.Usage{}, fmt.Errorf("read disk usage of container %s: %w", guid, err)
	}
	return cells.Usage{MemoryBytes: mem, CPU: cpu, DiskBytes: disk}, nil
}

// memory leaves out what the kernel can drop at once: file pages not used lately.
func (r *Runtime) memory(guid string) (int64, error) {
	current, inactive := "memory.usage_in_bytes", "total_inactive_file"
	if cgroupV2() {
		current, inactive = "memory.current", "inactive_file"
	}
	used, err := cgroupNumber(r.cgroupFile(guid, "memory", current))
	if err != nil {
		return 0, err
	}
	drop, err := cgroupField(r.cgroupFile(guid, "memory", "memory.stat"), inactive)
	return max(0, used-drop), err
}

func (r *Runtime) cpu(guid string) (time.Duration, error) {
	if cgroupV2() {
		us, err := cgroupField(r.cgroupFile(guid, "", "cpu.stat"), "usage_usec")
		return time.Duration(us) * time.Microsecond, err
	}
	ns, err := cgroupNumber(r.cgroupFile(guid, "cpuacct", "cpuacct.usage"))
	return time.Duration(ns), err
}

// diskUsage remembers sizes for diskEvery.
type diskUsage struct {
	mu    sync.Mutex // guards what follows
	sizes map[string]diskSize
}

type diskSize struct {
	bytes int64
	at    time.Time
}

func newDiskUsage() *diskUsage { return &diskUsage{sizes: map[string]diskSize{}} }

func (d *diskUsage) get(guid string, measure func() (int64, error)) (int64, error) {
	d.mu.Lock()
	s, ok := d.sizes[guid]
	d.mu.Unlock()
	if ok && time.Since(s.at) < diskEvery {
		return s.bytes, nil
	}
	n, err := measure()
	if err != nil {
		return 0, err
	}
	d.mu.Lock()
	d.sizes[guid] = diskSize{n, time.Now()}
	d.mu.Unlock()
	return n, nil
}

func (d *diskUsage) forget(guid string) {
	d.mu.Lock()
	delete(d.sizes, guid)
	d.mu.Unlock()
}
