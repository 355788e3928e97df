package scheduler

import (
	"fmt"
	"iter"
	"slices"

	"lattice/app"
)

// failedCrashes is how often an instance of a new revision may crash before the
// rollout counts as failed.
const failedCrashes = 2

// settle decides what stays, what goes and what is missing of one app.
func (p *Planner) settle(g *group) {
	g.moving, g.stale, g.calm = 0, false, true
	if g.app == nil {
		for _, x := range g.placed {
			p.d.Stop = append(p.d.Stop, x.Placement)
		}
		g.calm = false
		return
	}
	if turn, ok := g.failure(); ok {
		g.calm = false
		p.d.Rollouts = append(p.d.Rollouts, turn)
	}
	wanted, before, next := g.app.Wanted(), len(p.missing), 0
	for index, all := range p.slots(g) {
		if index >= wanted {
			p.drop(g, all)
			continue
		}
		p.lack(g, next, index)
		if next = index + 1; len(all) > 0 {
			p.settleSlot(g, index, all)
		}
	}
	p.lack(g, next, wanted)
	if g.recreating() && g.stale { // its old instances go first
		p.missing = p.missing[:before]
	}
	if turn, ok := g.progress(p); ok {
		g.calm = false
		p.d.Rollouts = append(p.d.Rollouts, turn)
	}
}

// slots goes through the indices that have placements on cells that are there,
// and drops the other placements, but for those that wait for their volume's cell:
// of these it yields the index alone. What it yields is good until the next one.
func (p *Planner) slots(g *group) iter.Seq2[int, []*Placed] {
	return func(yield func(int, []*Placed) bool) {
		for i := 0; i < len(g.placed); {
			index := g.placed[i].Index
			p.live = p.live[:0]
			held := false
			for ; i < len(g.placed) && g.placed[i].Index == index; i++ {
				switch {
				case g.hosts[i] != nil:
					p.live = append(p.live, &g.placed[i])
				case p.holds(g, &g.placed[i]):
					held = true
				default:
					g.calm = false
					p.d.Stop = append(p.d.Stop, g.placed[i].Placement)
				}
			}
			if (held || len(p.live) > 0) && !yield(index, p.live) {
				return
			}
		}
	}
}

// lack notes that the indices from one to before another have no placement.
func (p *Planner) lack(g *group, from, to int) {
	for i := from; i < to; i++ {
		g.calm = false
		p.missing = append(p.missing, wish{group: g, spec: p.target(g, i), index: i})
	}
}

// target returns the spec that the instance with this index shall have. Until
// a canary is promoted only the first one gets the new revision.
func (p *Planner) target(g *group, index int) *app.App {
	revision := g.app.Revision
	if r := g.app.Rollout; r != nil && r.Strategy == app.Canary && index > 0 && !ended(r) {
		revision = r.From
	}
	return p.spec(g, revision)
}

func ended(r *app.Rollout) bool { return r.State == app.RolloutDone || r.State == app.RolloutFailed }

// recreating reports whether all old instances must stop before a new one starts.
func (g *group) recreating() bool {
	r := g.app.Rollout
	return r != nil && r.Strategy == app.Recreate && r.State == app.RolloutRunning
}

// settleSlot decides about the placements of one index, of which there is at
// least one.
func (p *Planner) settleSlot(g *group, index int, all []*Placed) {
	spec := p.target(g, index)
	old := 0 // all[:old] are not good
	for i, x := range all {
		if x.Revision != spec.Revision {
			g.stale = true
		}
		if x.Revision != spec.Revision || x.Replace || p.fleet.byID[x.Cell].Draining {
			copy(all[old+1:i+1], all[old:i])
			all[old] = x
			old++
		}
	}
	olds, good := all[:old], all[old:]
	switch {
	case len(good) > 0:
		keep := best(good)
		p.dropBut(g, good, keep)
		if keep.Health == Healthy {
			p.drop(g, olds)
		} else {
			p.wait(g, spec, olds)
			g.moving += toInt(len(olds) == 0 && g.succeeds(keep, spec))
		}
	case g.recreating() && olds[0].Revision != spec.Revision:
		p.drop(g, olds)
	default:
		keep := best(olds)
		p.dropBut(g, olds, keep)
		w := wish{group: g, spec: spec, index: index, old: p.fleet.byID[keep.Cell]}
		if keep.Revision == spec.Revision && !keep.Replace {
			w.from = w.old
		}
		if shares(p.spec(g, keep.Revision), spec) {
			w.before = keep
		}
		g.calm = false
		p.replaced = append(p.replaced, w)
	}
}

// wait keeps the best of the old placements until the new one is healthy, and
// counts the index as changing.
func (p *Planner) wait(g *group, spec *app.App, old []*Placed) {
	if len(old) == 0 {
		return
	}
	g.calm = false
	keep := best(old)
	p.dropBut(g, old, keep)
	if keep.Revision == spec.Revision && !keep.Replace {
		p.fleet.byID[keep.Cell].moving++
	} else {
		g.moving++
	}
}

// best returns the placement to keep: the healthiest, then the oldest.
func best(all []*Placed) *Placed {
	keep := all[0]
	for _, x := range all[1:] {
		if x.Health > keep.Health {
			keep = x
		}
	}
	return keep
}

func (p *Planner) dropBut(g *group, all []*Placed, keep *Placed) {
	for i, x := range all {
		if x != keep {
			p.drop(g, all[i:i+1])
		}
	}
}

// drop lets go of placements: those that serve are first taken out of the
// router, and stopped when their requests have ended.
func (p *Planner) drop(g *group, all []*Placed) {
	for _, x := range all {
		g.calm = false
		if x.Health == Healthy && x.Busy {
			p.d.Retired = append(p.d.Retired, x.Placement)
		} else {
			p.d.Stop = append(p.d.Stop, x.Placement)
		}
	}
}

// affordable returns the replacements that may start now without too many
// changing at the same time.
func (p *Planner) affordable() []wish {
	var now []wish
	first, rest := rank(p.replaced)
	for _, w := range slices.Concat(first, rest) {
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

func (p *Planner) drainInFlight(cell string) int {
	if n := p.orders[cell].MaxInFlight; n > 0 {
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
	for i, x := range g.placed {
		if g.hosts[i] != nil && x.Revision == r.To && x.Health == Ill && x.Crashes >= failedCrashes {
			return Turn{g.app.Name, app.RolloutFailed, fmt.Sprintf("instance %d crashed %d times: %s", x.Index, x.Crashes, x.Reason)}, true
		}
	}
	return Turn{}, false
}

// progress tells that a rollout has come to its end, or a canary to the point
// where a person must decide.
func (g *group) progress(p *Planner) (Turn, bool) {
	r := g.app.Rollout
	if r == nil || r.State != app.RolloutRunning {
		return Turn{}, false
	}
	next := 0
	for i, x := range g.placed {
		switch {
		case g.hosts[i] == nil || x.Index >= g.app.Wanted():
			continue
		case x.Index != next || x.Revision != p.target(g, next).Revision || x.Health != Healthy || x.Replace:
			return Turn{}, false
		}
		next++
	}
	if next != g.app.Wanted() {
		return Turn{}, false
	}
	state := app.RolloutDone
	if r.Strategy == app.Canary && g.app.Wanted() > 1 {
		state = app.RolloutPaused
	}
	return Turn{App: g.app.Name, State: state}, true
}
