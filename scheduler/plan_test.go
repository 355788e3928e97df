package scheduler_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lattice/app"
	"lattice/scheduler"
)

func web(n int) app.App {
	return app.App{Name: "web", Image: "img", Instances: n, MemoryMB: 256, Revision: 1}.WithDefaults()
}

func cell(id string, mb int) app.Cell {
	return app.Cell{ID: id, Zone: "z1", State: app.CellAlive, Capacity: app.Resources{MemoryMB: mb, DiskMB: 1000, Containers: 100}}
}

func in(c app.Cell, zone string) app.Cell        { c.Zone = zone; return c }
func state(c app.Cell, s app.CellState) app.Cell { c.State = s; return c }
func on(index int, cell string) app.Placement    { return placed("web", index, cell) }
func apps(as ...app.App) []app.App               { return as }
func cells(cs ...app.Cell) []app.Cell            { return cs }
func have(ps ...app.Placement) []app.Placement   { return ps }
func placed(name string, i int, c string) app.Placement {
	return app.Placement{ID: fmt.Sprint(name, i, c), App: name, Index: i, Cell: c}
}

// show renders a decision in a line.
func show(d scheduler.Decision) string {
	var out []string
	for _, p := range d.Stop {
		out = append(out, fmt.Sprintf("stop %s/%d@%s", p.App, p.Index, p.Cell))
	}
	for _, p := range d.Start {
		out = append(out, fmt.Sprintf("start %s/%d@%s", p.App, p.Index, p.Cell))
	}
	for _, r := range d.Refused {
		out = append(out, fmt.Sprintf("refuse %s/%d: %s", r.App, r.Index, r.Reason))
	}
	return strings.Join(out, ", ")
}

func TestPlan(t *testing.T) {
	two := cells(cell("a", 512), cell("b", 512))
	big := app.App{Name: "big", Instances: 1, MemoryMB: 500}
	for _, c := range []struct {
		name  string
		apps  []app.App
		have  []app.Placement
		cells []app.Cell
		want  string
	}{
		{"nothing", nil, nil, two, ""},
		{"spreads", apps(web(2)), nil, two, "start web/0@a, start web/1@b"},
		{"leaves what runs alone", apps(web(2)), have(on(0, "b"), on(1, "b")), two, ""},
		{"fills a hole", apps(web(2)), have(on(1, "a")), two, "start web/0@b"},
		{"scales down from the top", apps(web(1)), have(on(0, "a"), on(1, "b")), two, "stop web/1@b"},
		{"scales to nothing", apps(web(0)), have(on(0, "a")), two, "stop web/0@a"},
		{"stops removed apps", nil, have(on(0, "a")), two, "stop web/0@a"},
		{"stops a doubled index", apps(web(1)), have(on(0, "a"), on(0, "b")), two, "stop web/0@b"},
		{"replaces on a dead cell", apps(web(1)), have(on(0, "a")), cells(state(cell("a", 512), app.CellDead), cell("b", 512)), "stop web/0@a, start web/0@b"},
		{"replaces on an unknown cell", apps(web(1)), have(on(0, "x")), two, "stop web/0@x, start web/0@a"},
		{"waits for a suspect cell", apps(web(2)), have(on(0, "a")), cells(state(cell("a", 512), app.CellSuspect), cell("b", 512)), "start web/1@b"},
		{"zones before cells", apps(web(2)), nil, cells(in(cell("a", 512), "z1"), in(cell("b", 512), "z1"), in(cell("c", 512), "z2")), "start web/0@a, start web/1@c"},
		{"least used first", apps(web(1), big), have(placed("big", 0, "a")), cells(cell("a", 1024), cell("b", 1024)), "start web/0@b"},
		{"larger first", apps(web(1), big), nil, cells(cell("a", 512)), "start big/0@a, refuse web/0: needs 256 MiB memory: a has 12 of 512 MiB memory free"},
		{"no cells", apps(web(1)), nil, nil, "refuse web/0: no cell has joined yet"},
		{"no room", apps(web(3)), nil, two[:1], "start web/0@a, start web/1@a, refuse web/2: needs 256 MiB memory: a has 0 of 512 MiB memory free"},
		{"no slot", apps(web(1)), nil, cells(app.Cell{ID: "a", State: app.CellAlive, Capacity: app.Resources{MemoryMB: 999}}), "refuse web/0: needs 256 MiB memory: a runs its 0 containers"},
		{"only a suspect", apps(web(1)), nil, cells(state(cell("a", 512), app.CellSuspect)), "refuse web/0: needs 256 MiB memory: a does not answer"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := show(scheduler.Plan(c.apps, c.have, c.cells)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestPlanHolds lets cells die, come back and apps change at random, and
// checks what must hold after every plan.
func TestPlanHolds(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	var cs []app.Cell
	for i := range 12 {
		cs = append(cs, in(cell(fmt.Sprintf("c%02d", i), 256+r.IntN(2048)), fmt.Sprint("z", i%3)))
	}
	var as []app.App
	var ps []app.Placement
	for round := range 1000 {
		as, cs = disturb(r, as, cs, round)
		d := scheduler.Plan(as, ps, cs)
		for _, p := range d.Stop {
			if wanted(as, p) && stateOf(cs, p.Cell) != app.CellDead {
				t.Fatalf("round %d: stopped %s/%d, which was wanted and not on a dead cell", round, p.App, p.Index)
			}
		}
		ps = apply(ps, d, round)
		checkRoom(t, as, ps, cs)
		shuffle(r, as, ps, cs)
		again := scheduler.Plan(as, ps, cs)
		if len(again.Start)+len(again.Stop) != 0 {
			t.Fatalf("round %d: plan is not stable: %s", round, show(again))
		}
		if len(again.Refused) != len(d.Refused) {
			t.Fatalf("round %d: %d refused, then %d", round, len(d.Refused), len(again.Refused))
		}
	}
}

func disturb(r *rand.Rand, as []app.App, cs []app.Cell, round int) ([]app.App, []app.Cell) {
	switch r.IntN(4) {
	case 0:
		as = append(as, app.App{Name: fmt.Sprint("app", round), Instances: r.IntN(6), MemoryMB: r.IntN(300), DiskMB: r.IntN(100)})
	case 1:
		if len(as) > 0 {
			as[r.IntN(len(as))].Instances = r.IntN(8)
		}
	case 2:
		if len(as) > 0 {
			as = slices.Delete(as, 0, 1)
		}
	}
	states := []app.CellState{app.CellAlive, app.CellAlive, app.CellSuspect, app.CellDead}
	cs[r.IntN(len(cs))].State = states[r.IntN(len(states))]
	return as, cs
}

func apply(ps []app.Placement, d scheduler.Decision, round int) []app.Placement {
	ps = slices.DeleteFunc(ps, func(p app.Placement) bool { return slices.Contains(d.Stop, p) })
	for _, p := range d.Start {
		p.ID = fmt.Sprint(round, p.App, p.Index)
		ps = append(ps, p)
	}
	return ps
}

func wanted(as []app.App, p app.Placement) bool {
	return slices.ContainsFunc(as, func(a app.App) bool { return a.Name == p.App && p.Index < a.Instances })
}

func stateOf(cs []app.Cell, id string) app.CellState {
	return cs[slices.IndexFunc(cs, func(c app.Cell) bool { return c.ID == id })].State
}

func checkRoom(t *testing.T, as []app.App, ps []app.Placement, cs []app.Cell) {
	t.Helper()
	for _, c := range cs {
		var used app.Resources
		for _, p := range ps {
			if p.Cell == c.ID {
				a := as[slices.IndexFunc(as, func(a app.App) bool { return a.Name == p.App })]
				used.MemoryMB += a.MemoryMB
				used.DiskMB += a.DiskMB
				used.Containers++
			}
		}
		if used.MemoryMB > c.Capacity.MemoryMB || used.DiskMB > c.Capacity.DiskMB || used.Containers > c.Capacity.Containers {
			t.Fatalf("cell %s is overbooked: %+v of %+v", c.ID, used, c.Capacity)
		}
	}
}

func shuffle(r *rand.Rand, as []app.App, ps []app.Placement, cs []app.Cell) {
	r.Shuffle(len(as), func(i, j int) { as[i], as[j] = as[j], as[i] })
	r.Shuffle(len(ps), func(i, j int) { ps[i], ps[j] = ps[j], ps[i] })
	r.Shuffle(len(cs), func(i, j int) { cs[i], cs[j] = cs[j], cs[i] })
}

func BenchmarkPlan8200On100(b *testing.B) {
	var cs []app.Cell
	for i := range 100 {
		cs = append(cs, in(cell(fmt.Sprintf("c%03d", i), 1<<20), fmt.Sprint("z", i%2)))
		cs[i].Capacity.Containers = 1000
	}
	var as []app.App
	for i := range 820 {
		as = append(as, app.App{Name: fmt.Sprint("app", i), Instances: 10, MemoryMB: 1 << (i % 3)})
	}
	for b.Loop() {
		if d := scheduler.Plan(as, nil, cs); len(d.Start) != 8200 {
			b.Fatal(len(d.Start))
		}
	}
}
