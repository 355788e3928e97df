package scheduler

import (
	"fmt"
	"slices"

	"lattice/app"
)

// reasoned is for how many placements of one plan it is told why they are where
// they are: that takes a look at each cell.
const reasoned = 1000

// placedEvents tells of new placements, and why their cells were chosen.
func (s *Scheduler) placedEvents(start []app.Placement, cells []app.Cell) []app.Event {
	s.mu.Lock()
	defer s.mu.Unlock()
	o := newOutlook(cells)
	all := make([]app.Event, 0, len(start))
	told, fresh := map[string]int{}, make(map[string]bool, len(start))
	for _, p := range start {
		fresh[p.ID] = true
	}
	for i, p := range start {
		if told[p.App]++; told[p.App] == 1 && i < reasoned {
			for old := range s.placementsOf(p.App) {
				if !fresh[old.ID] {
					o.add(old.App, old.Cell)
				}
			}
		}
		e := aboutPlacement(app.InstancePlaced, p)
		if e.Message = fmt.Sprintf("the best of %d cells", len(o.cells)); told[p.App] <= oneByOne && i < reasoned {
			e.Message = o.why(p)
			o.add(p.App, p.Cell)
		}
		all = append(all, e)
	}
	return all
}

// An outlook is the cells that take work, and how many instances of some apps
// they have while a plan is told.
type outlook struct {
	cells  []app.Cell
	zones  map[string]string // of cells
	counts map[[2]string]int // by app and cell
}

func newOutlook(cells []app.Cell) *outlook {
	o := &outlook{zones: map[string]string{}, counts: map[[2]string]int{}}
	for _, c := range cells {
		o.zones[c.ID] = c.Zone
		if c.State == app.CellAlive && !c.Draining {
			o.cells = append(o.cells, c)
		}
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
