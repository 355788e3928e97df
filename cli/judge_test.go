package cli

import (
	"strings"
	"testing"
	"time"

	"lattice/app"
)

func TestJudge(t *testing.T) {
	up := func(i int) app.Instance {
		return app.Instance{Index: i, State: app.Running, GUID: "g", Revision: 1}
	}
	with := func(in app.Instance, change func(*app.Instance)) app.Instance { change(&in); return in }
	crashed := func(n int, reason string) app.Instance {
		return app.Instance{State: app.Crashed, Revision: 1, Crashes: n, Reason: reason}
	}
	refused := app.Instance{Index: 1, State: app.Unclaimed, Reason: "no cell has joined yet", Revision: 1}
	leaving := with(up(2), func(in *app.Instance) { in.Stopping = true })
	for _, tt := range []struct {
		name      string
		want      int // instances
		check     app.CheckType
		instances []app.Instance
		fresh     bool
		wait      time.Duration // between a first look and the one that counts
		done      bool
		code      int // 0: no error
	}{
		{name: "nothing yet", want: 1},
		{name: "none wanted", want: 0, done: true},
		{name: "all up", want: 2, instances: []app.Instance{up(0), up(1)}, done: true},
		{name: "one up", want: 2, instances: []app.Instance{up(0)}},
		{name: "one twice", want: 2, instances: []app.Instance{up(0), up(0)}},
		{name: "old revision", want: 1, instances: []app.Instance{with(up(0), func(in *app.Instance) { in.Revision = 0 })}},
		{name: "stray is nothing to us", want: 1, instances: []app.Instance{up(0), with(up(5), func(in *app.Instance) { in.Stray = true })}, done: true},
		{name: "one still leaves", want: 1, instances: []app.Instance{up(0), leaving}},
		{name: "surplus", want: 1, instances: []app.Instance{up(0), up(1)}},
		{name: "one of a namesake leaves", want: 1, instances: []app.Instance{up(0), leaving}, fresh: true, done: true},
		{name: "no check, just started", want: 1, check: app.CheckNone, instances: []app.Instance{up(0)}},
		{name: "no check, stands", want: 1, check: app.CheckNone, instances: []app.Instance{up(0)}, wait: steadyFor, done: true},
		{name: "crashed before, just up", want: 1, instances: []app.Instance{with(up(0), func(in *app.Instance) { in.Crashes = 9 })}},
		{name: "crashed before, stands", want: 1, instances: []app.Instance{with(up(0), func(in *app.Instance) { in.Crashes = 9 })}, wait: steadyFor, done: true},
		{name: "up but not ready", want: 1, instances: []app.Instance{with(up(0), func(in *app.Instance) { in.Unready = true })}},
		{name: "crashed twice", want: 1, instances: []app.Instance{crashed(2, "exited with code 1")}},
		{name: "crash loop", want: 1, instances: []app.Instance{crashed(3, "exited with code 1")}, code: exitCommand},
		{name: "crash loop, on its next try", want: 1, instances: []app.Instance{with(crashed(3, "exited with code 1"), func(in *app.Instance) { in.State = app.Claimed })}, code: exitCommand},
		{name: "crash loop of one that leaves", want: 1, instances: []app.Instance{up(0), with(crashed(3, "x"), func(in *app.Instance) { in.Index = 1 })}},
		{name: "image", want: 1, instances: []app.Instance{with(crashed(1, "image nix: unknown"), func(in *app.Instance) { in.Cause = app.CauseImage })}, code: exitImage},
		{name: "command", want: 1, instances: []app.Instance{with(crashed(1, "start command: no such file"), func(in *app.Instance) { in.Cause = app.CauseCommand })}, code: exitCommand},
		{name: "no room yet", want: 2, instances: []app.Instance{up(0), refused}},
		{name: "no room", want: 2, instances: []app.Instance{up(0), refused}, wait: noRoomFor, code: exitPlacement},
		{name: "unclaimed without a reason", want: 1, instances: []app.Instance{{State: app.Unclaimed, Revision: 1}}, wait: noRoomFor},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := app.Status{App: app.App{Name: "web", Instances: tt.want, Revision: 1, Check: app.Check{Type: tt.check}}, Instances: tt.instances}
			j := judge{fresh: tt.fresh}
			now := time.Unix(1_000_000, 0)
			done, err := j.look(s, now)
			if tt.wait > 0 {
				if done || err != nil {
					t.Errorf("at once: got %v, %v, want neither", done, err)
				}
				done, err = j.look(s, now.Add(tt.wait))
			}
			code := 0
			if err != nil {
				code = exitCode(err)
			}
			if done != tt.done || code != tt.code {
				t.Errorf("got done %v, code %d (%v), want %v, %d", done, code, err, tt.done, tt.code)
			}
		})
	}
}

// A new container of an instance has to stand for itself.
func TestJudgeForgetsAContainerThatFell(t *testing.T) {
	s := app.Status{App: app.App{Instances: 1, Check: app.Check{Type: app.CheckNone}}}
	var j judge
	now := time.Unix(1_000_000, 0)
	for i, guid := range []string{"a", "b", "c"} {
		s.Instances = []app.Instance{{State: app.Running, GUID: guid}}
		if done, err := j.look(s, now.Add(time.Duration(i)*steadyFor)); done || err != nil {
			t.Errorf("container %s: got %v, %v, want neither", guid, done, err)
		}
	}
}

func TestLateNamesTheFirstInstancesOnly(t *testing.T) {
	now := time.Unix(1_000_000, 0)
	s := app.Status{App: app.App{Name: "web", Instances: 9}}
	for i := range 9 {
		s.Instances = append(s.Instances, app.Instance{Index: i, State: app.Claimed, Cell: "c1", Since: now.Add(-time.Minute)})
	}
	s.Instances[0].State = app.Running
	f := new(judge).late(s, time.Minute, now)
	if got, want := f.Error(), "web did not come up within 1m0s: 1 of 9 instances run"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	got := strings.Join(f.lines, "|")
	want := "web/1 CLAIMED on c1 for 1m0s|web/2 CLAIMED on c1 for 1m0s|web/3 CLAIMED on c1 for 1m0s|web/4 CLAIMED on c1 for 1m0s|web/5 CLAIMED on c1 for 1m0s|and 3 more"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}
