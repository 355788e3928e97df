package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"lattice/app"
)

// shown is a rehearsal in one line.
func shown(r app.Rehearsal) string {
	var parts []string
	list := func(what string, ps []app.Place) {
		for _, p := range ps {
			parts = append(parts, fmt.Sprintf("%s %d@%s r%d", what, p.Index, p.Cell, p.Revision))
		}
	}
	list("stop", r.Stop)
	list("start", r.Start)
	if r.Keep > 0 {
		parts = append(parts, fmt.Sprint("keep ", r.Keep))
	}
	for _, x := range r.Refused {
		parts = append(parts, fmt.Sprintf("refuse %d", x.Index))
	}
	if r.Partly {
		parts = append(parts, "partly")
	}
	return strings.Join(parts, ", ")
}

func TestRehearsal(t *testing.T) {
	cells := []app.Cell{
		{ID: "a", State: app.CellAlive, Capacity: app.Resources{MemoryMB: 512, Containers: 100}},
		{ID: "b", State: app.CellAlive, Capacity: app.Resources{MemoryMB: 512, Containers: 100}},
	}
	web := func(revision uint64, n int, change ...func(*app.App)) app.App {
		a := app.App{Name: "web", Instances: n, MemoryMB: 128, Revision: revision}
		for _, f := range change {
			f(&a)
		}
		return a
	}
	rolls := func(s app.Strategy) func(*app.App) {
		return func(a *app.App) {
			a.Rollout = &app.Rollout{RolloutOptions: app.RolloutOptions{Strategy: s}, From: 1, To: 2, State: app.RolloutRunning}
		}
	}
	on := func(index int, cell string, h Health) Placed {
		return Placed{Placement: app.Placement{ID: fmt.Sprint("p", index), App: "web", Index: index, Cell: cell, Revision: 1}, Health: h, Busy: true}
	}
	two := []Placed{on(0, "a", Healthy), on(1, "b", Healthy)}
	for _, tt := range []struct {
		name   string
		app    app.App
		placed []Placed
		want   string
	}{
		{"create", web(1, 2), nil, "start 0@a r1, start 1@b r1"},
		{"does not fit", web(1, 1, func(a *app.App) { a.MemoryMB = 9999 }), nil, "refuse 0"},
		{"fits in part", web(1, 3, func(a *app.App) { a.MemoryMB = 512 }), nil, "start 0@a r1, start 1@b r1, refuse 2"},
		{"scale up", web(1, 3), two, "start 2@a r1, keep 2"},
		{"scale down", web(1, 1), two, "stop 1@b r1, keep 1"},
		{"no change", web(1, 2), two, "keep 2"},
		{"rolling", web(2, 2, rolls(app.Rolling)), two, "stop 0@a r1, stop 1@b r1, start 0@a r2, start 1@b r2"},
		{"recreate", web(2, 2, rolls(app.Recreate)), two, "stop 0@a r1, stop 1@b r1, start 0@a r2, start 1@b r2"},
		{"canary", web(2, 2, rolls(app.Canary)), two, "stop 0@a r1, start 0@a r2, keep 1"},
	} {
		old := web(1, 2)
		f := Facts{Apps: []app.App{tt.app}, Placed: tt.placed, Cells: slices.Clone(cells), Revisions: map[app.RevisionKey]*app.App{{App: "web", Number: 1}: &old, {App: "web", Number: 2}: &tt.app}}
		if tt.app.Revision == 1 {
			f.Revisions = map[app.RevisionKey]*app.App{{App: "web", Number: 1}: &tt.app}
		}
		if got := shown(play(f, tt.app, func() bool { return true })); got != tt.want {
			t.Errorf("%s: got %s, want %s", tt.name, got, tt.want)
		}
	}
}

func TestRehearsalIsEndedInTime(t *testing.T) {
	a := app.App{Name: "web", Instances: 1, Revision: 1}
	f := Facts{Apps: []app.App{a}, Cells: []app.Cell{{ID: "a", State: app.CellAlive, Capacity: app.Resources{Containers: 1}}}}
	if r := play(f, a, func() bool { return false }); !r.Partly || len(r.Start) != 1 {
		t.Errorf("got %+v", r)
	}
}
