package scheduler

import "math"

// none is the key of a leaf that must not be taken; it is higher than any other.
const none = math.MaxUint64

// room is what a cell has free, or what an instance needs of it.
type room struct{ memory, disk, cpu, slots int32 }

func (r room) has(need room) bool {
	return r.memory >= need.memory && r.disk >= need.disk && r.cpu >= need.cpu && r.slots >= need.slots
}

// most returns the greater of each; no single cell need have it all.
func (r room) most(o room) room {
	return room{max(r.memory, o.memory), max(r.disk, o.disk), max(r.cpu, o.cpu), max(r.slots, o.slots)}
}

// A tree finds the leaf with the lowest key that has room, without looking at
// each. Every node has the lowest key and the most room of what is below.
type tree struct {
	leaves int    // a power of two
	nodes  []node // nodes[1] is the root, nodes[leaves:] are the leaves
}

type node struct {
	key  uint64
	free room
}

func newTree(size int) *tree {
	t := &tree{leaves: 1}
	for t.leaves < size {
		t.leaves *= 2
	}
	t.nodes = make([]node, 2*t.leaves)
	for i := range t.nodes {
		t.nodes[i].key = none
	}
	return t
}

// build makes the inner nodes when all leaves are written.
func (t *tree) build() {
	for n := t.leaves - 1; n > 0; n-- {
		t.nodes[n] = t.above(n)
	}
}

func (t *tree) above(n int) node {
	l, r := &t.nodes[2*n], &t.nodes[2*n+1]
	return node{min(l.key, r.key), l.free.most(r.free)}
}

// set writes one leaf, n being its node.
func (t *tree) set(n int, v node) {
	t.nodes[n] = v
	for n /= 2; n > 0; n /= 2 {
		v = t.above(n)
		if t.nodes[n] == v {
			return
		}
		t.nodes[n] = v
	}
}

// least returns the node of the leaf with the lowest key below n that has room
// and is lower than bound, of equal ones the leftmost; 0 if there is none.
func (t *tree) least(n int, need room, bound uint64) int {
	if x := &t.nodes[n]; x.key >= bound || !x.free.has(need) {
		return 0
	}
	if n >= t.leaves {
		return n
	}
	l, r := 2*n, 2*n+1
	if t.nodes[l].key <= t.nodes[r].key {
		found := t.least(l, need, bound)
		if found != 0 {
			bound = t.nodes[found].key
		}
		if other := t.least(r, need, bound); other != 0 {
			return other
		}
		return found
	}
	found := t.least(r, need, bound)
	if found != 0 {
		bound = t.nodes[found].key + 1 // an equal one further left is better
	}
	if other := t.least(l, need, bound); other != 0 {
		return other
	}
	return found
}
