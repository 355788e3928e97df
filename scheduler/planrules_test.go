package scheduler_test

import (
	"fmt"
	"testing"

	"lattice/app"
	"lattice/scheduler"
)

func labelled(c app.Cell, key, value string) app.Cell {
	c.Labels = map[string]string{key: value}
	return c
}

func cpus(c app.Cell, milli int) app.Cell { c.Capacity.CPUMilli = milli; return c }

// ruled is an app of so many instances that has rules.
func ruled(n int, r app.Rules) app.App {
	a := web(n)
	a.Rules = r
	return a
}

func starting(p scheduler.Placed) scheduler.Placed { p.Starting = true; return ill(p) }

func TestPlanGoesByRules(t *testing.T) {
	a, b := cell("a", 1024), cell("b", 1024)
	gpu, ssd := map[string]string{"gpu": app.AnyValue}, map[string]string{"disk": "ssd"}
	db := app.App{Name: "db", Instances: 1, MemoryMB: 64, Revision: 1}
	half := web(1)
	half.CPUMilli = 500
	for _, c := range []struct {
		name  string
		apps  []app.App
		have  []scheduler.Placed
		cells []app.Cell
		o     scheduler.Options
		want  string
	}{
		{"requires a label", apps(ruled(2, app.Rules{Require: gpu})), nil, cells(a, labelled(b, "gpu", "x")), scheduler.Options{}, "start web/0@b, start web/1@b"},
		{"requires another value", apps(ruled(1, app.Rules{Require: ssd})), nil, cells(a, labelled(b, "disk", "hdd")), scheduler.Options{},
			"refuse web/0: needs 256 MiB memory; 2 cells lack label disk=ssd"},
		{"prefers a label to an empty cell", apps(ruled(1, app.Rules{Prefer: ssd}), db), have(placed("db", 0, "b")), cells(a, labelled(b, "disk", "ssd")), scheduler.Options{}, "start web/0@b"},
		{"spreads though it prefers", apps(ruled(2, app.Rules{Prefer: ssd})), nil, cells(a, labelled(b, "disk", "ssd")), scheduler.Options{}, "start web/0@b, start web/1@a"},
		{"goes elsewhere when it must", apps(ruled(1, app.Rules{Prefer: ssd})), nil, cells(a, labelled(cell("b", 99), "disk", "ssd")), scheduler.Options{}, "start web/0@a"},
		{"keeps to zones", apps(ruled(2, app.Rules{Zones: []string{"z2"}})), nil, cells(a, in(b, "z2")), scheduler.Options{}, "start web/0@b, start web/1@b"},
		{"has no such zone", apps(ruled(1, app.Rules{Zones: []string{"z3", "z4"}})), nil, cells(a, b), scheduler.Options{}, "refuse web/0: needs 256 MiB memory; 2 cells are not in zone z3 or z4"},
		{"avoids", apps(ruled(1, app.Rules{Avoid: []string{"db"}}), db), have(placed("db", 0, "a")), cells(a, b), scheduler.Options{}, "start web/0@b"},
		{"is avoided", apps(ruled(1, app.Rules{Avoid: []string{"db"}}), db), have(on(0, "a")), cells(a, b), scheduler.Options{}, "start db/0@b"},
		{"can't avoid", apps(ruled(1, app.Rules{Avoid: []string{"db"}}), db), have(placed("db", 0, "a")), cells(a), scheduler.Options{},
			"refuse web/0: needs 256 MiB memory; 1 cell runs an app that it must not meet"},
		{"one per cell", apps(ruled(3, app.Rules{OnePerCell: true})), nil, cells(a, b), scheduler.Options{},
			"start web/0@a, start web/1@b, refuse web/2: needs 256 MiB memory; 2 cells run one of its instances already"},
		{"one per cell is replaced where it is", apps(ruled(1, app.Rules{OnePerCell: true})), have(replace(on(0, "a"))), cells(a), scheduler.Options{}, "start web/0@a"},
		{"no cpu left", apps(half), nil, cells(cpus(a, 400), cpus(b, 0)), scheduler.Options{},
			"refuse web/0: needs 256 MiB memory and 0.5 cores; the most any of 2 cells has free is 0.4 cores (a)"},
		{"enough cpu", apps(half), nil, cells(cpus(a, 400), cpus(b, 500)), scheduler.Options{}, "start web/0@b"},
		{"says all that is short", apps(half), nil, cells(cpus(a, 400), cpus(cell("b", 99), 9000), draining(cell("c", 1024))), scheduler.Options{},
			"refuse web/0: needs 256 MiB memory and 0.5 cores; 1 of 2 cells have too little memory, at most 99 MiB memory (b); 1 of 2 cells have too little cpu, at most 0.4 cores (a); 1 cell is draining"},
		{"packs", apps(db, app.App{Name: "dc", Instances: 1, MemoryMB: 64, Revision: 1}), nil, cells(a, b), scheduler.Options{Pack: true}, "start db/0@a, start dc/0@a"},
		{"packs no app on one cell", apps(web(2)), nil, cells(a, b), scheduler.Options{Pack: true}, "start web/0@a, start web/1@b"},
		{"starts few on a cell", apps(web(3)), nil, cells(a, b), scheduler.Options{MaxStartsPerCell: 1},
			"start web/0@a, start web/1@b, refuse web/2: waits for its turn: 2 cells have room, but 1 instance is starting on each already"},
		{"starts few at all", apps(web(3)), have(starting(on(0, "a"))), cells(a, b), scheduler.Options{MaxStarts: 2},
			"start web/1@b, refuse web/2: waits for its turn: 2 instances are starting, and no more may at the same time"},
		{"goes on when one is up", apps(web(3)), have(on(0, "a"), starting(on(1, "b"))), cells(a, b), scheduler.Options{MaxStarts: 2}, "start web/2@a"},
		{"goes on when one has failed", apps(web(3)), have(crashed(on(0, "a"), 1), starting(on(1, "b"))), cells(a, b), scheduler.Options{MaxStarts: 2}, "start web/2@a"},
	} {
		t.Run(c.name, func(t *testing.T) {
			f := facts(c.apps, c.have, c.cells)
			f.Options = c.o
			if got := show(scheduler.Plan(f)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestImageIsATieBreak: of cells that are about as good the one with the image is
// taken, but not one that is worse.
func TestImageIsATieBreak(t *testing.T) {
	f := facts(apps(web(1)), nil, cells(cell("a", 1024), cell("b", 1024), cell("c", 1024)))
	f.Images = map[string][]string{"c": {"other", "img"}}
	if got := show(scheduler.Plan(f)); got != "start web/0@c" {
		t.Errorf("got %s, want it where the image is", got)
	}
	f.Placed = have(placed("web", 1, "c"))
	f.Apps[0].Instances = 2
	if got := show(scheduler.Plan(f)); got != "start web/0@a" {
		t.Errorf("got %s, want it spread", got)
	}
}

// TestNothingIsAllocatedForAPlacement compares plans that differ only in how many
// instances an app has.
func TestNothingIsAllocatedForAPlacement(t *testing.T) {
	count := func(each int) float64 {
		f := empty(100, 20, each)
		return testing.AllocsPerRun(10, func() { scheduler.Plan(f) })
	}
	few, many := count(100), count(900)
	if each := (many - few) / (20 * 800); each > 0.01 {
		t.Errorf("%.3f allocations for a placement: %s", each, fmt.Sprint(few, many))
	}
}
