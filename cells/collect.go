package cells

import (
	"context"
	"slices"
	"time"

	"lattice/app"
)

// collectEvery is how often a cell looks for images to delete.
const collectEvery = 10 * time.Minute

// Images is where a Runtime has images.
type Images interface {
	// Collect deletes images that the rule names and no container needs, the
	// longest unused first, and returns how many.
	Collect(ctx context.Context, r CollectRule) (int, error)

	// Has reports whether an image is here, by what Pull was called with.
	Has(ctx context.Context, ref string) bool
}

// A CollectRule says which images are to be deleted.
type CollectRule struct {
	Needed func() []string // what Pull was, or will be, called with for what shall run; asked before each deletion
	Unused time.Duration   // at least that long
	Full   func() bool     // sooner, while it is true; nil: no
}

// collect deletes images that nothing needs, now and then and when the brain says
// so.
func (a *Agent) collect(ctx context.Context) {
	if a.cfg.Images == nil {
		return
	}
	tick := time.NewTicker(collectEvery)
	defer tick.Stop()
	for {
		rule := CollectRule{Needed: a.needed, Unused: a.cfg.ImageAge, Full: a.cfg.DiskFull}
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case o := <-a.prunes:
			rule.Unused, rule.Full = time.Duration(o.Unused), nil
		}
		n, err := a.cfg.Images.Collect(ctx, rule)
		if err != nil && ctx.Err() == nil {
			a.cfg.Log.Warn("images that nothing needs are not deleted", "err", err)
		}
		if n > 0 {
			a.cfg.Log.Info("images deleted that nothing needed", "images", n)
			a.forgetImages(ctx)
		}
	}
}

// needed returns the images of all that shall run, or still does.
func (a *Agent) needed() []string {
	a.mu.Lock()
	defer a.mu.Unlock()
	all := make([]string, 0, len(a.instances))
	for _, in := range a.instances {
		in.mu.Lock()
		all = append(all, in.rec.Assignment.App.Pulled())
		in.mu.Unlock()
	}
	return all
}

// prune takes an order of the brain, once.
func (a *Agent) prune(o *app.PruneOrder) {
	if o == nil || !o.At.After(a.pruned) {
		return
	}
	a.pruned = o.At
	select {
	case a.prunes <- *o:
	default: // one is waiting, which does about the same
	}
}

// forgetImages leaves out of the next report what is here no more.
func (a *Agent) forgetImages(ctx context.Context) {
	a.mu.Lock()
	had := slices.Clone(a.images)
	a.mu.Unlock()
	gone := slices.DeleteFunc(had, func(ref string) bool { return a.cfg.Images.Has(ctx, ref) })
	a.mu.Lock()
	a.images = slices.DeleteFunc(a.images, func(ref string) bool { return slices.Contains(gone, ref) })
	a.mu.Unlock()
	a.changed()
}
