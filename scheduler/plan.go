package scheduler

import (
	"cmp"
	"slices"
	"strings"

	"lattice/app"
)

// Facts is what a plan is made of. Plan changes nothing of it.
type Facts struct {
	Apps      []app.App
	Revisions map[app.RevisionKey]*app.App // the specs that Apps and Placed name
	Placed    []Placed
	Leaving   []Leaving // what still takes room though it is no longer placed
	Tasks     []Task    // that have not ended
	Cells     []app.Cell
	Orders    map[string]app.CellOrder // by cell; only of draining ones
}

// A Placed is a placement with what is known of its instance.
type Placed struct {
	app.Placement
	Health  Health
	Crashes int
	Reason  string // of the last crash
	Busy    bool   // requests may be open, or may still come because routers have not dropped it yet
}

// Health is whether an instance can serve.
type Health int

// From the worst to the best.
const (
	Ill     Health = iota // reported as starting, crashed or not ready
	Unknown               // not reported since the brain started, or its cell is suspect
	Healthy
)

// Leaving is an instance that is being stopped.
type Leaving struct {
	Cell             string
	MemoryMB, DiskMB int
}

// A Task is one that has a cell, or waits for one. It stays where it is: when
// its cell is gone, it is for others to say what becomes of it.
type Task struct {
	Name string
	Spec *app.App
	Cell string // empty: waits for a cell
}

// A TaskPlacement is a task that gets its cell.
type TaskPlacement struct{ Name, Cell string }

// A Decision is what has to change so that every app gets its instances and
// every task its cell.
type Decision struct {
	Stop     []app.Placement // no longer wanted, or on a dead cell
	Retired  []app.Placement // all that shall be out of the router now; they are stopped when no longer busy
	Start    []app.Placement // without ID and time: whoever acts on it gives them
	Tasks    []TaskPlacement
	Refused  []Refusal // instances and tasks that fit nowhere now
	Rollouts []Turn
}

// A Refusal says why an instance, or a task, has no cell, or none to move to.
type Refusal struct {
	App    string // empty: it is a task
	Index  int
	Task   string
	Reason string
}

// A Turn is a rollout that has come to another state.
type Turn struct {
	App    string
	State  app.RolloutState
	Reason string
}

// Plan compares the apps with their placements and decides what to change.
//
// It keeps one good placement for each index: of the wanted revision, on a cell
// that is neither dead nor draining, and not asked to be replaced. A placement
// on a dead cell, or on one that Facts doesn't name, is dropped at once. One
// that is not good stays until a good one of its index is healthy, a few at a
// time; then it is retired, and stopped when it is no longer busy. So nothing
// healthy is taken away before its successor serves, except by the strategy
// Recreate.
//
// Of the alive cells with room it takes the zone with the fewest instances of
// the app, then the cell with the fewest, then the one least used (mean of
// memory, disk and container share), then the lowest ID. Missing instances come
// before replacements, the first instance of every app before tasks, these
// before any second one, larger before smaller. Equal input in any order gives equal output.
func Plan(facts Facts) Decision {
	p := planner{Facts: facts, fleet: newFleet(facts.Cells, facts.Leaving)}
	for _, g := range p.groups() {
		p.settle(g)
	}
	waiting := p.tasks()
	rankWishes(p.missing)
	first, _ := slices.BinarySearchFunc(p.missing, 1, func(w wish, index int) int { return cmp.Compare(min(w.index, 1), index) })
	p.place(p.missing[:first])
	p.placeTasks(waiting)
	p.place(p.missing[first:])
	p.place(p.affordable())
	return p.d
}

type planner struct {
	Facts
	fleet *fleet
	d     Decision

	missing  []wish // indices without a placement
	replaced []wish // indices whose placement is not good
}

// A wish is an instance to be placed.
type wish struct {
	group *group
	spec  *app.App
	index int
	from  *host // the draining cell it shall leave, if that is the only reason
}

// A group is an app with its placements by index.
type group struct {
	app    *app.App // nil: it was removed
	slots  map[int][]*Placed
	moving int  // indices that are changing to another revision
	stale  bool // a placement of another revision is left
}

// groups sorts the placements by app and index, books their room, and drops
// those that are on dead cells or of no app. It returns the apps by name.
func (p *planner) groups() []*group {
	byName := make(map[string]*group, len(p.Apps))
	all := make([]*group, 0, len(p.Apps))
	for i := range p.Apps {
		g := &group{app: &p.Apps[i], slots: map[int][]*Placed{}}
		byName[g.app.Name] = g
		all = append(all, g)
	}
	slices.SortFunc(all, func(a, b *group) int { return strings.Compare(a.app.Name, b.app.Name) })
	placed := make([]*Placed, len(p.Placed))
	for i := range p.Placed {
		placed[i] = &p.Placed[i]
	}
	slices.SortFunc(placed, func(a, b *Placed) int {
		return cmp.Or(strings.Compare(a.App, b.App), cmp.Compare(a.Index, b.Index), a.At.Compare(b.At), strings.Compare(a.ID, b.ID))
	})
	for _, x := range placed {
		g, c := byName[x.App], p.fleet.byID[x.Cell]
		if g == nil || c == nil || c.State == app.CellDead {
			p.d.Stop = append(p.d.Stop, x.Placement)
			continue
		}
		p.fleet.take(c, p.spec(x.App, x.Revision, g.app))
		g.slots[x.Index] = append(g.slots[x.Index], x)
	}
	return all
}

// spec returns the app as it was at a revision; without such, as it is now.
func (p *planner) spec(name string, revision uint64, now *app.App) *app.App {
	if a, ok := p.Revisions[app.RevisionKey{App: name, Number: revision}]; ok {
		return a
	}
	return now
}

// place finds cells for wishes, most important first.
func (p *planner) place(ws []wish) {
	for _, w := range ws {
		c := p.fleet.best(w.spec)
		if c == nil {
			p.d.Refused = append(p.d.Refused, Refusal{App: w.spec.Name, Index: w.index, Reason: p.fleet.explain(w.spec)})
			continue
		}
		p.fleet.take(c, w.spec)
		p.d.Start = append(p.d.Start, app.Placement{App: w.spec.Name, Index: w.index, Cell: c.ID, Revision: w.spec.Revision})
	}
}

// rankWishes sorts wishes by importance.
func rankWishes(ws []wish) {
	slices.SortFunc(ws, func(a, b wish) int {
		return cmp.Or(cmp.Compare(min(a.index, 1), min(b.index, 1)), cmp.Compare(b.spec.MemoryMB, a.spec.MemoryMB),
			strings.Compare(a.spec.Name, b.spec.Name), cmp.Compare(a.index, b.index))
	})
}
