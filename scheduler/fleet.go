package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"lattice/app"
)

// fleet is the cells with what is booked on them while a plan is made.
type fleet struct {
	cells []*host // by ID
	byID  map[string]*host
	zones map[zoneApp]int // instances of an app in a zone
}

type zoneApp struct{ zone, app string }

type host struct {
	app.Cell                // Used is what is booked
	apps     map[string]int // instances by app
	tasks    int
	moving   int // instances that are leaving because the cell is draining
}

func newFleet(cells []app.Cell, leaving []Leaving) *fleet {
	f := &fleet{byID: make(map[string]*host, len(cells)), zones: map[zoneApp]int{}}
	for _, c := range cells {
		h := &host{Cell: c, apps: map[string]int{}}
		h.Used = app.Resources{}
		f.cells = append(f.cells, h)
		f.byID[c.ID] = h
	}
	slices.SortFunc(f.cells, func(a, b *host) int { return strings.Compare(a.ID, b.ID) })
	for _, l := range leaving {
		if h := f.byID[l.Cell]; h != nil {
			h.Used.MemoryMB += l.MemoryMB
			h.Used.DiskMB += l.DiskMB
			h.Used.Containers++
		}
	}
	return f
}

func (f *fleet) take(h *host, a *app.App) {
	h.book(a)
	h.apps[a.Name]++
	f.zones[zoneApp{h.Zone, a.Name}]++
}

func (f *fleet) takeTask(h *host, a *app.App) {
	h.book(a)
	h.tasks++
}

func (h *host) book(a *app.App) {
	h.Used.MemoryMB += a.MemoryMB
	h.Used.DiskMB += a.DiskMB
	h.Used.Containers++
}

// best returns the cell to take for one more instance of a, or nil.
func (f *fleet) best(a *app.App) *host {
	var best *host
	for _, h := range f.cells {
		if h.State == app.CellAlive && !h.Draining && h.lacks(a) == "" && (best == nil || f.rank(h, best, a) < 0) {
			best = h
		}
	}
	return best
}

// bestForTask returns the cell to take for a task, or nil.
func (f *fleet) bestForTask(a *app.App) *host {
	var best *host
	for _, h := range f.cells {
		if h.State == app.CellAlive && !h.Draining && h.lacks(a) == "" && (best == nil || cmp.Or(cmp.Compare(h.tasks, best.tasks), cmp.Compare(h.load(), best.load())) < 0) {
			best = h
		}
	}
	return best
}

func (f *fleet) rank(x, y *host, a *app.App) int {
	return cmp.Or(
		cmp.Compare(f.zones[zoneApp{x.Zone, a.Name}], f.zones[zoneApp{y.Zone, a.Name}]),
		cmp.Compare(x.apps[a.Name], y.apps[a.Name]),
		cmp.Compare(x.load(), y.load()),
	)
}

// load is the mean share of what is booked, 0 to 1.
func (h *host) load() float64 {
	share := func(used, of int) float64 { return float64(used) / float64(max(of, 1)) }
	return (share(h.Used.MemoryMB, h.Capacity.MemoryMB) + share(h.Used.DiskMB, h.Capacity.DiskMB) +
		share(h.Used.Containers, h.Capacity.Containers)) / 3
}

// lacks says what h has too little of for a, or "".
func (h *host) lacks(a *app.App) string {
	switch {
	case h.Capacity.Containers-h.Used.Containers < 1:
		return fmt.Sprintf("runs its %d containers", h.Capacity.Containers)
	case h.Capacity.MemoryMB-h.Used.MemoryMB < a.MemoryMB:
		return fmt.Sprintf("has %d of %d MiB memory free", max(0, h.Capacity.MemoryMB-h.Used.MemoryMB), h.Capacity.MemoryMB)
	case h.Capacity.DiskMB-h.Used.DiskMB < a.DiskMB:
		return fmt.Sprintf("has %d of %d MiB disk free", max(0, h.Capacity.DiskMB-h.Used.DiskMB), h.Capacity.DiskMB)
	}
	return ""
}

// explained is how many cells a refusal names.
const explained = 5

// explain says why a fits on no cell.
func (f *fleet) explain(a *app.App) string {
	if len(f.cells) == 0 {
		return "no cell has joined yet"
	}
	need := fmt.Sprintf("needs %d MiB memory", a.MemoryMB)
	if a.DiskMB > 0 {
		need += fmt.Sprintf(" and %d MiB disk", a.DiskMB)
	}
	var why []string
	for i, h := range f.cells {
		if i == explained {
			why = append(why, fmt.Sprintf("and %d more cells", len(f.cells)-i))
			break
		}
		switch {
		case h.State == app.CellSuspect:
			why = append(why, h.ID+" does not answer")
		case h.State == app.CellDead:
			why = append(why, h.ID+" is dead")
		case h.Draining:
			why = append(why, h.ID+" is draining")
		default:
			why = append(why, h.ID+" "+h.lacks(a))
		}
	}
	return need + ": " + strings.Join(why, "; ")
}
