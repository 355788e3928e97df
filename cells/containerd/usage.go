package containerd

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"time"

	"lattice/app"
	"lattice/cells"
)

// Usage returns what the container uses now.
func (r *Runtime) Usage(_ context.Context, guid string) (cells.Usage, error) {
	mem, err1 := r.memory(guid)
	cpu, err2 := r.cpu(guid)
	err := errors.Join(err1, err2)
	if errors.Is(err, fs.ErrNotExist) {
		return cells.Usage{}, fmt.Errorf("container %s does not run: %w", guid, app.ErrNotFound)
	}
	if err != nil {
		return cells.Usage{}, fmt.Errorf("read usage of container %s: %w", guid, err)
	}
	return cells.Usage{MemoryBytes: mem, CPU: cpu}, nil
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
