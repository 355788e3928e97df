package story_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/internal/story"
)

var noon = time.Date(2026, 5, 1, 12, 0, 0, 0, time.UTC)

// web is the app of the tests, with these instances.
func web(ins ...app.Instance) app.Status {
	a := app.App{Name: "web", Image: "nginx", Instances: max(1, len(ins)), MemoryMB: 256, Revision: 1, CreatedAt: noon}.WithDefaults()
	for i := range ins {
		ins[i].App = "web"
	}
	return app.Status{App: a, Instances: ins}
}

func with(st app.Status, change func(*app.App)) app.Status {
	change(&st.App)
	return st
}

func facts(cells ...app.Cell) story.Facts {
	return story.Facts{Program: "ltc", Now: noon.Add(time.Hour), Cells: cells}
}

func cell(id string, state app.CellState, free int) app.Cell {
	return app.Cell{ID: id, State: state, Capacity: app.Resources{MemoryMB: free}}
}

// What is the matter, and what to type, for each way in which an app can fail.
func TestVerdicts(t *testing.T) {
	alive, dead := cell("c1", app.CellAlive, 100), cell("c1", app.CellDead, 0)
	crashed := func(reason string, cause app.Cause) app.Instance {
		return app.Instance{State: app.Crashed, Cell: "c1", Crashes: 4, Reason: reason, Cause: cause, RetryAt: noon.Add(2 * time.Hour)}
	}
	up := app.Instance{State: app.Running, Cell: "c1", Since: noon}
	for name, tt := range map[string]struct {
		status  app.Status
		cells   []app.Cell
		well    bool
		verdict string // a part of it
		next    string // a part of what to type; "": nothing
	}{
		"all is well":       {web(up), nil, true, "all is well: 1 of 1", ""},
		"removed":           {app.Status{App: app.App{Name: "web"}}, nil, true, "was removed", ""},
		"stopped":           {with(web(), func(a *app.App) { a.Stopped = true }), nil, true, "is stopped", "ltc start web"},
		"none wanted":       {with(web(), func(a *app.App) { a.Instances = 0 }), nil, true, "no instance of web is wanted", "ltc scale web 1"},
		"no cell":           {web(app.Instance{State: app.Unclaimed, Reason: "no cell has joined yet"}), nil, false, "no cell has joined", "lattice cell --join"},
		"no room":           {web(app.Instance{State: app.Unclaimed, Reason: "needs 256 MiB memory; c1 has 100 MiB memory free"}), []app.Cell{alive}, false, "no cell takes web/0: it needs 256 MiB", "ltc update web -m 100M"},
		"room for some":     {web(up, app.Instance{Index: 1, State: app.Unclaimed, Reason: "needs"}), []app.Cell{alive}, false, "no cell takes web/1", "ltc scale web 1"},
		"drains":            {web(app.Instance{State: app.Unclaimed, Reason: "needs"}), []app.Cell{{ID: "c1", State: app.CellAlive, Draining: true}}, false, "no cell takes", "ltc cell undrain c1"},
		"waits its turn":    {web(app.Instance{State: app.Unclaimed, Reason: "waits for its turn: 9 instances are starting"}), nil, false, "web/0 waits for its turn", ""},
		"unplaced":          {web(app.Instance{State: app.Unclaimed}), nil, false, "waits to be placed", "ltc doctor"},
		"pulling":           {web(app.Instance{State: app.Claimed, Pull: &app.Pull{Done: 5 << 20, Total: 20 << 20}}), nil, false, "being pulled: 5 of 20 MiB", "ltc status web --rate"},
		"no such image":     {web(crashed("image nginx: registry docker.io has no such image", app.CauseImage)), nil, false, "can't be started: image nginx", "ltc update web --image"},
		"no such command":   {web(crashed("start command: no such file", app.CauseCommand)), nil, false, "can't be started: start command", "ltc update web -- COMMAND"},
		"exit code":         {web(crashed("exited with code 3", "")), nil, false, "web/0 crashed 4 times: exited with code 3", "ltc logs web -i 0"},
		"exit code 0":       {web(crashed("exited with code 0", "")), nil, false, "must not end", "ltc run nginx"},
		"memory":            {web(crashed("ran out of memory: it may use 256 MiB (exit code 137)", "")), nil, false, "ran out of memory", "ltc update web -m 512M"},
		"full disk":         {web(crashed("the disk of cell c1 is full: free some space there", "")), nil, false, "disk of cell c1 is full", "ltc cell drain c1"},
		"port never opened": {web(crashed("not healthy within 1m0s: port 8080 does not answer", "")), nil, false, "not healthy within", "ltc update web -p PORT"},
		"starting":          {web(app.Instance{State: app.Claimed, GUID: "g", Reason: "not healthy yet: port 80 refuses"}), nil, false, "its check has not passed yet: port 80 refuses", "ltc update web --no-monitor"},
		"unready":           {web(app.Instance{State: app.Running, Unready: true, Reason: "GET /ready answers 503"}), nil, false, "no route leads to it: GET /ready answers 503", "ltc update web --no-readiness"},
		"its cell is dead":  {web(app.Instance{State: app.Claimed, Cell: "c1"}), []app.Cell{dead}, false, "c1, does not answer", "ltc explain c1"},
		"crashed before":    {web(app.Instance{State: app.Running, Crashes: 2, Reason: "exited with code 3"}), nil, true, "crashed 2 times before", "ltc logs web"},
		"can't move":        {web(app.Instance{State: app.Running, Reason: "waits for room to move to: needs"}), nil, false, "can't move", "adds a cell"},
		"a canary":          {with(web(up), func(a *app.App) { a.Rollout = &app.Rollout{State: app.RolloutPaused} }), nil, true, "a canary", "--promote"},
		"failed rollout":    {with(web(up), func(a *app.App) { a.Rollout = &app.Rollout{To: 2, State: app.RolloutFailed, Reason: "it crashed"} }), nil, false, "the change to revision 2 failed: it crashed", "ltc revisions web"},
	} {
		s := story.OfApp(facts(tt.cells...), tt.status, story.Any)
		var next []string
		for _, a := range s.Next {
			next = append(next, a.Type+" "+a.Why)
		}
		if got := strings.Join(next, "\n"); s.Well != tt.well || !strings.Contains(s.Verdict, tt.verdict) || !strings.Contains(got, tt.next) || tt.next == "" && got != "" {
			t.Errorf("%s: got %v, %q and\n%s\nwant %v, %q and %q", name, s.Well, s.Verdict, got, tt.well, tt.verdict, tt.next)
		}
	}
}

func at(seconds int) time.Time { return noon.Add(time.Duration(seconds) * time.Second) }

// The story has what concerns the app and the one instance, in order, the last
// words before the last crash, and nothing of a former app of that name.
func TestStoryOfAnApp(t *testing.T) {
	f := facts(cell("c1", app.CellAlive, 100))
	f.Events = []app.Event{
		{At: at(-60), Kind: app.AppCreated, App: "web", Index: -1, Message: "a namesake"},
		{At: at(0), Kind: app.AppCreated, App: "web", Index: -1, Actor: "jo"},
		{At: at(1), Kind: app.InstancePlaced, App: "web", Cell: "c1", Message: "the only cell"},
		{At: at(1), Kind: app.InstancePlaced, App: "db", Cell: "c1", Message: "of another app"},
		{At: at(2), Kind: app.InstancePlaced, App: "web", Index: 1, Cell: "c1", Message: "of another instance"},
		{At: at(3), Kind: app.InstanceCrashed, App: "web", Cell: "c1", GUID: "g1", Message: "exited with code 1"},
		{At: at(4), Kind: app.CellSuspected, Cell: "c2", Message: "of another cell"},
		{At: at(5), Kind: app.CellSuspected, Cell: "c1", Message: "it does not answer"},
		{At: at(6), Kind: app.AppUpdated, App: "web", Index: -1, Actor: "jo", Message: "changed: image"},
		{At: at(7), Kind: app.InstanceCrashed, App: "web", Cell: "c1", GUID: "g2", Message: "exited with code 3"},
	}
	for i := range 9 {
		f.Lines = append(f.Lines, app.LogLine{GUID: "g1", Text: "old", At: at(2)}, app.LogLine{GUID: "g2", Text: fmt.Sprint("line ", i), At: at(6)},
			app.LogLine{GUID: "g2", Stream: app.Platform, Text: "platform"}, app.LogLine{GUID: "g2", Index: 1, Text: "other"})
	}
	s := story.OfApp(f, web(app.Instance{State: app.Crashed, Cell: "c1", Crashes: 2, Reason: "exited with code 3"}, app.Instance{Index: 1, State: app.Running}), story.Any)
	var got []string
	for _, step := range s.Steps {
		got = append(got, step.What)
		got = append(got, step.Lines...)
	}
	want := []string{
		"2 instances of nginx wanted, with 256 MiB memory each (by jo)", "instance 0 goes to c1: the only cell", "instance 0 crashed: exited with code 1",
		"cell c1: it does not answer", "updated: changed: image (by jo)", "instance 0 crashed: exited with code 3", "line 4", "line 5", "line 6", "line 7", "line 8",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestStoryWithoutEvents(t *testing.T) {
	f := facts()
	f.Lines = []app.LogLine{{GUID: "g", Text: "last words", At: at(1)}}
	s := story.OfApp(f, web(app.Instance{State: app.Crashed, Crashes: 7, Reason: "exited with code 3", Since: at(2)}), story.Any)
	last := s.Steps[len(s.Steps)-1]
	if last.What != "crashed 7 times: exited with code 3" || len(last.Lines) != 1 {
		t.Errorf("got %+v", last)
	}
}

func TestLongStoriesAreCut(t *testing.T) {
	f := facts()
	for i := range 500 {
		f.Events = append(f.Events, app.Event{At: at(i), Kind: app.AppScaled, App: "web", Index: -1, Message: fmt.Sprint(i)})
	}
	s := story.OfApp(f, web(app.Instance{State: app.Running}), story.Any)
	if n := len(s.Steps); n > 40 || s.Steps[n-1].What != "scaled: 499" {
		t.Errorf("got %d steps, the last %q", n, s.Steps[n-1].What)
	}
}

func TestStoryOfATask(t *testing.T) {
	code := 3
	base := app.Task{Name: "job", Spec: app.App{Name: "job", Image: "busybox"}, CreatedAt: noon, State: app.Completed, EndedAt: noon}
	for name, tt := range map[string]struct {
		change  func(*app.Task)
		well    bool
		verdict string
	}{
		"ended well": {func(*app.Task) {}, true, "job ended well"},
		"failed": {func(j *app.Task) {
			j.Failed, j.Reason, j.ExitCode, j.Attempts = true, "exited with code 3", &code, []app.Attempt{{Failed: true, Reason: "exited with code 3", GUID: "g"}}
		}, false, "job failed: exited with code 3"},
		"cancelled":    {func(j *app.Task) { j.Cancelled, j.Failed = true, true }, true, "job was cancelled"},
		"no room":      {func(j *app.Task) { j.State, j.Reason = app.Pending, "needs 1 GiB memory" }, false, "no cell takes job: it needs"},
		"waits":        {func(j *app.Task) { j.State = app.Pending }, true, "waits to be placed"},
		"next attempt": {func(j *app.Task) { j.State, j.RetryAt, j.Reason = app.Pending, noon.Add(2*time.Hour), "exited" }, false, "tried again in 1h0m0s: exited"},
		"pulls":        {func(j *app.Task) { j.State, j.Run = app.Claimed, &app.Instance{Pull: &app.Pull{}} }, true, "being pulled"},
		"runs":         {func(j *app.Task) { j.State, j.Attempts = app.Running, []app.Attempt{{Cell: "c1"}} }, true, "at work on c1"},
	} {
		job := base
		tt.change(&job)
		f := facts()
		f.Lines = []app.LogLine{{GUID: "g", Text: "last words"}}
		s := story.OfTask(f, job)
		if s.Well != tt.well || !strings.Contains(s.Verdict, tt.verdict) {
			t.Errorf("%s: got %v %q, want %v %q", name, s.Well, s.Verdict, tt.well, tt.verdict)
		}
		if last := s.Steps[len(s.Steps)-1]; job.Failed && !job.Cancelled && (last.Tone != story.Bad || len(last.Lines) != 1) {
			t.Errorf("%s: got the last step %+v", name, last)
		}
	}
}

func TestStoryOfACell(t *testing.T) {
	moves := app.Instance{App: "web", Cell: "c1", State: app.Running}
	stuck := moves
	stuck.Reason = "waits for room to move to: needs"
	ill := app.Instance{App: "web", Cell: "c1", State: app.Crashed}
	for name, tt := range map[string]struct {
		cell    app.Cell
		here    []app.Instance
		events  []app.Event
		well    bool
		verdict string
	}{
		"well":     {cell("c1", app.CellAlive, 1), nil, nil, true, "c1 is well"},
		"ill app":  {cell("c1", app.CellAlive, 1), []app.Instance{ill}, nil, true, "web/0 on it is not"},
		"dead":     {cell("c1", app.CellDead, 1), nil, nil, false, "c1 is gone"},
		"suspect":  {cell("c1", app.CellSuspect, 1), nil, nil, false, "does not answer"},
		"unknown":  {app.Cell{ID: "c1"}, nil, nil, false, "not there any more"},
		"revoked":  {app.Cell{ID: "c1"}, nil, []app.Event{{Kind: app.CellRevoked, Cell: "c1", Actor: "jo"}}, false, "put out of the cluster (by jo)"},
		"drains":   {app.Cell{ID: "c1", State: app.CellAlive, Draining: true}, []app.Instance{moves}, nil, true, "1 instance is left"},
		"is stuck": {app.Cell{ID: "c1", State: app.CellAlive, Draining: true}, []app.Instance{stuck}, nil, false, "waits for room"},
		"drained":  {app.Cell{ID: "c1", State: app.CellAlive, Draining: true}, nil, nil, true, "is drained"},
	} {
		f := facts()
		f.Events = tt.events
		s := story.OfCell(f, tt.cell, []app.Status{web(tt.here...)})
		if s.Well != tt.well || !strings.Contains(s.Verdict, tt.verdict) {
			t.Errorf("%s: got %v %q, want %v %q", name, s.Well, s.Verdict, tt.well, tt.verdict)
		}
	}
}
