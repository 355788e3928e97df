package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lattice/app"
)

// slack is how much fuller the one of two cells must be for an instance to move
// to the other.
const slack = whole / 50

// Rebalance returns what should move, most important first, as if each move was
// made before the next: instances whose rules don't admit their cell, or that
// are not spread as they would be if they were placed now; then, unless cells
// are to be packed, from the fullest cells to the emptiest, until no move makes
// a difference of more than 2 %. It moves only healthy instances of apps that
// aren't changing and have no volumes on a cell, and at most so many; 0 is any number.
func Rebalance(facts Facts, most int) []app.Move {
	p := newPlannerOf(facts)
	p.bookTasks(facts.Tasks)
	if most <= 0 {
		most = len(facts.Placed)
	}
	b := balancer{Planner: p, most: most, at: map[*Placed]*host{}, on: map[*host][]*Placed{}, of: map[*Placed]*group{}, first: map[*Placed]int{}}
	for _, name := range slices.Sorted(maps.Keys(p.groups)) {
		b.consider(p.groups[name])
	}
	for made := -1; made != b.made; { // each can make room for the other
		made = b.made
		b.spread()
		if !p.fleet.Pack {
			b.level()
		}
	}
	return slices.DeleteFunc(b.moves, func(m app.Move) bool { return m.From == m.To })
}

type balancer struct {
	*Planner
	most   int
	moves  []app.Move
	made   int                 // also those that went on from where another had led
	first  map[*Placed]int     // in moves
	groups []*group            // whose instances may move
	at     map[*Placed]*host   // where those are that may move
	on     map[*host][]*Placed // and the other way round
	of     map[*Placed]*group
}

// consider adds the app's instances that may move: one healthy one for each
// index, in an app that isn't changing.
func (b *balancer) consider(g *group) {
	if g.app == nil || len(g.app.NamedVolumes()) > 0 || g.app.Rollout != nil && !ended(g.app.Rollout) || len(g.placed) != g.app.Wanted() {
		return
	}
	for i := range g.placed {
		if x := &g.placed[i]; x.Index != i || x.Replace || x.Health != Healthy || g.hosts[i] == nil || !g.hosts[i].open() {
			return
		}
	}
	b.groups = append(b.groups, g)
	for i := range g.placed {
		x, h := &g.placed[i], g.hosts[i]
		b.at[x], b.of[x] = h, g
		b.on[h] = append(b.on[h], x)
	}
}

// spread moves instances that are on a cell that is not the right one for them.
func (b *balancer) spread() {
	for _, g := range b.groups {
		for i := range g.placed {
			x := &g.placed[i]
			if to, why := b.better(g, x); to != nil && len(b.moves) < b.most {
				b.move(g, i, to, why)
			}
		}
	}
}

// better returns the cell that x should be on, going by all but load, and why.
func (b *balancer) better(g *group, x *Placed) (to *host, why string) {
	from, spec := b.at[x], b.spec(g, x.Revision)
	b.Planner.enter(g, spec)
	defer b.fleet.leave()
	to = b.fleet.best(from)
	if to == nil || to == from {
		return nil, ""
	}
	c := &b.fleet.choice
	here, there := int(c.count[from.at])-1, int(c.count[to.at])
	zoneHere, zoneThere := int(c.inZone[from.zone])-1, int(c.inZone[to.zone])
	if to.zone == from.zone {
		zoneThere = zoneHere
	}
	switch lack := spec.Lacking(from.Cell); {
	case lack != "":
		return to, from.ID + " lacks " + lack
	case c.barred[from.at] > 0:
		return to, "an app that it must not meet is on " + from.ID
	case here > 0 && spec.Rules.OnePerCell:
		return to, "another instance is on " + from.ID
	case zoneThere < zoneHere:
		return to, fmt.Sprintf("zone %s has %d of its instances, %s has %d", from.Zone, zoneHere+1, to.Zone, zoneThere)
	case zoneThere > zoneHere:
		return nil, ""
	case there < here:
		return to, fmt.Sprintf("%s has %d of its instances, %s has %d", from.ID, here+1, to.ID, there)
	case there == here && spec.Rules.Misses(to.Cell) < spec.Rules.Misses(from.Cell):
		return to, to.ID + " has more of the labels that it prefers"
	}
	return nil, ""
}

// level moves instances from the fullest cells to emptier ones.
func (b *balancer) level() {
	cells := slices.DeleteFunc(slices.Clone(b.fleet.cells), func(h *host) bool { return !h.open() })
	byShare := func(x, y *host) int { return cmp.Or(cmp.Compare(x.full(), y.full()), cmp.Compare(x.at, y.at)) }
	for len(cells) > 1 && len(b.moves) < b.most {
		slices.SortFunc(cells, byShare)
		from := cells[len(cells)-1]
		if from.full() < cells[0].full()+slack {
			return
		}
		if !b.relieve(from) {
			cells = cells[:len(cells)-1] // nothing of it can move
		}
	}
}

// relieve moves one instance away from a cell, the largest that makes things
// better, and reports whether there was one.
func (b *balancer) relieve(from *host) bool {
	on := b.on[from]
	slices.SortFunc(on, func(x, y *Placed) int {
		return cmp.Or(cmp.Compare(b.spec(b.of[y], y.Revision).MemoryMB, b.spec(b.of[x], x.Revision).MemoryMB), strings.Compare(x.App, y.App), cmp.Compare(x.Index, y.Index))
	})
	before := from.full()
	for _, x := range on {
		g := b.of[x]
		to := b.emptier(g, x)
		if to == nil {
			continue
		}
		need := needs(b.spec(g, x.Revision))
		b.fleet.book(to, need, 1)
		after := to.full()
		b.fleet.book(to, need, -1)
		if after+slack <= before {
			i, _ := slices.BinarySearchFunc(g.placed, x.Index, func(p Placed, index int) int { return cmp.Compare(p.Index, index) })
			b.move(g, i, to, fmt.Sprintf("%s is %d %% full, %s %d %%", from.ID, before*100/whole, to.ID, to.full()*100/whole))
			return true
		}
	}
	return false
}

// emptier returns the best cell for x if it is no worse in how the app is
// spread, or nil.
func (b *balancer) emptier(g *group, x *Placed) *host {
	from, spec := b.at[x], b.spec(g, x.Revision)
	b.Planner.enter(g, spec)
	defer b.fleet.leave()
	to := b.fleet.best(from)
	if to == nil || to == from {
		return nil
	}
	c := &b.fleet.choice
	if to.zone != from.zone && c.inZone[to.zone] > c.inZone[from.zone]-1 || c.count[to.at] > c.count[from.at]-1 ||
		spec.Rules.Misses(to.Cell) > spec.Rules.Misses(from.Cell) {
		return nil
	}
	return to
}

// move notes a move, and books it.
func (b *balancer) move(g *group, i int, to *host, why string) {
	x, from := &g.placed[i], g.hosts[i]
	b.made++
	if at, again := b.first[x]; again {
		b.moves[at].To, b.moves[at].Why = to.ID, why
	} else {
		b.first[x] = len(b.moves)
		b.moves = append(b.moves, app.Move{App: g.name, Index: x.Index, ID: x.ID, From: from.ID, To: to.ID, Why: why})
	}
	b.fleet.book(from, g.took[i], -1)
	b.fleet.book(to, g.took[i], 1)
	g.hosts[i], b.at[x] = to, to
	b.on[from] = slices.DeleteFunc(b.on[from], func(y *Placed) bool { return x == y })
	b.on[to] = append(b.on[to], x)
	b.fleet.forget() // one cell has more room than before
}
