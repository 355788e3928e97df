package cells

import (
	"context"
	"errors"
	"time"

	"lattice/app"
)

// watchDisk counts the files of the container now and then, and returns an
// error when they are more than they may be.
func (in *instance) watchDisk(ctx context.Context) error {
	a := in.rec.Assignment.App
	warned := false
	for d := diskFirst; sleep(ctx, spread(d)); {
		used, took, err := in.disk(ctx)
		switch {
		case errors.Is(err, context.DeadlineExceeded) && ctx.Err() == nil && a.DiskMB > 0 && !warned:
			warned = true
			in.agent.cfg.Log.Warn("an instance has so many files that its disk limit can't be enforced", "app", a.Name, "instance", in.rec.Assignment.Index, "took", took)
		case err == nil:
			in.mu.Lock()
			in.view.DiskBytes = used
			in.mu.Unlock()
			if err := tooMuch(used, a.DiskMB); err != nil {
				return err
			}
		} // other errors: it is ending, or the next walk will do
		d = nextDisk(took, a.DiskMB > 0)
	}
	return ctx.Err()
}

// disk walks over the files and returns how many bytes they have and how long
// that took.
func (in *instance) disk(ctx context.Context) (used int64, took time.Duration, err error) {
	select {
	case in.agent.walks <- struct{}{}:
		defer func() { <-in.agent.walks }()
	case <-ctx.Done():
		return 0, 0, ctx.Err()
	}
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, diskWalk)
	defer cancel()
	used, err = in.agent.cfg.Runtime.Disk(ctx, in.rec.GUID)
	return used, time.Since(start), err
}

// measure refreshes what the instance uses of memory and CPU.
func (in *instance) measure(ctx context.Context) {
	v := in.snapshot()
	if v.State != app.Running {
		return
	}
	u, err := in.agent.cfg.Runtime.Usage(ctx, v.GUID)
	if err != nil {
		return // it is ending, or the figures of the next round will do
	}
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	if in.view.GUID != v.GUID {
		return // it has crashed meanwhile
	}
	if !in.lastTime.IsZero() && u.CPU >= in.lastCPU {
		in.view.CPUPercent = 100 * float64(u.CPU-in.lastCPU) / float64(now.Sub(in.lastTime))
	}
	in.view.MemoryBytes, in.lastCPU, in.lastTime = u.MemoryBytes, u.CPU, now
}
