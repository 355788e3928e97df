package scheduler

import (
	"cmp"
	"maps"
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
	Images    map[string][]string      // by cell: names of images that it has; may be incomplete
	Volumes   map[app.VolumeKey]string // the cells of named volumes that instances or tasks have had
	Options
}

// Options say how to choose cells.
type Options struct {
	Pack             bool // fill one cell after the other, instead of all evenly
	MaxStarts        int  // instances and tasks that may be starting at the same time; 0: any number
	MaxStartsPerCell int
}

// A Placed is a placement with what is known of its instance.
type Placed struct {
	app.Placement
	Health   Health
	Starting bool // it has neither come up nor failed yet, and has not taken very long
	Crashes  int
	Reason   string // of the last crash
	Busy     bool   // requests may be open, or may still come because routers have not dropped it yet
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
	Name     string
	Spec     *app.App
	Cell     string // empty: waits for a cell
	Starting bool   // as Placed.Starting
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
	Waits  bool // there is room: it only waits until fewer are starting
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
// An instance whose named volume is on a cell can't be elsewhere. Its placement
// there stays though the cell is dead, so that it goes on when the cell comes back;
// and two of an index never have a volume at the same time: one that is not good
// is stopped when its successor has room, in the same plan.
//
// Of the alive cells with room that the app's rules admit it takes the zone
// with the fewest instances of the app, then the cell with the fewest, then the
// one with the most preferred labels, then the least loaded (mean of memory,
// disk, cpu and container share, instances that are starting counting 33 times),
// then that in the zone with
// the fewest containers, then the lowest ID; an image that is there already outweighs 3 %
// of load. Missing instances come before replacements, the first instance of
// every app before tasks, these before any second one, larger before smaller.
// Equal input in any order gives equal output.
//
// A placement costs about as much on few cells as on many, and however many
// instances there are.
func Plan(facts Facts) Decision { return newPlannerOf(facts).Plan(facts.Tasks) }

// newPlannerOf returns a Planner that was told all facts but the tasks.
func newPlannerOf(facts Facts) *Planner {
	p := NewPlanner(facts.Options, facts.Revisions)
	p.SetCells(facts.Cells, facts.Orders)
	p.SetImages(facts.Images)
	p.SetVolumes(facts.Volumes)
	leaving := map[string]app.Resources{}
	for _, l := range facts.Leaving {
		r := leaving[l.Cell]
		leaving[l.Cell] = app.Resources{MemoryMB: r.MemoryMB + l.MemoryMB, DiskMB: r.DiskMB + l.DiskMB, Containers: r.Containers + 1}
	}
	for cell, r := range leaving {
		p.SetLeaving(cell, r)
	}
	placed := slices.Clone(facts.Placed)
	slices.SortFunc(placed, func(a, b Placed) int { return cmp.Or(strings.Compare(a.App, b.App), comparePlaced(a, b)) })
	of := map[string][]Placed{}
	for len(placed) > 0 {
		name, n := placed[0].App, 1
		for n < len(placed) && placed[n].App == name {
			n++
		}
		of[name], placed = placed[:n:n], placed[n:]
	}
	for i := range facts.Apps {
		a := &facts.Apps[i]
		p.SetApp(a.Name, a, of[a.Name])
		delete(of, a.Name)
	}
	for _, name := range slices.Sorted(maps.Keys(of)) {
		p.SetApp(name, nil, of[name])
	}
	return p
}

// comparePlaced orders the placements of an app: by index, the oldest first.
func comparePlaced(a, b Placed) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), a.At.Compare(b.At), strings.Compare(a.ID, b.ID))
}
