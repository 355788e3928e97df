package scheduler_test

import (
	"strings"
	"testing"

	"lattice/app"
	"lattice/scheduler"
)

func withData(a app.App) app.App {
	a.Volumes = []app.Volume{{Source: "data", Path: "/data"}}
	return a
}

// TestPlanWithVolumes: instances go where their volumes are, and nowhere else,
// and never two of an index have one at the same time.
func TestPlanWithVolumes(t *testing.T) {
	at := func(cell string) map[app.VolumeKey]string {
		return map[app.VolumeKey]string{{App: "web", Name: "data"}: cell}
	}
	one, two := withData(web(1)), cells(cell("a", 1024), cell("b", 1024))
	both := func(a, b string) map[app.VolumeKey]string {
		return map[app.VolumeKey]string{{App: "web", Name: "data"}: a, {App: "web", Name: "log"}: b}
	}
	twice := one
	twice.Volumes = append([]app.Volume{{Source: "log", Path: "/log"}}, one.Volumes...)
	larger := withData(rolling(1))
	larger.MemoryMB = 600
	for _, tt := range []struct {
		name    string
		app     app.App
		placed  []scheduler.Placed
		cells   []app.Cell
		volumes map[app.VolumeKey]string
		want    string
		reason  string
	}{
		{"a first one goes anywhere", one, nil, two, nil, "start web/0@a", ""},
		{"one goes where its volume is", one, nil, two, at("b"), "start web/0@b", ""},
		{"that of another index is nobody's", one, nil, two, map[app.VolumeKey]string{{App: "web", Name: "data", Index: 1}: "b"}, "start web/0@a", ""},
		{"no room there", one, nil, cells(cell("a", 1024), cell("b", 100)), at("b"), "refuse web/0", "volume web/data/0 is on cell b and nowhere else: needs 256 MiB memory; b has 100 MiB memory free"},
		{"the cell is gone", one, nil, two, at("c"), "refuse web/0", "cell c, which is gone: it waits until the cell is back; 'ltc volumes remove web/data/0'"},
		{"the cell does not answer", one, nil, cells(cell("a", 1024), state(cell("b", 1024), app.CellSuspect)), at("b"), "refuse web/0", "which does not answer"},
		{"the cell is draining", one, have(on(0, "b")), cells(cell("a", 1024), draining(cell("b", 1024))), at("b"), "refuse web/0", "is draining, and stays there"},
		{"volumes on two cells", twice, nil, two, both("a", "b"), "refuse web/0", "web/log/0 is on cell b and web/data/0 on cell a"},
		{"a second volume comes to the first", twice, nil, two, at("b"), "start web/0@b", ""},
		{"a dead cell keeps the placement", one, have(on(0, "b")), cells(cell("a", 1024), state(cell("b", 1024), app.CellDead)), at("b"), "refuse web/0", "which is gone"},
		{"unless it is not wanted any more", withData(web(0)), have(on(0, "b")), cells(cell("a", 1024), state(cell("b", 1024), app.CellDead)), at("b"), "stop web/0@b", ""},
		{"or its volume was given up", one, have(on(0, "b")), cells(cell("a", 1024), state(cell("b", 1024), app.CellDead)), nil, "stop web/0@b, start web/0@a", ""},
		{"an update takes it out of the router first", withData(rolling(1)), have(on(0, "a")), two, at("a"), "retire web/0@a", ""},
		{"then stops it and starts the new one", withData(rolling(1)), have(idle(on(0, "a"))), two, at("a"), "stop web/0@a, start web/0@a r2", ""},
		{"in the room of the old one", withData(rolling(1)), have(idle(on(0, "a"))), cells(cell("a", 300)), at("a"), "stop web/0@a, start web/0@a r2", ""},
		{"not without room for a larger one", larger, have(idle(on(0, "a"))), cells(cell("a", 500)), at("a"), "refuse web/0", "needs 600 MiB memory"},
		{"one at a time", withData(rolling(4)), have(ill(newer(on(0, "a"))), on(1, "a"), on(2, "a"), on(3, "a")), two, at("a"), "", ""},
		{"one that fell ill is replaced there", one, have(replace(ill(on(0, "b")))), two, at("b"), "stop web/0@b, start web/0@b", ""},
	} {
		f := facts(apps(tt.app), tt.placed, tt.cells)
		f.Volumes = tt.volumes
		d := scheduler.Plan(f)
		if got := show(d); !strings.HasPrefix(strings.Join(strings.Fields(got), " "), tt.want) || tt.want == "" && got != "" {
			t.Errorf("%s: got %q, want %q", tt.name, got, tt.want)
		}
		if tt.reason != "" && (len(d.Refused) != 1 || !strings.Contains(d.Refused[0].Reason, tt.reason)) {
			t.Errorf("%s: refused %+v, want %q", tt.name, d.Refused, tt.reason)
		}
	}
}

func TestPlanKeepsPrivilegedAppsToCellsThatAllowThem(t *testing.T) {
	a := web(1)
	a.Privileged = true
	trusting := cell("b", 1024)
	trusting.Trusting = true
	if got := show(plan(apps(a), nil, cells(cell("a", 1024), trusting))); got != "start web/0@b" {
		t.Errorf("got %s", got)
	}
	d := plan(apps(a), nil, cells(cell("a", 1024), cell("b", 1024)))
	if len(d.Refused) != 1 || !strings.Contains(d.Refused[0].Reason, "2 cells do not allow privileged apps") {
		t.Errorf("got %s %+v", show(d), d.Refused)
	}
}
