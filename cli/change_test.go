package cli

import (
	"strings"
	"testing"
	"time"

	"lattice/app"
)

func TestChange(t *testing.T) {
	on := func(revision uint64, i int, set ...func(*app.Instance)) app.Instance {
		in := app.Instance{ID: "p", Index: i, State: app.Running, GUID: "g", Revision: revision}
		for _, f := range set {
			f(&in)
		}
		return in
	}
	draining := func(in *app.Instance) { in.Draining = true }
	noRoom := func(in *app.Instance) { in.Reason, in.Cause = "waits for room to move to: all is full", app.CauseRoom }
	ill := func(in *app.Instance) { in.State, in.Crashes, in.Reason = app.Crashed, 2, "exited with code 1" }
	unclaimed := app.Instance{Index: 1, State: app.Unclaimed, Reason: "all is full", Revision: 2}
	for _, tt := range []struct {
		name      string
		state     app.RolloutState
		revision  uint64 // that the app shall have; 0: 2
		to        uint64 // of its rollout; 0: 2
		instances []app.Instance
		wait      time.Duration // between a first look and the one that counts
		done      bool
		code      int
		text      string // a part of the error
	}{
		{name: "on its way", state: app.RolloutRunning, instances: []app.Instance{on(2, 0), on(1, 1)}},
		{name: "all changed, not yet settled", state: app.RolloutRunning, instances: []app.Instance{on(2, 0), on(2, 1)}},
		{name: "done", state: app.RolloutDone, instances: []app.Instance{on(2, 0), on(2, 1)}, done: true},
		{name: "done, one still drains", state: app.RolloutDone, instances: []app.Instance{on(2, 0), on(2, 1), on(1, 1, draining)}},
		{name: "crashes, which is not for us to judge", state: app.RolloutRunning, instances: []app.Instance{on(1, 0), on(2, 0, ill), on(1, 1)}},
		{name: "canary", state: app.RolloutPaused, instances: []app.Instance{on(2, 0), on(1, 1)}, done: true},
		{name: "failed, coming back", state: app.RolloutFailed, revision: 1, instances: []app.Instance{on(1, 0)}},
		{name: "failed, back", state: app.RolloutFailed, revision: 1, instances: []app.Instance{on(1, 0), on(1, 1)}, code: exitCommand, text: "revision 2 of web did not come up: it is bad"},
		{name: "another change", state: app.RolloutRunning, to: 3, revision: 3, code: exitCommand, text: "changed again meanwhile, to revision 3"},
		{name: "no room yet", state: app.RolloutRunning, instances: []app.Instance{on(1, 0, noRoom), on(1, 1)}},
		{name: "no room", state: app.RolloutRunning, instances: []app.Instance{on(2, 0), on(1, 1, noRoom)}, wait: noRoomToChange, code: exitPlacement, text: "no room for revision 2 of web: 1 of 2 instances changed"},
		{name: "no room for a missing one", state: app.RolloutRunning, instances: []app.Instance{on(2, 0), unclaimed}, wait: noRoomToChange, code: exitPlacement, text: "no room"},
		{name: "slow, but there is room", state: app.RolloutRunning, instances: []app.Instance{on(2, 0), on(1, 1)}, wait: noRoomToChange},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := app.Status{Instances: tt.instances, App: app.App{Name: "web", Instances: 2, Revision: 2, Rollout: &app.Rollout{From: 1, To: 2, State: tt.state, Reason: "it is bad"}}}
			if tt.revision != 0 {
				s.App.Revision = tt.revision
			}
			if tt.to != 0 {
				s.App.Rollout.To = tt.to
			}
			c := change{to: 2}
			now := time.Unix(1_000_000, 0)
			done, err := c.look(s, now)
			if tt.wait > 0 {
				if done || err != nil {
					t.Errorf("at once: got %v, %v, want neither", done, err)
				}
				done, err = c.look(s, now.Add(tt.wait))
			}
			code, text := 0, ""
			if err != nil {
				code, text = exitCode(err), err.Error()
			}
			if done != tt.done || code != tt.code || !strings.Contains(text, tt.text) {
				t.Errorf("got done %v, code %d (%v), want %v, %d %q", done, code, err, tt.done, tt.code, tt.text)
			}
		})
	}
}

// While instances still change, want of room is none that lasts.
func TestChangeMindsProgress(t *testing.T) {
	s := app.Status{App: app.App{Name: "web", Instances: 9, Revision: 2, Rollout: &app.Rollout{From: 1, To: 2, State: app.RolloutRunning}}}
	s.Instances = []app.Instance{{Index: 8, State: app.Running, Revision: 1, Reason: "waits for room to move to: x", Cause: app.CauseRoom}}
	c := change{to: 2}
	now := time.Unix(1_000_000, 0)
	for i := range 5 {
		if done, err := c.look(s, now); done || err != nil {
			t.Fatalf("look %d: got %v, %v, want neither", i, done, err)
		}
		s.Instances = append(s.Instances, app.Instance{Index: i, State: app.Running, Revision: 2})
		now = now.Add(noRoomToChange - time.Second)
	}
	c.look(s, now)
	if _, err := c.look(s, now.Add(noRoomToChange)); err == nil {
		t.Error("it stands still for ever")
	}
}

func TestRenewal(t *testing.T) {
	old := app.Instance{ID: "old", State: app.Crashed, Crashes: 9, Reason: "worn out"}
	fresh := app.Instance{ID: "new", State: app.Running, GUID: "g"}
	bad := app.Instance{ID: "new", State: app.Crashed, Crashes: crashLoop}
	for _, tt := range []struct {
		name      string
		instances []app.Instance
		done      bool
		fail      bool
	}{
		{"not begun", []app.Instance{old}, false, false},
		{"both", []app.Instance{old, fresh}, false, false},
		{"only the new one", []app.Instance{fresh}, true, false},
		{"the new one is no better", []app.Instance{old, bad}, false, true},
	} {
		r := renewal{old: []string{"old"}}
		done, err := r.look(app.Status{App: app.App{Name: "web", Instances: 1}, Instances: tt.instances}, time.Unix(1_000_000, 0))
		if done != tt.done || (err != nil) != tt.fail {
			t.Errorf("%s: got %v, %v, want %v, failed %v", tt.name, done, err, tt.done, tt.fail)
		}
	}
}

// During a handover two instances have one index, and count once.
func TestRunningCountsEachIndexOnce(t *testing.T) {
	in := func(i int, change ...func(*app.Instance)) app.Instance {
		in := app.Instance{Index: i, State: app.Running}
		for _, f := range change {
			f(&in)
		}
		return in
	}
	draining := func(in *app.Instance) { in.Draining = true }
	stopping := func(in *app.Instance) { in.Stopping = true }
	for _, tt := range []struct {
		instances []app.Instance
		stopped   bool
		want      string
	}{
		{[]app.Instance{in(0), in(1), in(1)}, false, "2/3"},
		{[]app.Instance{in(0), in(0, draining), in(1, draining), in(2, stopping)}, false, "1/3"},
		{[]app.Instance{in(0), in(1), in(2), in(3)}, false, "3/3"},
		{[]app.Instance{in(0)}, true, "stopped"},
	} {
		s := app.Status{App: app.App{Instances: 3, Stopped: tt.stopped}, Instances: tt.instances}
		if got := instancesField(s).text; got != tt.want {
			t.Errorf("%+v: got %s, want %s", tt.instances, got, tt.want)
		}
	}
}

func TestConfirm(t *testing.T) {
	for answer, want := range map[string]bool{"y\n": true, " YES \n": true, "yes": true, "\n": false, "": false, "no\n": false, "yeah\n": false} {
		st := newStreams("ltc", strings.NewReader(answer), newConsole(), newConsole())
		if got := st.confirm("Stop?"); got != want {
			t.Errorf("%q: got %v, want %v", answer, got, want)
		}
	}
}
