package cells

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

// changed asks for a report.
func (a *Agent) changed() {
	select {
	case a.dirty <- struct{}{}:
	default: // one is asked for already
	}
	if a.cfg.Changed != nil {
		a.cfg.Changed()
	}
}

// report tells the brain at each change and now and then without one. The first
// change after a quiet time is told at once; in a storm of them each report
// tells what came together during the last one and the pause after it.
func (a *Agent) report(ctx context.Context) {
	wait := retry{first: firstRetry, last: lastRetry}
	tick := time.NewTicker(reportEvery)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-a.dirty:
		case <-tick.C:
		}
		start := time.Now()
		err := a.cfg.Brain.Report(ctx, app.Report{Cell: a.cfg.ID, Instances: a.Instances(), Strays: a.strays(), Images: a.someImages(), Vitals: a.vitals(), Volumes: a.shelf.list()})
		if err != nil && ctx.Err() == nil {
			a.cfg.Log.Debug("report not delivered", "err", err)
			wait.sleep(ctx)
			a.changed()
			continue
		}
		wait.reset()
		sleep(ctx, mute(time.Since(start)))
	}
}

// vitals returns how the host is.
func (a *Agent) vitals() *app.Vitals {
	if a.cfg.Vitals == nil {
		return nil
	}
	v := a.cfg.Vitals()
	v.At = time.Now().UTC()
	return &v
}

// Movable returns how many instances the brain can move to other cells, and how
// many it can't because their volumes are here.
func (a *Agent) Movable() (n, bound int) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, in := range a.instances {
		switch {
		case in.snapshot().Stray:
		case len(in.rec.Assignment.Volumes) > 0:
			bound++
		default:
			n++
		}
	}
	return n, bound
}

// Instances returns what the cell runs, by app and index.
func (a *Agent) Instances() []app.Instance {
	a.mu.Lock()
	views := make([]app.Instance, 0, len(a.instances))
	for _, in := range a.instances {
		views = append(views, in.snapshot())
	}
	a.mu.Unlock()
	slices.SortFunc(views, func(x, y app.Instance) int {
		return cmp.Or(strings.Compare(x.App, y.App), cmp.Compare(x.Index, y.Index), strings.Compare(x.ID, y.ID))
	})
	return views
}
