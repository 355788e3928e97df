package scheduler

import (
	"fmt"
	"slices"

	"lattice/app"
)

// placedEvents tells of new placements, and why their cells were chosen.
func placedEvents(start []app.Placement, f Facts) []app.Event {
	o := newOutlook(f)
	var all []app.Event
	for _, p := range start {
		e := aboutPlacement(app.InstancePlaced, p)
		e.Message = o.why(p)
		all = append(all, e)
		o.add(p.App, p.Cell)
	}
	return all
}

// An outlook is the cells that take work, and how many instances of each app
// they have while a plan is told.
type outlook struct {
	cells  []app.Cell
	zones  map[string]string // of cells
	counts map[[2]string]int // by app and cell
}

func newOutlook(f Facts) *outlook {
	o := &outlook{zones: map[string]string{}, counts: map[[2]string]int{}}
	for _, c := range f.Cells {
		o.zones[c.ID] = c.Zone
		if c.State == app.CellAlive && !c.Draining {
			o.cells = append(o.cells, c)
		}
	}
	for _, p := range f.Placed {
		o.add(p.App, p.Cell)
	}
	return o
}

func (o *outlook) add(name, cell string) { o.counts[[2]string{name, cell}]++ }

// why says in which way the cell of p was better than the others. It says only
// what is so, whatever rules the plan goes by.
func (o *outlook) why(p app.Placement) string {
	if len(o.cells) == 1 {
		return "the only cell that takes work"
	}
	here, zone := o.counts[[2]string{p.App, p.Cell}], o.zones[p.Cell]
	byZone := map[string]int{}
	fewer, asFew := 0, 0
	for _, c := range o.cells {
		n := o.counts[[2]string{p.App, c.ID}]
		byZone[c.Zone] += n
		switch {
		case c.ID == p.Cell:
		case n < here:
			fewer++
		case n == here:
			asFew++
		}
	}
	switch {
	case fewest(byZone, zone):
		return fmt.Sprintf("of %d zones, %s had the fewest instances of %s (%d)", len(byZone), zone, p.App, byZone[zone])
	case fewer == 0 && asFew == 0:
		return fmt.Sprintf("it had fewer instances of %s (%d) than the %d other cells", p.App, here, len(o.cells)-1)
	case fewer == 0:
		return fmt.Sprintf("no cell had fewer instances of %s; of the %d that had %d it was the best by load and rules", p.App, asFew+1, here)
	}
	return fmt.Sprintf("the best of %d cells for what the app needs", len(o.cells))
}

// fewest reports whether zone alone has the lowest count.
func fewest(byZone map[string]int, zone string) bool {
	var others []int
	for z, n := range byZone {
		if z != zone {
			others = append(others, n)
		}
	}
	return len(others) > 0 && byZone[zone] < slices.Min(others)
}
