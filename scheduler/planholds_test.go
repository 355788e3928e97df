package scheduler_test

import (
	"fmt"
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
	round  int
}

// TestPlanHolds lets cells die, drain and come back, instances fall ill and
// recover, and apps change at random, and checks what must hold after every plan.
func TestPlanHolds(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	w := &world{r: rand.New(rand.NewPCG(seed, 0))}
	for i := range 12 {
		w.cells = append(w.cells, in(cell(fmt.Sprintf("c%02d", i), 256+w.r.IntN(2048)), fmt.Sprint("z", i%3)))
	}
	for w.round = range 2000 {
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
		d := plan(w.apps, w.placed, w.cells)
		if len(d.Start)+len(d.Stop)+len(d.Rollouts) == 0 {
			return
		}
		w.checkNothingHealthyIsTaken(t, d)
		w.apply(d)
		w.checkRoom(t)
		w.shuffle()
	}
	t.Fatalf("round %d: plans come to no end: %s", w.round, show(plan(w.apps, w.placed, w.cells)))
}

func (w *world) disturb() {
	switch w.r.IntN(6) {
	case 0:
		w.apps = append(w.apps, app.App{Name: fmt.Sprint("app", w.round), Revision: 1, Instances: w.r.IntN(6), MemoryMB: w.r.IntN(300), DiskMB: w.r.IntN(100)})
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
	c := &w.cells[w.r.IntN(len(w.cells))]
	states := []app.CellState{app.CellAlive, app.CellAlive, app.CellSuspect, app.CellDead}
	c.State, c.Draining = states[w.r.IntN(len(states))], w.r.IntN(4) == 0
	for i := range w.placed {
		w.progress(&w.placed[i])
	}
}

// progress lets an instance start, fall ill, or become idle.
func (w *world) progress(p *scheduler.Placed) {
	switch {
	case w.r.IntN(3) == 0:
		p.Health = scheduler.Healthy
	case w.r.IntN(20) == 0:
		p.Health, p.Crashes, p.Reason = scheduler.Ill, p.Crashes+1, "exited with code 1"
	}
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
		w.placed = append(w.placed, scheduler.Placed{Placement: p, Busy: true})
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

func (w *world) checkRoom(t *testing.T) {
	t.Helper()
	for _, c := range w.cells {
		var used app.Resources
		for _, p := range w.placed {
			if p.Cell == c.ID {
				a := w.app(p.App)
				used.MemoryMB += a.MemoryMB
				used.DiskMB += a.DiskMB
				used.Containers++
			}
		}
		if used.MemoryMB > c.Capacity.MemoryMB || used.DiskMB > c.Capacity.DiskMB || used.Containers > c.Capacity.Containers {
			t.Fatalf("round %d: cell %s is overbooked: %+v of %+v", w.round, c.ID, used, c.Capacity)
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
		w.cells[i].Capacity.DiskMB = 1 << 20
	}
	for w.round = range 200 {
		for i := range w.placed {
			w.placed[i].Health, w.placed[i].Busy = scheduler.Healthy, false
		}
		w.apply(plan(w.apps, w.placed, w.cells))
	}
	count := map[string]int{}
	for _, p := range w.placed {
		count[fmt.Sprint(p.App, p.Index)]++
	}
	for _, a := range w.apps {
		if a.Rollout != nil && a.Rollout.State == app.RolloutRunning {
			t.Errorf("%s: the rollout never ends", a.Name)
		}
		for i := range a.Instances {
			if n := count[fmt.Sprint(a.Name, i)]; n != 1 {
				t.Errorf("%s/%d is placed %d times when all has healed", a.Name, i, n)
			}
		}
	}
}
