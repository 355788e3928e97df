package scheduler

import (
	"fmt"
	"maps"
	"slices"

	"lattice/app"
)

// failedCrashes is how often an instance of a new revision may crash before the
// rollout counts as failed.
const failedCrashes = 2

// settle decides what stays, what goes and what is missing of one app.
func (p *planner) settle(g *group) {
	if turn, ok := g.failure(); ok {
		p.d.Rollouts = append(p.d.Rollouts, turn)
	}
	wanted := g.app.Wanted()
	for _, i := range slices.Sorted(maps.Keys(g.slots)) {
		if i >= wanted {
			p.drop(g.slots[i])
		} else {
			p.settleSlot(g, i, g.slots[i])
		}
	}
	for i := range wanted {
		if len(g.slots[i]) == 0 {
			p.missing = append(p.missing, wish{group: g, spec: p.target(g, i), index: i})
		}
	}
	if g.recreating() && g.stale { // its old instances go first
		p.missing = slices.DeleteFunc(p.missing, func(w wish) bool { return w.group == g })
	}
	if turn, ok := g.progress(p); ok {
		p.d.Rollouts = append(p.d.Rollouts, turn)
	}
}

// target returns the spec that the instance with this index shall have. Until
// a canary is promoted only the first one gets the new revision.
func (p *planner) target(g *group, index int) *app.App {
	revision := g.app.Revision
	if r := g.app.Rollout; r != nil && r.Strategy == app.Canary && index > 0 && !ended(r) {
		revision = r.From
	}
	return p.spec(g.app.Name, revision, g.app)
}

func ended(r *app.Rollout) bool { return r.State == app.RolloutDone || r.State == app.RolloutFailed }

// recreating reports whether all old instances must stop before a new one starts.
func (g *group) recreating() bool {
	r := g.app.Rollout
	return r != nil && r.Strategy == app.Recreate && r.State == app.RolloutRunning
}

// settleSlot decides about the placements of one index, of which there is at
// least one.
func (p *planner) settleSlot(g *group, index int, all []*Placed) {
	spec := p.target(g, index)
	var good, old []*Placed
	for _, x := range all {
		if x.Revision != spec.Revision {
			g.stale = true
		}
		if x.Revision == spec.Revision && !x.Replace && !p.fleet.byID[x.Cell].Draining {
			good = append(good, x)
		} else {
			old = append(old, x)
		}
	}
	switch {
	case len(good) > 0:
		keep := best(good)
		p.drop(others(good, keep))
		if keep.Health == Healthy {
			p.drop(old)
			return
		}
		p.wait(g, spec, old)
	case g.recreating() && old[0].Revision != spec.Revision:
		p.drop(old)
	default:
		keep := best(old)
		p.drop(others(old, keep))
		w := wish{group: g, spec: spec, index: index}
		if keep.Revision == spec.Revision && !keep.Replace {
			w.from = p.fleet.byID[keep.Cell]
		}
		p.replaced = append(p.replaced, w)
	}
}

// wait keeps the best of the old placements until the new one is healthy, and
// counts the index as changing.
func (p *planner) wait(g *group, spec *app.App, old []*Placed) {
	if len(old) == 0 {
		return
	}
	keep := best(old)
	p.drop(others(old, keep))
	if keep.Revision == spec.Revision && !keep.Replace {
		p.fleet.byID[keep.Cell].moving++
	} else {
		g.moving++
	}
}

// best returns the placement to keep: the healthiest, then the oldest.
func best(all []*Placed) *Placed {
	return slices.MaxFunc(all, func(a, b *Placed) int { return int(a.Health) - int(b.Health) })
}

func others(all []*Placed, keep *Placed) []*Placed {
	return slices.DeleteFunc(slices.Clone(all), func(x *Placed) bool { return x == keep })
}

// drop lets go of placements: those that serve are first taken out of the
// router, and stopped when their requests have ended.
func (p *planner) drop(all []*Placed) {
	for _, x := range all {
		if x.Health == Healthy && x.Busy {
			p.d.Retired = append(p.d.Retired, x.Placement)
		} else {
			p.d.Stop = append(p.d.Stop, x.Placement)
		}
	}
}

// affordable returns the replacements that may start now without too many
// changing at the same time.
func (p *planner) affordable() []wish {
	var now []wish
	rankWishes(p.replaced)
	for _, w := range p.replaced {
		count, limit := &w.group.moving, w.group.inFlight()
		if w.from != nil {
			count, limit = &w.from.moving, p.drainInFlight(w.from.ID)
		}
		if *count < limit {
			*count++
			now = append(now, w)
		}
	}
	return now
}

// inFlight returns how many instances may change at the same time.
func (g *group) inFlight() int {
	if r := g.app.Rollout; r != nil && r.MaxInFlight > 0 {
		return r.MaxInFlight
	}
	return max(1, g.app.Wanted()/4)
}

func (p *planner) drainInFlight(cell string) int {
	if n := p.Orders[cell].MaxInFlight; n > 0 {
		return n
	}
	return app.DefaultDrainInFlight
}

// failure tells that a rollout has failed: the new revision keeps crashing.
func (g *group) failure() (Turn, bool) {
	r := g.app.Rollout
	if r == nil || ended(r) || r.From == 0 {
		return Turn{}, false
	}
	for _, i := range slices.Sorted(maps.Keys(g.slots)) {
		for _, x := range g.slots[i] {
			if x.Revision == r.To && x.Health == Ill && x.Crashes >= failedCrashes {
				return Turn{g.app.Name, app.RolloutFailed, fmt.Sprintf("instance %d crashed %d times: %s", i, x.Crashes, x.Reason)}, true
			}
		}
	}
	return Turn{}, false
}

// progress tells that a rollout has come to its end, or a canary to the point
// where a person must decide.
func (g *group) progress(p *planner) (Turn, bool) {
	r := g.app.Rollout
	if r == nil || r.State != app.RolloutRunning {
		return Turn{}, false
	}
	for i := range g.app.Wanted() {
		all, spec := g.slots[i], p.target(g, i)
		if len(all) != 1 || all[0].Revision != spec.Revision || all[0].Health != Healthy || all[0].Replace {
			return Turn{}, false
		}
	}
	state := app.RolloutDone
	if r.Strategy == app.Canary && g.app.Wanted() > 1 {
		state = app.RolloutPaused
	}
	return Turn{App: g.app.Name, State: state}, true
}
