package scheduler

import (
	"cmp"
	"fmt"
	"slices"
	"strings"

	"lattice/app"
)

// A Decision is what has to change so that every app gets its instances.
type Decision struct {
	Stop    []app.Placement // no longer wanted, or on a dead cell
	Start   []app.Placement // without ID and time: whoever acts on it gives them
	Refused []Refusal       // instances that fit nowhere now
}

// A Refusal says why an instance has no cell.
type Refusal struct {
	App    string
	Index  int
	Reason string
}

// Plan compares the apps with their placements and decides what to change.
//
// It never moves a placement that is wanted from a cell that is not dead. A
// placement on a dead cell, or on one that cells doesn't name, is replaced. Of
// the alive cells with room it takes the zone with the fewest instances of the
// app, then the cell with the fewest, then the one least used (mean of memory,
// disk and container share), then the lowest ID. The first instance of every
// app is placed before any second one, larger apps before smaller. Equal input
// in any order gives equal output.
func Plan(apps []app.App, have []app.Placement, cells []app.Cell) Decision {
	var d Decision
	f := newFleet(cells)
	kept := keep(apps, have, f, &d)
	for _, w := range missing(apps, kept) {
		c := f.best(w.app)
		if c == nil {
			d.Refused = append(d.Refused, Refusal{w.app.Name, w.index, f.explain(w.app)})
			continue
		}
		f.take(c, w.app)
		d.Start = append(d.Start, app.Placement{App: w.app.Name, Index: w.index, Cell: c.ID, Revision: w.app.Revision})
	}
	return d
}

// slot names one instance of one app.
type slot struct {
	app   string
	index int
}

// keep books the placements that stay and puts the others in d.Stop.
func keep(apps []app.App, have []app.Placement, f *fleet, d *Decision) map[slot]bool {
	byName := make(map[string]*app.App, len(apps))
	for i := range apps {
		byName[apps[i].Name] = &apps[i]
	}
	have = slices.Clone(have)
	slices.SortFunc(have, func(a, b app.Placement) int {
		return cmp.Or(strings.Compare(a.App, b.App), cmp.Compare(a.Index, b.Index), a.At.Compare(b.At), strings.Compare(a.ID, b.ID))
	})
	kept := make(map[slot]bool, len(have))
	for _, p := range have {
		a, c, at := byName[p.App], f.byID[p.Cell], slot{p.App, p.Index}
		if a == nil || p.Index >= a.Instances || kept[at] || c == nil || c.State == app.CellDead {
			d.Stop = append(d.Stop, p)
			continue
		}
		kept[at] = true
		f.take(c, a)
	}
	return kept
}

type wish struct {
	app   *app.App
	index int
}

// missing lists the instances without a placement, most important first.
func missing(apps []app.App, kept map[slot]bool) []wish {
	var ws []wish
	for n := range apps {
		a := &apps[n]
		for i := range a.Instances {
			if !kept[slot{a.Name, i}] {
				ws = append(ws, wish{a, i})
			}
		}
	}
	slices.SortFunc(ws, func(a, b wish) int {
		return cmp.Or(cmp.Compare(min(a.index, 1), min(b.index, 1)), cmp.Compare(b.app.MemoryMB, a.app.MemoryMB),
			strings.Compare(a.app.Name, b.app.Name), cmp.Compare(a.index, b.index))
	})
	return ws
}

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
}

func newFleet(cells []app.Cell) *fleet {
	f := &fleet{byID: make(map[string]*host, len(cells)), zones: map[zoneApp]int{}}
	for _, c := range cells {
		h := &host{Cell: c, apps: map[string]int{}}
		h.Used = app.Resources{}
		f.cells = append(f.cells, h)
		f.byID[c.ID] = h
	}
	slices.SortFunc(f.cells, func(a, b *host) int { return strings.Compare(a.ID, b.ID) })
	return f
}

func (f *fleet) take(h *host, a *app.App) {
	h.Used.MemoryMB += a.MemoryMB
	h.Used.DiskMB += a.DiskMB
	h.Used.Containers++
	h.apps[a.Name]++
	f.zones[zoneApp{h.Zone, a.Name}]++
}

// best returns the cell to take for one more instance of a, or nil.
func (f *fleet) best(a *app.App) *host {
	var best *host
	for _, h := range f.cells {
		if h.State == app.CellAlive && h.lacks(a) == "" && (best == nil || f.rank(h, best, a) < 0) {
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
		switch h.State {
		case app.CellAlive:
			why = append(why, h.ID+" "+h.lacks(a))
		case app.CellSuspect:
			why = append(why, h.ID+" does not answer")
		case app.CellDead:
			why = append(why, h.ID+" is dead")
		}
	}
	return need + ": " + strings.Join(why, "; ")
}
