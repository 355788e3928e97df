package scheduler

import (
	"fmt"
	"maps"
	"slices"

	"lattice/app"
)

// A key orders the cells that an instance may go to: first those with the
// fewest instances of its app (for a task: with the fewest tasks), then those
// with the most labels that it prefers, then the least loaded.
const (
	loadBits = 40
	missBits = 4
	maxMiss  = 1<<missBits - 1
	maxLoad  = 1<<loadBits - 1
	maxCount = 1<<(63-loadBits-missBits) - 1
)

func keyOf(count, miss int, load uint64) uint64 {
	return uint64(min(count, maxCount))<<(loadBits+missBits) | uint64(min(miss, maxMiss))<<loadBits | min(load, maxLoad)
}

// choice finds the best cell for instances of one app after the other. Cells
// are in trees, which hold what was true when they were last looked at. Since
// load only grows and room only shrinks while cells are chosen, a leaf is never
// worse than the cell really is: it is enough to bring it up to date when the
// search comes to it, and to search again if that changed it.
type choice struct {
	fleet *fleet
	views map[string]*view
	specs map[*app.App]*view

	// Of the app whose instances are being placed:
	spec    *app.App
	view    *view
	count   []int32 // its instances, by cell
	inZone  []int32 // and by zone
	barred  []int32 // of instances that it must not meet, by cell
	counted []*host // cells of which count is not 0
	shunned []*host // and those of which barred is not 0
	images  map[string][]*host
	full    bool // no cell has room for another one
}

// A view is the cells that some apps may use.
type view struct {
	trees   []*tree // by zone, or one for all zones; nil: no cell there
	leaves  []int32 // by cell; 0: not in the view
	tree    []int32 // by cell
	hosts   [][]*host
	miss    []uint8 // by cell: preferred labels it lacks
	tasks   bool
	touched []*host // their leaves have what is true for one app only
}

func newChoice(f *fleet) choice {
	n := len(f.cells)
	return choice{
		fleet: f, views: map[string]*view{}, specs: map[*app.App]*view{},
		count: make([]int32, n), inZone: make([]int32, len(f.zones)), barred: make([]int32, n),
	}
}

// forget lets go of what the trees have: load may have shrunk since.
func (c *choice) forget() {
	clear(c.views)
	clear(c.specs)
}

// enter prepares for instances of an app, or for a task.
func (c *choice) enter(spec *app.App, tasks bool) {
	v := c.viewOf(spec, tasks)
	c.spec, c.view, c.full = spec, v, false
}

// addAll counts the app's instances.
func (c *choice) addAll(g *group) {
	for _, h := range g.hosts {
		if h != nil {
			c.add(h)
		}
	}
	for _, h := range g.added {
		c.add(h)
	}
}

// shun bars the cells that have instances of g, which may be nil.
func (c *choice) shun(g *group) {
	if g == nil {
		return
	}
	for _, hosts := range [][]*host{g.hosts, g.added} {
		for _, h := range hosts {
			if h != nil {
				c.barred[h.at]++
				c.shunned = append(c.shunned, h)
			}
		}
	}
}

func (c *choice) add(h *host) {
	c.count[h.at]++
	c.inZone[h.zone]++
	c.counted = append(c.counted, h)
}

// leave undoes enter.
func (c *choice) leave() {
	for _, h := range c.counted {
		c.count[h.at], c.inZone[h.zone] = 0, 0
	}
	for _, h := range c.shunned {
		c.barred[h.at] = 0
	}
	c.counted, c.shunned = c.counted[:0], c.shunned[:0]
	for _, h := range c.view.touched {
		c.view.set(h, c.now(h))
	}
	c.view.touched = c.view.touched[:0]
	c.spec, c.view = nil, nil
}

// viewOf returns the cells that an app may use, in a tree for each zone; those
// for a task are all in one.
func (c *choice) viewOf(spec *app.App, tasks bool) *view {
	if v := c.specs[spec]; v != nil {
		return v
	}
	sign := "a"
	if tasks {
		sign = "t"
	}
	if r := spec.Rules; len(r.Require)+len(r.Prefer)+len(r.Zones) > 0 {
		sign = fmt.Sprint(sign, r.Require, r.Prefer, r.Zones) // maps are printed in order
	}
	if spec.Privileged {
		sign += "p"
	}
	v := c.views[sign]
	if v == nil {
		v = c.newView(spec, tasks)
		c.views[sign] = v
	}
	c.specs[spec] = v
	return v
}

func (c *choice) newView(spec *app.App, tasks bool) *view {
	n, trees := len(c.fleet.cells), len(c.fleet.zones)
	if tasks {
		trees = 1
	}
	v := &view{
		trees: make([]*tree, trees), hosts: make([][]*host, trees), leaves: make([]int32, n), tree: make([]int32, n), miss: make([]uint8, n), tasks: tasks,
	}
	for _, h := range c.fleet.cells {
		if !h.open() || spec.Lacking(h.Cell) != "" {
			continue
		}
		z := h.zone
		if tasks {
			z = 0
		}
		v.hosts[z] = append(v.hosts[z], h)
		v.tree[h.at] = int32(z)
		v.miss[h.at] = uint8(min(spec.Rules.Misses(h.Cell), maxMiss))
	}
	for z, hosts := range v.hosts {
		if len(hosts) == 0 {
			continue
		}
		t := newTree(len(hosts))
		for i, h := range hosts {
			v.leaves[h.at] = int32(t.leaves + i)
			t.nodes[t.leaves+i] = c.node(v, h)
		}
		t.build()
		v.trees[z] = t
	}
	return v
}

// node is what is true of a cell for the app being placed.
func (c *choice) node(v *view, h *host) node {
	count := int(c.count[h.at])
	switch {
	case c.barred[h.at] > 0, count > 0 && c.spec.Rules.OnePerCell:
		return node{none, c.fleet.free(h)}
	case v.tasks:
		count = h.tasks
	}
	return node{keyOf(count, int(v.miss[h.at]), c.fleet.load(h)), c.fleet.free(h)}
}

func (c *choice) now(h *host) node { return c.node(c.view, h) }

func (v *view) set(h *host, n node) { v.trees[v.tree[h.at]].set(int(v.leaves[h.at]), n) }

// touch brings the leaf of a cell up to date and reports whether it was wrong.
func (c *choice) touch(h *host) bool {
	v := c.view
	if v.leaves[h.at] == 0 {
		return false
	}
	is := c.now(h)
	if v.trees[v.tree[h.at]].nodes[v.leaves[h.at]] == is {
		return false
	}
	v.set(h, is)
	v.touched = append(v.touched, h)
	return true
}

// best returns the cell to take, or nil: of the zones with the fewest instances
// of the app that have room, the cell with the lowest key. If old is not nil,
// the new instance is to take the place of one there, which does not count.
func (c *choice) best(old *host) *host {
	if old != nil && c.count[old.at] > 0 {
		c.count[old.at]--
		c.inZone[old.zone]--
		c.touch(old)
		defer func() {
			c.count[old.at]++
			c.inZone[old.zone]++
			c.touch(old)
		}()
	} else if c.full {
		return nil
	}
	need := toRoom(needs(c.spec))
	if c.view.tasks {
		h := c.first(0, need)
		c.full = h == nil
		return h
	}
	for level := int32(-1); ; {
		next, found := c.nextLevel(level, need)
		if !found {
			c.full = c.full || old == nil
			return nil
		}
		if h := c.bestOf(next, need); h != nil {
			return c.withImage(h, need)
		}
		level = next
	}
}

// at reports whether an instance can go to a cell, which has so much more room
// than is booked. old is as in best.
func (c *choice) at(h, old *host, more room) bool {
	if c.view.leaves[h.at] == 0 {
		return false
	}
	if old != nil && c.count[old.at] > 0 {
		c.count[old.at]--
		defer func() { c.count[old.at]++ }()
	}
	if most := c.fleet.MaxStartsPerCell; most > 0 && h.starting >= most {
		return false
	}
	is := c.now(h)
	free := room{is.free.memory + more.memory, is.free.disk + more.disk, is.free.cpu + more.cpu, is.free.slots + more.slots}
	return is.key != none && free.has(toRoom(needs(c.spec)))
}

// nextLevel returns the lowest number of instances above level that a zone has
// in which there may be room.
func (c *choice) nextLevel(level int32, need room) (next int32, found bool) {
	for z, t := range c.view.trees {
		if n := c.inZone[z]; t != nil && n > level && (!found || n < next) && t.nodes[1].key != none && t.nodes[1].free.has(need) {
			next, found = n, true
		}
	}
	return next, found
}

// bestOf returns the best cell of the zones with so many instances, of equally
// good ones that in the zone with the fewest containers, or nil.
func (c *choice) bestOf(level int32, need room) *host {
	var best *host
	var lowest uint64
	fewest := 0
	for z, t := range c.view.trees {
		if t == nil || c.inZone[z] != level {
			continue
		}
		h := c.first(z, need)
		if h == nil {
			continue
		}
		key, containers := t.nodes[c.view.leaves[h.at]].key, c.fleet.zones[z].containers
		if c.fleet.Pack {
			key = 0 // one cell after the other, but zones evenly
		}
		if best == nil || key < lowest || key == lowest && containers < fewest {
			best, lowest, fewest = h, key, containers
		}
	}
	return best
}

// first returns the best cell of one tree, or nil.
func (c *choice) first(z int, need room) *host {
	t := c.view.trees[z]
	if t == nil {
		return nil
	}
	for {
		n := t.least(1, need, none)
		if n == 0 {
			return nil
		}
		if h := c.view.hosts[z][n-t.leaves]; !c.touch(h) {
			return h
		}
	}
}

const (
	imageSlack = whole / 32 // how much more load a cell may have because it has the image
	imageCells = 32         // of them are looked at
)

// withImage returns a cell that is about as good as h and has the app's image
// already, or else h.
func (c *choice) withImage(h *host, need room) *host {
	on := c.images[c.spec.Pulled()]
	if len(on) == 0 || c.fleet.Pack || slices.Contains(on[:min(len(on), imageCells)], h) {
		return h
	}
	best, limit := h, c.now(h).key+imageSlack
	for _, o := range on[:min(len(on), imageCells)] {
		is := c.now(o)
		if c.view.leaves[o.at] > 0 && c.inZone[o.zone] == c.inZone[h.zone] && is.key <= limit && is.free.has(need) && (best == h || is.key < c.now(best).key) {
			best = o
		}
	}
	return best
}

// take counts an instance of the app on the cell it was given.
func (c *choice) take(h *host) {
	if !c.view.tasks {
		c.add(h)
	}
	c.touch(h)
}

// imagesOf returns where each image is, from what each cell has.
func imagesOf(f *fleet, byCell map[string][]string) map[string][]*host {
	on := map[string][]*host{}
	for _, id := range slices.Sorted(maps.Keys(byCell)) {
		if h := f.byID[id]; h != nil && h.open() {
			for _, image := range byCell[id] {
				on[image] = append(on[image], h)
			}
		}
	}
	return on
}
