package scheduler_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/scheduler"
)

func web(n int) app.App {
	return app.App{Name: "web", Image: "img", Instances: n, MemoryMB: 256, Revision: 1}.WithDefaults()
}

// to is web in the middle of a change from revision 1 to 2.
func to(n int, o app.RolloutOptions) app.App {
	a := web(n)
	a.Revision, a.Rollout = 2, &app.Rollout{RolloutOptions: o, From: 1, To: 2, State: app.RolloutRunning}
	return a
}

func rolling(n int) app.App  { return to(n, app.RolloutOptions{Strategy: app.Rolling}) }
func recreate(n int) app.App { return to(n, app.RolloutOptions{Strategy: app.Recreate}) }
func canary(n int) app.App   { return to(n, app.RolloutOptions{Strategy: app.Canary}) }

func cell(id string, mb int) app.Cell {
	return app.Cell{ID: id, Zone: "z1", State: app.CellAlive, Capacity: app.Resources{MemoryMB: mb, DiskMB: 1000, Containers: 100}}
}

func in(c app.Cell, zone string) app.Cell        { c.Zone = zone; return c }
func state(c app.Cell, s app.CellState) app.Cell { c.State = s; return c }
func draining(c app.Cell) app.Cell               { c.Draining = true; return c }
func apps(as ...app.App) []app.App               { return as }
func cells(cs ...app.Cell) []app.Cell            { return cs }

func have(ps ...scheduler.Placed) []scheduler.Placed { return ps }

// on is a healthy instance of web's first revision.
func on(index int, cell string) scheduler.Placed { return placed("web", index, cell) }

func placed(name string, i int, c string) scheduler.Placed {
	return scheduler.Placed{Health: scheduler.Healthy, Busy: true,
		Placement: app.Placement{ID: fmt.Sprint(name, i, c), App: name, Index: i, Cell: c, Revision: 1}}
}

// newer is p at the second revision, placed later.
func newer(p scheduler.Placed) scheduler.Placed {
	p.Revision, p.At, p.ID = 2, p.At.Add(time.Second), p.ID+"r2"
	return p
}

func ill(p scheduler.Placed) scheduler.Placed     { p.Health = scheduler.Ill; return p }
func unknown(p scheduler.Placed) scheduler.Placed { p.Health = scheduler.Unknown; return p }
func idle(p scheduler.Placed) scheduler.Placed    { p.Busy = false; return p }
func replace(p scheduler.Placed) scheduler.Placed { p.Replace = true; return p }
func crashed(p scheduler.Placed, n int) scheduler.Placed {
	p.Crashes, p.Reason = n, "exited with code 1"
	return ill(p)
}

// plan plans with two revisions of every app that differ in nothing but their number.
func plan(as []app.App, ps []scheduler.Placed, cs []app.Cell) scheduler.Decision {
	return scheduler.Plan(facts(as, ps, cs))
}

func facts(as []app.App, ps []scheduler.Placed, cs []app.Cell) scheduler.Facts {
	f := scheduler.Facts{Apps: as, Placed: ps, Cells: cs, Revisions: map[app.RevisionKey]*app.App{}}
	for _, a := range as {
		for n := uint64(1); n <= max(a.Revision, 2); n++ {
			r := a
			r.Revision = n
			f.Revisions[app.RevisionKey{App: a.Name, Number: n}] = &r
		}
	}
	return f
}

// show renders a decision in a line.
func show(d scheduler.Decision) string {
	var out []string
	add := func(what string, ps []app.Placement) {
		for _, p := range ps {
			s := fmt.Sprintf("%s %s/%d@%s", what, p.App, p.Index, p.Cell)
			if p.Revision > 1 {
				s += fmt.Sprint(" r", p.Revision)
			}
			out = append(out, s)
		}
	}
	add("stop", d.Stop)
	add("retire", d.Retired)
	add("start", d.Start)
	for _, p := range d.Tasks {
		out = append(out, fmt.Sprintf("task %s@%s", p.Name, p.Cell))
	}
	for _, r := range d.Refused {
		what := fmt.Sprintf("%s/%d", r.App, r.Index)
		if r.Task != "" {
			what = "task " + r.Task
		}
		out = append(out, fmt.Sprintf("refuse %s: %s", what, r.Reason))
	}
	for _, t := range d.Rollouts {
		out = append(out, strings.TrimSuffix(fmt.Sprintf("%s %s: %s", t.App, t.State, t.Reason), ": "))
	}
	return strings.Join(out, ", ")
}

func TestPlan(t *testing.T) {
	two := cells(cell("a", 512), cell("b", 512))
	big := app.App{Name: "big", Instances: 1, MemoryMB: 500, Revision: 1}
	for _, c := range []struct {
		name  string
		apps  []app.App
		have  []scheduler.Placed
		cells []app.Cell
		want  string
	}{
		{"nothing", nil, nil, two, ""},
		{"spreads", apps(web(2)), nil, two, "start web/0@a, start web/1@b"},
		{"leaves what runs alone", apps(web(2)), have(on(0, "b"), on(1, "b")), two, ""},
		{"leaves what is ill alone", apps(web(1)), have(crashed(on(0, "b"), 9)), two, ""},
		{"fills a hole", apps(web(2)), have(on(1, "a")), two, "start web/0@b"},
		{"scales down from the top", apps(web(1)), have(on(0, "a"), on(1, "b")), two, "retire web/1@b"},
		{"stops what is retired and idle", apps(web(1)), have(on(0, "a"), idle(on(1, "b"))), two, "stop web/1@b"},
		{"stops at once what serves nobody", apps(web(1)), have(on(0, "a"), ill(on(1, "b"))), two, "stop web/1@b"},
		{"scales to nothing", apps(web(0)), have(on(0, "a")), two, "retire web/0@a"},
		{"stops removed apps", nil, have(on(0, "a")), two, "stop web/0@a"},
		{"retires a doubled index", apps(web(1)), have(on(0, "a"), on(0, "b")), two, "retire web/0@b"},
		{"keeps the healthy one of two", apps(web(1)), have(ill(on(0, "a")), on(0, "b")), two, "stop web/0@a"},
		{"replaces on a dead cell", apps(web(1)), have(on(0, "a")), cells(state(cell("a", 512), app.CellDead), cell("b", 512)), "stop web/0@a, start web/0@b"},
		{"replaces on an unknown cell", apps(web(1)), have(on(0, "x")), two, "stop web/0@x, start web/0@a"},
		{"waits for a suspect cell", apps(web(2)), have(unknown(on(0, "a"))), cells(state(cell("a", 512), app.CellSuspect), cell("b", 512)), "start web/1@b"},
		{"zones before cells", apps(web(2)), nil, cells(in(cell("a", 512), "z1"), in(cell("b", 512), "z1"), in(cell("c", 512), "z2")), "start web/0@a, start web/1@c"},
		{"least used first", apps(web(1), big), have(placed("big", 0, "a")), cells(cell("a", 1024), cell("b", 1024)), "start web/0@b"},
		{"larger first", apps(web(1), big), nil, cells(cell("a", 512)), "start big/0@a, refuse web/0: needs 256 MiB memory; a has 12 MiB memory free"},
		{"no cells", apps(web(1)), nil, nil, "refuse web/0: no cell has joined yet"},
		{"no room", apps(web(3)), nil, two[:1], "start web/0@a, start web/1@a, refuse web/2: needs 256 MiB memory; a has 0 MiB memory free"},
		{"no slot", apps(web(1)), nil, cells(app.Cell{ID: "a", State: app.CellAlive, Capacity: app.Resources{MemoryMB: 999}}), "refuse web/0: needs 256 MiB memory; a runs its 0 containers already"},
		{"only a suspect", apps(web(1)), nil, cells(state(cell("a", 512), app.CellSuspect)), "refuse web/0: needs 256 MiB memory; 1 cell does not answer"},

		{"restarts one, new before old", apps(web(1)), have(replace(on(0, "a"))), two, "start web/0@b"},
		{"waits for the new one", apps(web(1)), have(replace(on(0, "a")), ill(on(0, "b"))), two, ""},
		{"then retires the old one", apps(web(1)), have(replace(on(0, "a")), on(0, "b")), two, "retire web/0@a"},

		{"drains, new before old", apps(web(1)), have(on(0, "a")), cells(draining(cell("a", 512)), cell("b", 512)), "start web/0@b"},
		{"drains without room", apps(web(1)), have(on(0, "a")), cells(draining(cell("a", 512)), cell("b", 99)), "refuse web/0: needs 256 MiB memory; b has 99 MiB memory free; 1 cell is draining"},
		{"drained", apps(web(1)), have(on(0, "a"), on(0, "b")), cells(draining(cell("a", 512)), cell("b", 512)), "retire web/0@a"},
		{"no work for a draining cell", apps(web(1)), nil, cells(draining(cell("a", 512)), cell("b", 512)), "start web/0@b"},

		{"rolls one of four at a time", apps(rolling(4)), have(on(0, "a"), on(1, "a"), on(2, "b"), on(3, "b")), cells(cell("a", 9999), cell("b", 9999)), "start web/0@a r2"},
		{"rolls as many as asked", apps(to(3, app.RolloutOptions{Strategy: app.Rolling, MaxInFlight: 2})), have(on(0, "a"), on(1, "a"), on(2, "b")), cells(cell("a", 9999), cell("b", 9999)), "start web/0@b r2, start web/1@a r2"},
		{"waits while one is changing", apps(rolling(2)), have(on(0, "a"), on(1, "b"), ill(newer(on(0, "b")))), cells(cell("a", 9999), cell("b", 9999)), ""},
		{"goes on when it is healthy", apps(rolling(2)), have(on(0, "a"), on(1, "b"), newer(on(0, "b"))), cells(cell("a", 9999), cell("b", 9999)), "retire web/0@a, start web/1@a r2"},
		{"keeps what is ill until then", apps(rolling(1)), have(crashed(on(0, "a"), 3), ill(newer(on(0, "b")))), two, ""},
		{"and then stops it", apps(rolling(1)), have(crashed(on(0, "a"), 3), newer(on(0, "b"))), two, "stop web/0@a"},
		{"is done", apps(rolling(1)), have(newer(on(0, "b"))), two, "web DONE"},
		{"fails when the new one crashes", apps(rolling(1)), have(on(0, "a"), crashed(newer(on(0, "b")), 2)), two, "web FAILED: instance 0 crashed 2 times: exited with code 1"},
		{"has patience with one crash", apps(rolling(1)), have(on(0, "a"), crashed(newer(on(0, "b")), 1)), two, ""},

		{"recreates: old ones first", apps(recreate(2)), have(on(0, "a"), ill(on(1, "b"))), two, "stop web/1@b, retire web/0@a"},
		{"recreates: waits until they are gone", apps(recreate(2)), have(on(0, "a")), two, "retire web/0@a"},
		{"recreates: then new ones", apps(recreate(2)), nil, two, "start web/0@a r2, start web/1@b r2"},

		{"canary: only the first", apps(canary(2)), have(on(0, "a"), on(1, "b")), cells(cell("a", 9999), cell("b", 9999)), "start web/0@a r2"},
		{"canary: pauses", apps(canary(2)), have(newer(on(0, "a")), on(1, "b")), two, "web PAUSED"},
		{"canary: others keep the old revision", apps(canary(3)), have(newer(on(0, "a")), on(1, "b")), two, "start web/2@a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := show(plan(c.apps, c.have, c.cells)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestLeavingTakesRoom checks that an instance which is still being stopped
// counts.
func TestLeavingTakesRoom(t *testing.T) {
	f := scheduler.Facts{Apps: apps(web(1)), Cells: cells(cell("a", 300)), Leaving: []scheduler.Leaving{{Cell: "a", MemoryMB: 128}}}
	if got, want := show(scheduler.Plan(f)), "refuse web/0: needs 256 MiB memory; a has 172 MiB memory free"; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
