package scheduler

import (
	"math"
	"slices"
	"strings"

	"lattice/app"
)

const (
	whole = 1 << 20 // the load of a cell that is full
	// startWeight is how many times more an instance weighs while it is starting:
	// so much that what comes at the same time is spread evenly, however empty
	// some cells are. Diego adds the same for each, whatever its size.
	startWeight = 32
)

// fleet is the cells with what is booked on them.
type fleet struct {
	Options
	cells    []*host // by ID
	byID     map[string]*host
	zones    []zone // by name
	starting int    // on all cells
	journal  []booking

	choice
}

// A zone counts what is booked on its cells.
type zone struct {
	name       string
	containers int
}

type host struct {
	app.Cell     // Used is what is booked
	at       int // in fleet.cells
	zone     int // in fleet.zones
	starting int
	coming   app.Resources // what of Used is of instances that are starting
	tasks    int
	moving   int // instances that are leaving because the cell is draining
}

// A booking is room that is taken on a cell for as long as a plan is made.
type booking struct {
	h      *host
	need   app.Resources
	starts bool
	task   bool
}

func newFleet(cells []app.Cell, o Options) *fleet {
	f := &fleet{Options: o, byID: make(map[string]*host, len(cells))}
	for _, c := range cells {
		h := &host{Cell: c}
		h.Used = app.Resources{}
		f.cells = append(f.cells, h)
		f.byID[c.ID] = h
	}
	slices.SortFunc(f.cells, func(a, b *host) int { return strings.Compare(a.ID, b.ID) })
	for i, h := range f.cells {
		h.at = i
		f.zones = append(f.zones, zone{name: h.Zone})
	}
	slices.SortFunc(f.zones, func(a, b zone) int { return strings.Compare(a.name, b.name) })
	f.zones = slices.Compact(f.zones)
	for _, h := range f.cells {
		h.zone, _ = slices.BinarySearchFunc(f.zones, h.Zone, func(z zone, name string) int { return strings.Compare(z.name, name) })
	}
	f.choice = newChoice(f)
	return f
}

// needs is what an instance of a takes.
func needs(a *app.App) app.Resources {
	return app.Resources{MemoryMB: a.MemoryMB, DiskMB: a.DiskMB, CPUMilli: a.CPUMilli, Containers: 1}
}

// book takes room, or gives it back if times is -1.
func (f *fleet) book(h *host, need app.Resources, times int) {
	add(&h.Used, need, times)
	f.zones[h.zone].containers += times * need.Containers
}

// begin counts an instance that is starting, or doesn't any more if times is -1.
func (f *fleet) begin(h *host, need app.Resources, times int) {
	add(&h.coming, need, times)
	h.starting += times
	f.starting += times
}

func add(to *app.Resources, r app.Resources, times int) {
	to.MemoryMB += times * r.MemoryMB
	to.DiskMB += times * r.DiskMB
	to.CPUMilli += times * r.CPUMilli
	to.Containers += times * r.Containers
}

// try takes room until undo.
func (f *fleet) try(b booking) {
	f.book(b.h, b.need, 1)
	if b.starts {
		f.begin(b.h, b.need, 1)
	}
	b.h.tasks += toInt(b.task)
	f.journal = append(f.journal, b)
}

// undo gives back all that try took.
func (f *fleet) undo() {
	for _, b := range f.journal {
		f.book(b.h, b.need, -1)
		if b.starts {
			f.begin(b.h, b.need, -1)
		}
		b.h.tasks -= toInt(b.task)
	}
	f.journal = f.journal[:0]
}

// braked reports whether as many are starting as may.
func (f *fleet) braked() bool { return f.MaxStarts > 0 && f.starting >= f.MaxStarts }

// open reports whether the cell takes new instances.
func (h *host) open() bool { return h.State == app.CellAlive && !h.Draining }

// load is the mean share of what is booked and, unless told to pack, of what is
// starting.
func (f *fleet) load(h *host) uint64 {
	if f.Pack {
		return uint64(h.at) // the first cell that has room
	}
	return h.share(&h.Used) + startWeight*h.share(&h.coming)
}

// share is the root mean square of the shares that u is of the cell's resources,
// of whole: what is short counts more than what there is plenty of.
func (h *host) share(u *app.Resources) uint64 {
	of := func(used, all int) float64 { return float64(used) / float64(max(1, all)) }
	c := &h.Capacity
	memory, disk, cpu, slots := of(u.MemoryMB, c.MemoryMB), of(u.DiskMB, c.DiskMB), of(u.CPUMilli, c.CPUMilli), of(u.Containers, c.Containers)
	return uint64(whole * math.Sqrt((memory*memory+disk*disk+cpu*cpu+slots*slots)/4))
}

// full is the share of what is booked.
func (h *host) full() uint64 { return h.share(&h.Used) }

// free returns what h has left, its slots being bounded by how many instances
// may be starting on it.
func (f *fleet) free(h *host) room {
	slots := h.Capacity.Containers - h.Used.Containers
	if f.MaxStartsPerCell > 0 {
		slots = min(slots, f.MaxStartsPerCell-h.starting)
	}
	return room{int32(h.Capacity.MemoryMB - h.Used.MemoryMB), int32(h.Capacity.DiskMB - h.Used.DiskMB),
		int32(h.Capacity.CPUMilli - h.Used.CPUMilli), int32(slots)}
}

func toRoom(r app.Resources) room {
	return room{int32(r.MemoryMB), int32(r.DiskMB), int32(r.CPUMilli), int32(r.Containers)}
}
