package simulate

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"lattice/app"
	"lattice/scheduler"
)

// A Stage is how things are when all has settled after an event.
type Stage struct {
	Event   string        `json:"event"`
	Took    time.Duration `json:"took_ns"` // of planning
	Plans   int           `json:"plans"`
	Started int           `json:"started"` // instances and tasks
	Stopped int           `json:"stopped"`
	Placed  int           `json:"placed"` // instances that run now
	Wanted  int           `json:"wanted"`
	Tasks   int           `json:"tasks,omitempty"` // that have a cell
	Waiting int           `json:"waiting,omitempty"`
	Refused []Refused     `json:"refused"`         // by app
	Stuck   []string      `json:"stuck,omitempty"` // cells that could not be emptied for their upgrade
	Below   int           `json:"below"`           // apps that had fewer instances than wanted after a plan, though there was room

	Cells []Fill            `json:"cells"` // by ID
	All   Spread            `json:"all"`
	Zones map[string]Spread `json:"zones"`
}

// Refused is an app, or a task, that fits nowhere as a whole.
type Refused struct {
	App    string `json:"app,omitempty"`
	Task   string `json:"task,omitempty"`
	Count  int    `json:"count"`
	Reason string `json:"reason"` // of the first one
}

// A Fill is what one cell has, and what of it is taken.
type Fill struct {
	ID       string        `json:"id"`
	Zone     string        `json:"zone"`
	Used     app.Resources `json:"used"`
	Capacity app.Resources `json:"capacity"`
}

// A Spread is how full some cells are.
type Spread struct {
	Cells      int   `json:"cells"`
	Instances  int   `json:"instances"`
	Memory     Stats `json:"memory"`
	Disk       Stats `json:"disk"`
	CPU        Stats `json:"cpu"`
	Containers Stats `json:"containers"`
}

// Stats are of the shares that are taken, 1 being all.
type Stats struct {
	Min  float64 `json:"min"`
	Mean float64 `json:"mean"`
	Max  float64 `json:"max"`
	Dev  float64 `json:"stddev"` // of the population
}

// CV is the standard deviation by the mean.
func (s Stats) CV() float64 {
	if s.Mean == 0 {
		return 0
	}
	return s.Dev / s.Mean
}

// Summary is how the stage came out, in a line.
func (st Stage) Summary() string {
	text := fmt.Sprintf("%d of %d instances placed", st.Placed, st.Wanted)
	if st.Tasks > 0 {
		text += fmt.Sprintf(", %d tasks", st.Tasks)
	}
	refused := 0
	for _, r := range st.Refused {
		refused += r.Count
	}
	text += fmt.Sprintf(", %d refused, %d started, %d stopped; %d plans took %s", refused, st.Started, st.Stopped, st.Plans, st.Took.Round(100*time.Microsecond))
	if len(st.Stuck) > 0 {
		text += fmt.Sprintf("; %d cells could not be emptied", len(st.Stuck))
	}
	return text
}

// Fits reports whether everything that is wanted has a place.
func (st Stage) Fits() bool { return len(st.Refused) == 0 && len(st.Stuck) == 0 }

// refuse takes over what the last plan refused.
func (st *Stage) refuse(refused []scheduler.Refusal) {
	st.Refused = []Refused{}
	st.Waiting = 0
	at := map[Refused]int{}
	for _, r := range refused {
		if r.Waits {
			st.Waiting++
			continue
		}
		who := Refused{App: r.App, Task: r.Task}
		i, known := at[who]
		if !known {
			i = len(st.Refused)
			at[who], who.Reason = i, r.Reason
			st.Refused = append(st.Refused, who)
		}
		st.Refused[i].Count++
	}
	slices.SortFunc(st.Refused, func(a, b Refused) int { return cmp.Or(strings.Compare(a.App, b.App), strings.Compare(a.Task, b.Task)) })
}

// below counts the apps that were complete and are not: a drain, an upgrade or a
// rebalancing must not do that.
func (st *Stage) below(w *World) {
	if !strings.HasPrefix(st.Event, "upgrade") && !strings.HasPrefix(st.Event, "rebalance") {
		return
	}
	short := map[string]bool{}
	for _, r := range st.Refused {
		short[r.App] = true
	}
	for name, a := range w.apps {
		if len(w.placed[name]) < a.Wanted() && !short[name] {
			st.Below++
		}
	}
}

// measure counts what is where.
func (st *Stage) measure(w *World) {
	used := map[string]app.Resources{}
	take := func(cell string, a app.App) {
		u := used[cell]
		u.MemoryMB += a.MemoryMB
		u.DiskMB += a.DiskMB
		u.CPUMilli += a.CPUMilli
		u.Containers++
		used[cell] = u
	}
	for name, a := range w.apps {
		st.Wanted += a.Wanted()
		st.Placed += len(w.placed[name])
		for _, p := range w.placed[name] {
			take(p.Cell, a)
		}
	}
	for _, t := range w.tasks {
		if t.Cell != "" {
			st.Tasks++
			take(t.Cell, *t.Spec)
		}
	}
	st.Zones = map[string]Spread{}
	byZone := map[string][]Fill{}
	for _, id := range w.cellIDs() {
		c := w.cells[id]
		f := Fill{ID: id, Zone: c.Zone, Used: used[id], Capacity: c.Capacity}
		st.Cells = append(st.Cells, f)
		byZone[c.Zone] = append(byZone[c.Zone], f)
	}
	st.All = spread(st.Cells)
	for zone, fills := range byZone {
		st.Zones[zone] = spread(fills)
	}
}

func spread(fills []Fill) Spread {
	s := Spread{Cells: len(fills)}
	for _, f := range fills {
		s.Instances += f.Used.Containers
	}
	s.Memory = stats(fills, func(r app.Resources) int { return r.MemoryMB })
	s.Disk = stats(fills, func(r app.Resources) int { return r.DiskMB })
	s.CPU = stats(fills, func(r app.Resources) int { return r.CPUMilli })
	s.Containers = stats(fills, func(r app.Resources) int { return r.Containers })
	return s
}

func stats(fills []Fill, of func(app.Resources) int) Stats {
	if len(fills) == 0 {
		return Stats{}
	}
	s := Stats{Min: math.Inf(1)}
	share := func(f Fill) float64 { return float64(of(f.Used)) / float64(max(1, of(f.Capacity))) }
	for _, f := range fills {
		v := share(f)
		s.Min, s.Max, s.Mean = min(s.Min, v), max(s.Max, v), s.Mean+v/float64(len(fills))
	}
	for _, f := range fills {
		d := share(f) - s.Mean
		s.Dev += d * d / float64(len(fills))
	}
	s.Dev = math.Sqrt(s.Dev)
	return s
}
