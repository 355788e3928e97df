package node

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"lattice/internal/config"
)

const (
	evacuationLook = 100 * time.Millisecond // between looks at what is left
	evacuationNote = 10 * time.Second       // between lines that say so
	undrainRetry   = 2 * time.Second
)

// evacuationMark is there from when a cell began to move its instances away
// until it has come back and takes new ones.
func evacuationMark(c config.Common) string { return filepath.Join(c.DataDir, "cell", "evacuated") }

// evacuating returns a context that ends when ctx has ended and, if that is
// wanted, the instances of the cell have moved elsewhere.
func (c *cell) evacuating(ctx context.Context) context.Context {
	if !c.cfg.EvacuateOnStop {
		return ctx
	}
	later, end := context.WithCancelCause(context.WithoutCancel(ctx))
	context.AfterFunc(ctx, func() {
		c.evacuate(later)
		end(context.Cause(ctx))
	})
	return later
}

// evacuate has the brain move the cell's instances away, and returns when none
// is left or the time is over. What is left runs on, as it does without.
func (c *cell) evacuate(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.cfg.EvacuateTimeout)
	defer cancel()
	start := time.Now()
	c.log.Info("moving instances to other cells before the end", "cell", c.cfg.ID, "limit", c.cfg.EvacuateTimeout)
	if err := saveFile(evacuationMark(c.cfg.Common), nil); err != nil {
		c.log.Warn("the cell can't remember that it was evacuated; when it is back, `lattice cell undrain` lets it take instances again", "cell", c.cfg.ID, "err", err)
	}
	if err := c.client.Drain(ctx, c.cfg.ID, 0); err != nil {
		c.log.Error("the cell can't be evacuated, its instances run on here", "cell", c.cfg.ID, "err", err)
		return
	}
	look := time.NewTicker(evacuationLook)
	defer look.Stop()
	for noted := start; ; {
		left, bound := c.agent.Movable()
		switch {
		case left == 0 && bound > 0:
			c.log.Info("all instances have moved but those whose volumes are here, which run on", "cell", c.cfg.ID, "left", bound, "took", time.Since(start))
			return
		case left == 0:
			c.log.Info("all instances have moved", "cell", c.cfg.ID, "took", time.Since(start))
			return
		case time.Since(noted) >= evacuationNote:
			noted = time.Now()
			c.log.Info("instances are still to be moved", "cell", c.cfg.ID, "left", left)
		}
		select {
		case <-ctx.Done():
			c.log.Error("not all instances could be moved in time, the others run on here", "cell", c.cfg.ID, "left", left)
			return
		case <-look.C:
		}
	}
}

// welcome lets a cell that was evacuated when it stopped take instances again.
func (c *cell) welcome(ctx context.Context) error {
	mark := evacuationMark(c.cfg.Common)
	for told := false; ; {
		if _, err := os.Stat(mark); errors.Is(err, fs.ErrNotExist) {
			break
		}
		err := c.client.Undrain(ctx, c.cfg.ID)
		if err == nil {
			err = os.Remove(mark)
		}
		if err != nil && ctx.Err() == nil && !told {
			told = true
			c.log.Warn("the cell was evacuated and takes no instances yet, will try again", "cell", c.cfg.ID, "err", err)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-time.After(undrainRetry):
		}
	}
	<-ctx.Done()
	return nil
}
