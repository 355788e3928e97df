package scheduler_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"lattice/app"
	"lattice/scheduler"
)

// world is what TestPlanHolds lets plans act upon.
type world struct {
	r      *rand.Rand
	apps   []app.App
	cells  []app.Cell
	placed []scheduler.Placed
	tasks  []scheduler.Task
	round  int

	volumes map[app.VolumeKey]string

	options scheduler.Options
	planner *scheduler.Planner // is told only what has changed
	told    map[string]string
	specs   map[app.RevisionKey]*app.App
}

// TestPlanHolds lets cells die, drain and come back, instances fall ill and
// recover, and apps and tasks change at random, and checks what must hold after
// every plan.
func TestPlanHolds(t *testing.T) {
	for name, o := range map[string]scheduler.Options{
		"spread": {}, "pack": {Pack: true}, "braked": {MaxStarts: 9, MaxStartsPerCell: 2},
	} {
		t.Run(name, func(t *testing.T) {
			seed := rand.Uint64()
			t.Logf("seed %d", seed)
			holds(t, seed, o)
		})
	}
}

func holds(t *testing.T, seed uint64, o scheduler.Options) {
	w := &world{r: rand.New(rand.NewPCG(seed, 0)), options: o, told: map[string]string{}, volumes: map[app.VolumeKey]string{}, specs: map[app.RevisionKey]*app.App{}}
	w.planner = scheduler.NewPlanner(o, w.specs)
	for i := range 12 {
		c := in(cell(fmt.Sprintf("c%02d", i), 256+w.r.IntN(2048)), fmt.Sprint("z", i%3))
		c.Capacity.CPUMilli, c.Labels = 4000, map[string]string{"disk": []string{"ssd", "hdd"}[i%2]}
		w.cells = append(w.cells, c)
	}
	for w.round = range 500 {
		w.disturb()
		w.settle(t)
	}
	w.calm(t)
}

// settle plans until there is nothing to do. As a rule that is so after one
// plan; a recreation takes a second one, and so does the end of a rollout,
// which may be followed by the other.
func (w *world) settle(t *testing.T) {
	t.Helper()
	for range 4 {
		d := w.plan(t)
		if len(d.Start)+len(d.Stop)+len(d.Rollouts) == 0 {
			return
		}
		w.checkNothingHealthyIsTaken(t, d)
		w.apply(d)
		w.checkRoom(t)
		w.shuffle()
	}
	t.Fatalf("round %d: plans come to no end: %s", w.round, show(w.plan(t)))
}

// plan plans twice: with all facts, and with what has changed since the last
// plan. Both must come to the same.
func (w *world) plan(t *testing.T) scheduler.Decision {
	t.Helper()
	f := facts(w.apps, w.placed, w.cells)
	f.Tasks, f.Options, f.Volumes = w.tasks, w.options, w.volumes
	d := scheduler.Plan(f)
	clear(w.specs)
	maps.Copy(w.specs, f.Revisions)
	w.planner.SetCells(w.cells, nil)
	w.planner.SetVolumes(w.volumes)
	now := map[string]string{}
	for _, p := range w.placed {
		now[p.App] = ""
	}
	for _, a := range w.apps {
		now[a.Name] = ""
	}
	for name := range w.told {
		now[name] = ""
	}
	for name := range now {
		a, placed := w.app(name), w.placedOf(name)
		if now[name] = fmt.Sprintf("%+v %+v", a, placed); a != nil && a.Rollout != nil {
			now[name] += fmt.Sprintf("%+v", *a.Rollout)
		}
		if now[name] == w.told[name] {
			continue
		}
		if a != nil {
			c := *a
			a = &c
		}
		w.planner.SetApp(name, a, placed)
	}
	w.told = now
	if got, want := show(w.planner.Plan(w.tasks)), show(d); got != want {
		t.Fatalf("round %d: by what has changed: %s\nby all facts: %s", w.round, got, want)
	}
	return d
}

func (w *world) placedOf(name string) (ps []scheduler.Placed) {
	for _, p := range w.placed {
		if p.App == name {
			ps = append(ps, p)
		}
	}
	return ps
}

func (w *world) disturb() {
	switch w.r.IntN(6) {
	case 0:
		w.apps = append(w.apps, app.App{Name: fmt.Sprint("app", w.round), Revision: 1, Instances: w.r.IntN(6), MemoryMB: w.r.IntN(300), DiskMB: w.r.IntN(100),
			CPUMilli: w.r.IntN(1000), Rules: w.rules(), Volumes: w.someVolumes()})
	case 1:
		if a := w.any(); a != nil {
			a.Instances = w.r.IntN(8)
		}
	case 2:
		if len(w.apps) > 6 {
			w.apps = slices.Delete(w.apps, 0, 1)
		}
	case 3:
		if a := w.any(); a != nil && (a.Rollout == nil || a.Rollout.State != app.RolloutRunning) {
			strategies := []app.Strategy{app.Rolling, app.Recreate, app.Canary}
			a.Rollout = &app.Rollout{RolloutOptions: app.RolloutOptions{Strategy: strategies[w.r.IntN(3)], MaxInFlight: w.r.IntN(3)},
				From: a.Revision, To: a.Revision + 1, State: app.RolloutRunning}
			a.Revision++
		}
	case 4:
		if len(w.placed) > 0 {
			w.placed[w.r.IntN(len(w.placed))].Replace = true
		}
	}
	if w.r.IntN(3) == 0 {
		w.tasks = append(w.tasks, scheduler.Task{Name: fmt.Sprint("task", w.round), Spec: &app.App{MemoryMB: w.r.IntN(200), Rules: w.rules()}})
	}
	w.tasks = slices.DeleteFunc(w.tasks, func(scheduler.Task) bool { return w.r.IntN(8) == 0 })
	for i := range w.tasks {
		w.tasks[i].Starting = w.tasks[i].Starting && w.r.IntN(2) == 0
	}
	c := &w.cells[w.r.IntN(len(w.cells))]
	states := []app.CellState{app.CellAlive, app.CellAlive, app.CellSuspect, app.CellDead}
	c.State, c.Draining = states[w.r.IntN(len(states))], w.r.IntN(4) == 0
	for i := range w.placed {
		w.progress(&w.placed[i])
	}
}

// someVolumes returns the volumes of some apps.
func (w *world) someVolumes() []app.Volume {
	if w.r.IntN(3) > 0 {
		return nil
	}
	return []app.Volume{{Source: "data", Path: "/data"}, {Source: "log", Path: "/log"}}[:1+w.r.IntN(2)]
}

// rules returns what some apps want of their cells.
func (w *world) rules() (r app.Rules) {
	switch w.r.IntN(12) {
	case 0:
		r.Require = map[string]string{"disk": "ssd"}
	case 1:
		r.Zones = []string{"z0", "z2"}
	case 2:
		r.OnePerCell = true
	case 3:
		if a := w.any(); a != nil {
			r.Avoid = []string{a.Name}
		}
	case 4:
		r.Prefer = map[string]string{"disk": app.AnyValue, "gpu": "1"}
	}
	return r
}

// progress lets an instance start, fall ill, or become idle.
func (w *world) progress(p *scheduler.Placed) {
	switch {
	case w.r.IntN(3) == 0:
		p.Health = scheduler.Healthy
	case w.r.IntN(20) == 0:
		p.Health, p.Crashes, p.Reason = scheduler.Ill, p.Crashes+1, "exited with code 1"
	}
	p.Starting = p.Starting && p.Health != scheduler.Healthy && w.r.IntN(2) == 0
	p.Busy = w.r.IntN(3) > 0
}

func (w *world) any() *app.App {
	if len(w.apps) == 0 {
		return nil
	}
	return &w.apps[w.r.IntN(len(w.apps))]
}

func (w *world) app(name string) *app.App {
	if i := slices.IndexFunc(w.apps, func(a app.App) bool { return a.Name == name }); i >= 0 {
		return &w.apps[i]
	}
	return nil
}

// apply does what a Scheduler does with a decision.
func (w *world) apply(d scheduler.Decision) {
	w.placed = slices.DeleteFunc(w.placed, func(p scheduler.Placed) bool { return slices.Contains(d.Stop, p.Placement) })
	for _, p := range d.Start {
		p.ID, p.At = fmt.Sprint(w.round, p.App, p.Index), time.Unix(int64(w.round), 0)
		w.placed = append(w.placed, scheduler.Placed{Placement: p, Starting: true, Busy: true})
		for _, v := range w.app(p.App).Volumes {
			if key := (app.VolumeKey{App: p.App, Name: v.Source, Index: p.Index}); w.volumes[key] == "" {
				w.volumes[key] = p.Cell
			}
		}
	}
	for _, p := range d.Tasks {
		i := slices.IndexFunc(w.tasks, func(t scheduler.Task) bool { return t.Name == p.Name })
		w.tasks[i].Cell, w.tasks[i].Starting = p.Cell, true
	}
	for _, t := range d.Rollouts {
		a := w.app(t.App)
		r := *a.Rollout
		if r.State = t.State; t.State == app.RolloutFailed {
			a.Revision = r.From
		}
		a.Rollout = &r
	}
}

// checkNothingHealthyIsTaken: a healthy instance goes only when its app wants
// it no more, its cell is dead, its revision is recreated, or another healthy
// one of its index stays.
func (w *world) checkNothingHealthyIsTaken(t *testing.T, d scheduler.Decision) {
	t.Helper()
	gone := slices.Concat(d.Stop, d.Retired)
	for _, p := range w.placed {
		a := w.app(p.App)
		if p.Health != scheduler.Healthy || !slices.Contains(gone, p.Placement) || a == nil || p.Index >= a.Instances || w.stateOf(p.Cell) == app.CellDead {
			continue
		}
		if r := a.Rollout; r != nil && r.Strategy == app.Recreate && p.Revision != a.Revision {
			continue
		}
		if len(a.Volumes) > 0 && (p.Replace || p.Revision != a.Revision || a.Rollout != nil) {
			continue // its successor needs the volume
		}
		if !slices.ContainsFunc(w.placed, func(q scheduler.Placed) bool {
			return q.App == p.App && q.Index == p.Index && q.Health == scheduler.Healthy && !slices.Contains(gone, q.Placement)
		}) {
			t.Fatalf("round %d: %s/%d was healthy, and no healthy one takes its place: %s", w.round, p.App, p.Index, show(d))
		}
	}
}

func (w *world) stateOf(id string) app.CellState {
	return w.cells[slices.IndexFunc(w.cells, func(c app.Cell) bool { return c.ID == id })].State
}

// checkRoom: no cell is overbooked, has apps that don't go together, or starts
// too many at a time.
func (w *world) checkRoom(t *testing.T) {
	t.Helper()
	all := 0
	for _, c := range w.cells {
		var used app.Resources
		starting, on := 0, map[string]int{}
		take := func(a *app.App, starts bool) {
			used.MemoryMB += a.MemoryMB
			used.DiskMB += a.DiskMB
			used.CPUMilli += a.CPUMilli
			used.Containers++
			if starts {
				starting++
			}
		}
		for _, p := range w.placed {
			if p.Cell == c.ID {
				a := w.app(p.App)
				take(a, p.Starting)
				w.checkRules(t, p, a.Rules, c)
				on[p.App]++
				w.checkVolumes(t, p, a)
			}
		}
		for _, task := range w.tasks {
			if task.Cell == c.ID {
				take(task.Spec, task.Starting)
			}
		}
		all += starting
		if of := c.Capacity; used.MemoryMB > of.MemoryMB || used.DiskMB > of.DiskMB || used.CPUMilli > of.CPUMilli || used.Containers > of.Containers {
			t.Fatalf("round %d: cell %s is overbooked: %+v of %+v", w.round, c.ID, used, of)
		}
		if most := w.options.MaxStartsPerCell; most > 0 && starting > most {
			t.Fatalf("round %d: on cell %s %d are starting", w.round, c.ID, starting)
		}
	}
	if most := w.options.MaxStarts; most > 0 && all > most {
		t.Fatalf("round %d: %d are starting", w.round, all)
	}
}

// checkVolumes: an instance is where its volumes are, and has them alone.
func (w *world) checkVolumes(t *testing.T, p scheduler.Placed, a *app.App) {
	t.Helper()
	for _, v := range a.Volumes {
		if at := w.volumes[app.VolumeKey{App: p.App, Name: v.Source, Index: p.Index}]; at != p.Cell {
			t.Fatalf("round %d: %s/%d is on %s, its volume on %s", w.round, p.App, p.Index, p.Cell, at)
		}
		if slices.ContainsFunc(w.placed, func(q scheduler.Placed) bool { return q.App == p.App && q.Index == p.Index && q.ID != p.ID }) {
			t.Fatalf("round %d: there are two of %s/%d, which has a volume", w.round, p.App, p.Index)
		}
	}
}

func (w *world) checkRules(t *testing.T, p scheduler.Placed, r app.Rules, c app.Cell) {
	t.Helper()
	if !r.Admits(c) {
		t.Fatalf("round %d: %s/%d is on %s, which its rules don't admit: %s", w.round, p.App, p.Index, c.ID, r.Lacking(c))
	}
	for _, q := range w.placed {
		switch {
		case q.Cell != p.Cell:
		case slices.Contains(r.Avoid, q.App):
			t.Fatalf("round %d: %s/%d is on one cell with %s", w.round, p.App, p.Index, q.App)
		case r.OnePerCell && q.App == p.App && q.Index != p.Index:
			t.Fatalf("round %d: %s/%d is on one cell with instance %d", w.round, p.App, p.Index, q.Index)
		}
	}
}

func (w *world) shuffle() {
	w.r.Shuffle(len(w.apps), func(i, j int) { w.apps[i], w.apps[j] = w.apps[j], w.apps[i] })
	w.r.Shuffle(len(w.placed), func(i, j int) { w.placed[i], w.placed[j] = w.placed[j], w.placed[i] })
	w.r.Shuffle(len(w.cells), func(i, j int) { w.cells[i], w.cells[j] = w.cells[j], w.cells[i] })
}

// calm lets all faults heal and checks that everything comes to rest as wanted:
// one healthy placement for each index, of the right revision.
func (w *world) calm(t *testing.T) {
	for i := range w.cells {
		w.cells[i].State, w.cells[i].Draining, w.cells[i].Capacity.MemoryMB = app.CellAlive, false, 1<<20
		w.cells[i].Capacity.DiskMB, w.cells[i].Capacity.CPUMilli = 1<<20, 1<<20
	}
	var d scheduler.Decision
	for w.round = range 200 {
		for i := range w.placed {
			w.placed[i].Health, w.placed[i].Busy, w.placed[i].Starting = scheduler.Healthy, false, false
		}
		for i := range w.tasks {
			w.tasks[i].Starting = false
		}
		d = w.plan(t)
		w.apply(d)
	}
	refused := map[string]bool{} // the rules of some can't be kept
	for _, r := range d.Refused {
		refused[r.App], refused[fmt.Sprint(r.App, r.Index)] = true, true
		if a := w.app(r.App); r.Waits || a != nil && !a.Rules.Any() {
			t.Errorf("%s/%d is refused when all has healed: %s", r.App, r.Index, r.Reason)
		}
	}
	count := map[string]int{}
	for _, p := range w.placed {
		count[fmt.Sprint(p.App, p.Index)]++
	}
	for _, a := range w.apps {
		if a.Rollout != nil && a.Rollout.State == app.RolloutRunning && !refused[a.Name] {
			t.Errorf("%s: the rollout never ends", a.Name)
		}
		for i := range a.Instances {
			if n := count[fmt.Sprint(a.Name, i)]; n != 1 && !refused[fmt.Sprint(a.Name, i)] {
				t.Errorf("%s/%d is placed %d times when all has healed", a.Name, i, n)
			}
		}
	}
}
