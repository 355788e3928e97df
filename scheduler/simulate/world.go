package simulate

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lattice/app"
	"lattice/scheduler"
)

// A World is a cluster that doesn't exist.
type World struct {
	cells   map[string]app.Cell
	lost    map[string]app.Cell
	apps    map[string]app.App
	placed  map[string][]scheduler.Placed // by app
	tasks   []scheduler.Task
	planner *scheduler.Planner
	options scheduler.Options
	orders  map[string]app.CellOrder
	ids     int
}

// New returns the world of a scenario before its events, with nothing placed
// but what its cells run already.
func New(s Scenario) (*World, error) {
	w := empty(s.Options())
	return w, w.Add(s)
}

// Add adds the cells, apps and tasks of a scenario.
func (w *World) Add(s Scenario) error {
	if err := s.Validate(); err != nil {
		return err
	}
	for i, c := range s.Cells {
		if err := w.addCells(c, fmt.Sprint("running", i)); err != nil {
			return err
		}
	}
	for _, a := range s.Apps {
		if err := w.addApps(a); err != nil {
			return err
		}
	}
	for _, t := range s.Tasks {
		w.addTasks(t)
	}
	return nil
}

// Live returns a world that is as a cluster is now.
func Live(cells []app.Cell, apps []app.Status, tasks []app.Task, o scheduler.Options) *World {
	w := empty(o)
	for _, c := range cells {
		w.cells[c.ID] = c
	}
	for _, s := range apps {
		a := s.App
		a.Rollout = nil // as if it was over
		w.apps[a.Name] = a
		for _, in := range s.Instances {
			if in.ID != "" && !in.Stopping && !in.Draining {
				w.put(a, in.Index, in.Cell)
			}
		}
	}
	for _, t := range tasks {
		if cur := t.Current(); cur != nil {
			w.tasks = append(w.tasks, scheduler.Task{Name: t.Name, Spec: &t.Spec, Cell: cur.Cell})
		}
	}
	return w
}

func empty(o scheduler.Options) *World {
	return &World{cells: map[string]app.Cell{}, lost: map[string]app.Cell{}, apps: map[string]app.App{}, placed: map[string][]scheduler.Placed{},
		planner: scheduler.NewPlanner(o, nil), options: o, orders: map[string]app.CellOrder{}}
}

func (w *World) addCells(cs Cells, running string) error {
	for i, c := range cs.list() {
		if _, taken := w.cells[c.ID]; taken {
			return app.Invalid("two cells are called %q: give each kind of cells a name of its own", c.ID)
		}
		w.cells[c.ID] = c
		for j, r := range cs.Running {
			r.Name = fmt.Sprintf("%s-%d-%d-%s", running, i, j, cmp.Or(r.Name, "app"))
			for _, a := range r.list("") {
				w.apps[a.Name] = a
				for index := range a.Instances {
					w.put(a, index, c.ID)
				}
				w.tell(a.Name)
			}
		}
	}
	return nil
}

func (w *World) addApps(as Apps) error {
	for _, a := range as.list("app") {
		if _, taken := w.apps[a.Name]; taken {
			return app.Invalid("two apps are called %q: give each kind of apps a name of its own", a.Name)
		}
		w.apps[a.Name] = a
		w.tell(a.Name)
	}
	return nil
}

func (w *World) addTasks(ts Apps) {
	for _, a := range ts.list("task") {
		w.tasks = append(w.tasks, scheduler.Task{Name: a.Name, Spec: &a})
	}
}

// put places an instance that is healthy.
func (w *World) put(a app.App, index int, cell string) {
	w.ids++
	w.placed[a.Name] = append(w.placed[a.Name], scheduler.Placed{Health: scheduler.Healthy, Placement: app.Placement{
		ID: fmt.Sprint(w.ids), App: a.Name, Index: index, Cell: cell, Revision: a.Revision, At: time.Unix(0, int64(w.ids)),
	}})
}

// tell tells the planner how an app is now.
func (w *World) tell(name string) {
	placed := slices.Clone(w.placed[name])
	if a, ok := w.apps[name]; ok {
		w.planner.SetApp(name, &a, placed)
	} else {
		w.planner.SetApp(name, nil, placed)
	}
}

// tellAll tells it how all are.
func (w *World) tellAll() {
	for name := range w.apps {
		w.tell(name)
	}
}

// settle plans and acts until there is nothing to do, and tells of it in st.
func (w *World) settle(st *Stage) {
	for range 1000 {
		w.planner.SetCells(slices.Collect(maps.Values(w.cells)), w.orders)
		start := time.Now()
		d := w.planner.Plan(w.tasks)
		st.Took += time.Since(start)
		st.Plans++
		st.refuse(d.Refused)
		if len(d.Start)+len(d.Stop)+len(d.Retired)+len(d.Tasks) == 0 {
			return
		}
		w.apply(d)
		st.Started += len(d.Start) + len(d.Tasks)
		st.Stopped += len(d.Stop) + len(d.Retired)
		st.below(w)
	}
}

func (w *World) apply(d scheduler.Decision) {
	touched, gone := map[string]bool{}, map[string]bool{}
	for _, p := range slices.Concat(d.Stop, d.Retired) {
		touched[p.App], gone[p.ID] = true, true
	}
	for name := range touched {
		if w.placed[name] = slices.DeleteFunc(w.placed[name], func(p scheduler.Placed) bool { return gone[p.ID] }); len(w.placed[name]) == 0 {
			delete(w.placed, name)
		}
	}
	for _, p := range d.Start {
		touched[p.App] = true
		w.put(w.apps[p.App], p.Index, p.Cell)
	}
	for name := range touched {
		w.tell(name)
	}
	at := map[string]string{}
	for _, p := range d.Tasks {
		at[p.Name] = p.Cell
	}
	for i, t := range w.tasks {
		if cell, ok := at[t.Name]; ok {
			w.tasks[i].Cell = cell
		}
	}
}

// Run lets everything find its place, then lets the events happen, and tells
// how things are after each. began says what the first stage is.
func (w *World) Run(began string, events []Event) ([]Stage, error) {
	w.tellAll()
	first := Stage{Event: began}
	w.settle(&first)
	first.measure(w)
	stages := []Stage{first}
	for _, e := range events {
		st := Stage{Event: e.String()}
		if err := w.happen(e, &st); err != nil {
			return stages, err
		}
		w.settle(&st)
		st.measure(w)
		stages = append(stages, st)
	}
	return stages, nil
}

func (w *World) happen(e Event, st *Stage) error {
	switch {
	case e.LoseCell != "":
		if _, ok := w.cells[e.LoseCell]; !ok {
			return fmt.Errorf("cell %q %w", e.LoseCell, app.ErrNotFound)
		}
		w.lose(e.LoseCell)
	case e.LoseZone != "":
		n := len(w.lost)
		for _, id := range w.cellIDs() {
			if w.cells[id].Zone == e.LoseZone {
				w.lose(id)
			}
		}
		if len(w.lost) == n {
			return fmt.Errorf("zone %q %w", e.LoseZone, app.ErrNotFound)
		}
	case e.Return:
		maps.Copy(w.cells, w.lost)
		clear(w.lost)
	case e.Upgrade:
		w.upgrade(st)
	case e.Rebalance:
		w.rebalance(st)
	case e.AddCells != nil:
		return w.addCells(*e.AddCells, fmt.Sprint("added", w.ids))
	case e.AddApps != nil:
		return w.addApps(*e.AddApps)
	case e.AddTasks != nil:
		w.addTasks(*e.AddTasks)
	case e.Scale != nil:
		return w.each(e.Scale.App, func(a app.App) {
			a.Instances = e.Scale.Instances
			w.apps[a.Name] = a
		})
	case e.RemoveApps != "":
		return w.each(e.RemoveApps, func(a app.App) { delete(w.apps, a.Name) })
	}
	return nil
}

// each does something to the apps of a name or, with * at its end, of names
// that begin so.
func (w *World) each(name string, do func(app.App)) error {
	prefix, many := strings.CutSuffix(name, "*")
	found := false
	for _, n := range slices.Sorted(maps.Keys(w.apps)) {
		if n == name || many && strings.HasPrefix(n, prefix) {
			found = true
			do(w.apps[n])
			w.tell(n)
		}
	}
	if !found {
		return fmt.Errorf("app %q %w", name, app.ErrNotFound)
	}
	return nil
}

// lose takes a cell away, with the tasks on it.
func (w *World) lose(id string) {
	w.lost[id] = w.cells[id]
	delete(w.cells, id)
	w.tasks = slices.DeleteFunc(w.tasks, func(t scheduler.Task) bool { return t.Cell == id })
}

// upgrade drains one cell after the other, as many instances at a time as it
// has, takes it away and brings it back. Tasks on it end meanwhile.
func (w *World) upgrade(st *Stage) {
	for _, id := range w.cellIDs() {
		c := w.cells[id]
		c.Draining = true
		w.cells[id], w.orders[id] = c, app.CellOrder{Cell: id, Draining: true, MaxInFlight: c.Capacity.Containers}
		w.settle(st)
		w.tasks = slices.DeleteFunc(w.tasks, func(t scheduler.Task) bool { return t.Cell == id })
		if slices.ContainsFunc(slices.Collect(maps.Values(w.placed)), func(ps []scheduler.Placed) bool {
			return slices.ContainsFunc(ps, func(p scheduler.Placed) bool { return p.Cell == id })
		}) {
			st.Stuck = append(st.Stuck, id) // it can't be emptied, so it isn't upgraded
		}
		c.Draining = false
		w.cells[id] = c
		delete(w.orders, id)
	}
}

// Facts returns the world as scheduler.Plan takes it.
func (w *World) Facts() scheduler.Facts {
	f := scheduler.Facts{Tasks: w.tasks, Options: w.options, Orders: w.orders,
		Cells: slices.Collect(maps.Values(w.cells)), Apps: slices.Collect(maps.Values(w.apps))}
	for _, ps := range w.placed {
		f.Placed = append(f.Placed, ps...)
	}
	return f
}

func (w *World) rebalance(st *Stage) {
	f := w.Facts()
	start := time.Now()
	moves := scheduler.Rebalance(f, 0)
	st.Took += time.Since(start)
	st.Started += len(moves)
	st.Stopped += len(moves)
	for _, m := range moves {
		ps := w.placed[m.App]
		i := slices.IndexFunc(ps, func(p scheduler.Placed) bool { return p.ID == m.ID })
		ps[i].Cell = m.To
		w.tell(m.App)
	}
}

// cellIDs returns the cells by ID.
func (w *World) cellIDs() []string { return slices.Sorted(maps.Keys(w.cells)) }
