package scheduler_test

import (
	"testing"

	"lattice/app"
	"lattice/scheduler"
)

func task(name string, mb int, cell string) scheduler.Task {
	return scheduler.Task{Name: name, Cell: cell, Spec: &app.App{Name: name, Instances: 1, MemoryMB: mb}}
}

func TestPlanTasks(t *testing.T) {
	two := cells(cell("a", 512), cell("b", 512))
	for _, c := range []struct {
		name  string
		apps  []app.App
		tasks []scheduler.Task
		cells []app.Cell
		want  string
	}{
		{"spreads", nil, []scheduler.Task{task("x", 1, ""), task("y", 1, "")}, two, "task x@a, task y@b"},
		{"stays", nil, []scheduler.Task{task("x", 1, "a")}, two, ""},
		{"stays on a draining cell", nil, []scheduler.Task{task("x", 1, "a")}, cells(draining(cell("a", 512)), two[1]), ""},
		{"is no business of a plan when its cell is gone", nil, []scheduler.Task{task("x", 1, "gone")}, two, ""},
		{"takes room", apps(web(1)), []scheduler.Task{task("x", 300, "a")}, two, "start web/0@b"},
		{"after first instances, before second ones", apps(web(3)), []scheduler.Task{task("x", 256, "")}, two[:1],
			"start web/0@a, task x@a, refuse web/1: needs 256 MiB memory; a has 0 MiB memory free, refuse web/2: needs 256 MiB memory; a has 0 MiB memory free"},
		{"larger first", nil, []scheduler.Task{task("x", 200, ""), task("y", 512, "")}, two[:1], "task y@a, refuse task x: needs 200 MiB memory; a has 0 MiB memory free"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := scheduler.Plan(scheduler.Facts{Apps: c.apps, Tasks: c.tasks, Cells: c.cells})
			if got := show(d); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
	d := scheduler.Plan(scheduler.Facts{Tasks: []scheduler.Task{task("big", 600, "")}, Cells: two})
	if len(d.Refused) != 1 || d.Refused[0].Task != "big" || d.Refused[0].App != "" || d.Refused[0].Reason == "" {
		t.Errorf("got %+v, want a refusal of the task", d.Refused)
	}
}
