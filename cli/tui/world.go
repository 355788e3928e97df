package tui

import (
	"cmp"
	"slices"
	"strings"

	"lattice/api"
	"lattice/app"
)

// A world is what a view shows: all there is, less what the filter hides.
type world struct {
	cells   []cell
	waiting []app.Instance // that have no cell
	apps    []app.Status   // by name
}

// A cell has the instances that are placed on it, by app and index.
type cell struct {
	api.CellStatus
	missing   bool // it has instances and is not known
	instances []app.Instance
	memory    int64   // in use by the instances, in bytes
	cpu       float64 // used by the instances, in percent of one core
}

// newWorld sorts instances to their cells. Filter is a part of an app's name.
func newWorld(apps []app.Status, cells []api.CellStatus, filter string) world {
	var w world
	byID := map[string]int{}
	for _, c := range cells {
		byID[c.ID] = len(w.cells)
		w.cells = append(w.cells, cell{CellStatus: c})
	}
	for _, s := range apps {
		shown := strings.Contains(s.App.Name, filter)
		if shown {
			w.apps = append(w.apps, s)
		}
		for _, in := range s.Instances {
			w.add(byID, in, shown)
		}
	}
	byName := func(a, b app.Instance) int {
		return cmp.Or(strings.Compare(a.App, b.App), cmp.Compare(a.Index, b.Index), strings.Compare(a.ID, b.ID))
	}
	for i := range w.cells {
		slices.SortFunc(w.cells[i].instances, byName)
	}
	slices.SortFunc(w.waiting, byName)
	slices.SortFunc(w.cells, func(a, b cell) int { return natural(a.ID, b.ID) })
	slices.SortFunc(w.apps, func(a, b app.Status) int { return strings.Compare(a.App.Name, b.App.Name) })
	return w
}

func (w *world) add(byID map[string]int, in app.Instance, shown bool) {
	if in.Cell == "" {
		if shown {
			w.waiting = append(w.waiting, in)
		}
		return
	}
	i, known := byID[in.Cell]
	if !known {
		i = len(w.cells)
		byID[in.Cell] = i
		c := cell{missing: true}
		c.ID, c.State = in.Cell, app.CellDead
		w.cells = append(w.cells, c)
	}
	c := &w.cells[i]
	c.memory += in.MemoryBytes
	c.cpu += in.CPUPercent
	if shown {
		c.instances = append(c.instances, in)
	}
}

// natural compares names so that cell-2 comes before cell-10.
func natural(a, b string) int {
	stem := func(s string) (string, string) {
		i := len(strings.TrimRight(s, "0123456789"))
		return s[:i], strings.TrimLeft(s[i:], "0")
	}
	as, an := stem(a)
	bs, bn := stem(b)
	return cmp.Or(strings.Compare(as, bs), cmp.Compare(len(an), len(bn)), strings.Compare(an, bn), strings.Compare(a, b))
}

// cpuShare returns how much of a cell's cores its instances use, from 0 to 1.
func cpuShare(c cell) float64 { return c.cpu * 10 / float64(max(1000, c.Capacity.CPUMilli)) }
