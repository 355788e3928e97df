package scheduler

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// run is an instance of web on cell c.
func run(state app.State, change ...func(*app.Instance)) app.Instance {
	in := app.Instance{ID: "p0", App: "web", Cell: "c", State: state, GUID: "g"}
	for _, f := range change {
		f(&in)
	}
	return in
}

func crashes(n int, reason string) func(*app.Instance) {
	return func(in *app.Instance) { in.Crashes, in.Reason, in.GUID = n, reason, "" }
}

func started(in *app.Instance) { in.GUID = "g2" }
func pulls(in *app.Instance)   { in.Pull = &app.Pull{} }
func unready(in *app.Instance) { in.Unready = true }
func stops(in *app.Instance)   { in.Stopping = true }
func stray(in *app.Instance)   { in.Stray = true }

// TestTeller tells what is found out from one report to the next, whatever was
// missed in between.
func TestTeller(t *testing.T) {
	none := []app.Instance(nil)
	list := func(in app.Instance) []app.Instance { return []app.Instance{in} }
	for name, tt := range map[string]struct {
		before, after []app.Instance
		want          string
	}{
		"nothing":                {none, none, ""},
		"the same":               {list(run(app.Running)), list(run(app.Running)), ""},
		"claimed":                {none, list(run(app.Claimed)), "instance.claimed instance.started"},
		"quick":                  {none, list(run(app.Running)), "instance.claimed instance.running"},
		"pulled":                 {list(run(app.Claimed)), list(run(app.Claimed, pulls)), "instance.pulling"},
		"still pulled":           {list(run(app.Claimed, pulls)), list(run(app.Claimed, pulls)), ""},
		"started":                {list(run(app.Claimed, pulls, crashes(1, ""))), list(run(app.Claimed, crashes(1, ""), started)), "instance.started"},
		"came up":                {list(run(app.Claimed)), list(run(app.Running)), "instance.running"},
		"crashed":                {list(run(app.Running)), list(run(app.Crashed, crashes(1, "exited"))), "instance.crashed"},
		"crashed and came up":    {list(run(app.Running)), list(run(app.Running, crashes(1, "exited"))), "instance.crashed instance.running"},
		"twice between":          {list(run(app.Running)), list(run(app.Running, crashes(2, "exited"))), "instance.crashed instance.running"},
		"loops":                  {list(run(app.Crashed, crashes(5, "exited"))), list(run(app.Crashed, crashes(6, "exited"))), ""},
		"loops on":               {list(run(app.Crashed, crashes(7, "exited"))), list(run(app.Crashed, crashes(8, "exited"))), "instance.crashed"},
		"loops for a new reason": {list(run(app.Crashed, crashes(5, "exited"))), list(run(app.Crashed, crashes(6, "killed"))), "instance.crashed"},
		"up in a loop":           {list(run(app.Crashed, crashes(5, ""))), list(run(app.Running, crashes(5, ""))), ""},
		"not ready":              {list(run(app.Running)), list(run(app.Running, unready)), "instance.unready"},
		"ready again":            {list(run(app.Running, unready)), list(run(app.Running)), "instance.ready"},
		"stopping":               {list(run(app.Running)), list(run(app.Running, stops)), "instance.stopping"},
		"stopped":                {list(run(app.Running)), none, "instance.stopped"},
		"a stray":                {none, list(run(app.Running, stray)), ""},
		"a stray is gone":        {list(run(app.Running, stray)), none, ""},
	} {
		teller := teller{map[string]time.Time{}}
		got := kindsOf(teller.tell(tt.before, tt.after, func(string) bool { return true }, time.Now()))
		if got != tt.want {
			t.Errorf("%s: got %q, want %q", name, got, tt.want)
		}
		if got := kindsOf(teller.tell(nil, nil, nil, time.Now())); got != "" {
			t.Errorf("%s: got %q of nothing", name, got)
		}
	}
}

func kindsOf(es []app.Event) string {
	var all []string
	for _, e := range es {
		all = append(all, e.Kind)
	}
	return strings.Join(all, " ")
}

func TestTellerDoesNotTakeTheUnknownForNew(t *testing.T) {
	teller := teller{map[string]time.Time{}}
	after := []app.Instance{run(app.Running)}
	if got := kindsOf(teller.tell(nil, after, func(string) bool { return false }, time.Now())); got != "" {
		t.Errorf("got %q in the first report after a restart of the brain", got)
	}
}

// An instance that falls over again and again is told of ever less often, and
// when it stands at last, once more.
func TestCrashLoopIsNoStorm(t *testing.T) {
	teller, now, told := teller{map[string]time.Time{}}, time.Now(), map[string]int{}
	last := run(app.Claimed)
	see := func(in app.Instance) {
		for _, e := range teller.tell([]app.Instance{last}, []app.Instance{in}, nil, now) {
			told[e.Kind]++
		}
		last = in
	}
	const n = 1000
	for i := range n {
		see(run(app.Running, crashes(i, "exited with code 1")))
		now = now.Add(time.Second)
		see(run(app.Crashed, crashes(i+1, "exited with code 1")))
		now = now.Add(time.Second)
	}
	if got := told[app.InstanceCrashed] + told[app.InstanceRunning]; got > 20 || told[app.InstanceCrashed] < 8 {
		t.Errorf("got %d events of %d crashes", got, n)
	}
	told = map[string]int{}
	for range 3 {
		see(run(app.Running, crashes(n, "")))
		now = now.Add(steady)
	}
	if got := told[app.InstanceRunning]; got != 1 {
		t.Errorf("got %d events that it runs at last, want 1", got)
	}
}

func TestWhyHere(t *testing.T) {
	cell := func(id, zone string) app.Cell { return app.Cell{ID: id, Zone: zone, State: app.CellAlive} }
	a, b, c := cell("a", "z1"), cell("b", "z1"), cell("c", "z2")
	on := func(cell string) Placed { return Placed{Placement: app.Placement{App: "web", Cell: cell}} }
	for _, tt := range []struct {
		cells  []app.Cell
		placed []Placed
		cell   string
		want   string
	}{
		{[]app.Cell{a}, nil, "a", "the only cell"},
		{[]app.Cell{a, b}, nil, "a", "of the 2 that had 0"},
		{[]app.Cell{a, b}, []Placed{on("b")}, "a", "fewer instances of web (0) than the 1 other"},
		{[]app.Cell{a, b, c}, []Placed{on("a")}, "c", "of 2 zones, z2 had the fewest instances of web (0)"},
		{[]app.Cell{a, b, c}, []Placed{on("c"), on("c")}, "c", "the best of 3 cells"},
	} {
		p := app.Placement{App: "web", Cell: tt.cell}
		o := newOutlook(tt.cells)
		for _, x := range tt.placed {
			o.add(x.App, x.Cell)
		}
		if got := o.why(p); !strings.Contains(got, tt.want) {
			t.Errorf("got %q, want %q in it", got, tt.want)
		}
	}
}

func TestManyAreToldInOne(t *testing.T) {
	var c crowd
	var es []app.Event
	for i := range 1000 {
		es = append(es, app.Event{Kind: app.InstancePlaced, App: "web", Index: i}, app.Event{Kind: app.InstanceClaimed, App: "db", Index: i})
	}
	now := time.Now()
	if got := c.thin(append(es, app.Event{Kind: app.AppCreated, App: "web"}), now); len(got) != 2*oneByOne+1 {
		t.Errorf("got %d events at once", len(got))
	}
	if got := c.thin(es, now.Add(crowdTime-2*crowdSweep)); len(got) != 0 {
		t.Errorf("got %d events a little later", len(got))
	}
	got := c.thin(nil, now.Add(crowdTime))
	if len(got) != 2 || got[0].App != "db" || got[0].Count != 2000-oneByOne || got[1].Count != 2000-oneByOne {
		t.Errorf("got %+v in the end", got)
	}
	if got := c.thin(nil, now.Add(2*crowdTime)); len(got) != 0 || len(c.all) != 0 {
		t.Errorf("got %+v after that, and %d are remembered", got, len(c.all))
	}
}

func TestRefusalsAreToldOncePerApp(t *testing.T) {
	var got []string
	s := &Scheduler{told: map[string]refusedApp{}, cfg: Config{Emit: func(e app.Event) { got = append(got, fmt.Sprint(e.App, e.Count, e.Message)) }}}
	refused := func(n int, why string) (rs []Refusal) {
		for i := range n {
			rs = append(rs, Refusal{App: "web", Index: i, Reason: why})
		}
		return rs
	}
	now := time.Now()
	s.tellRefused(refused(3, "a has 1 MiB"), now)
	s.tellRefused(refused(3, "a has 2 MiB"), now.Add(time.Second))
	s.tellRefused(refused(3, "a has 2 MiB"), now.Add(toldAgain))
	s.tellRefused(refused(3, "a has 2 MiB"), now.Add(3*toldAgain))
	s.tellRefused(nil, now.Add(3*toldAgain))
	s.tellRefused(refused(1, "a has 2 MiB"), now.Add(3*toldAgain))
	want := []string{"web3this one and 2 more: a has 1 MiB", "web3this one and 2 more: a has 2 MiB", "web1a has 2 MiB"}
	if !slices.Equal(got, want) {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestDifferencesShowNoValues(t *testing.T) {
	a := app.App{Name: "web", Image: "nginx", Env: map[string]string{"PASSWORD": "hunter2"}, Revision: 1}
	b := a
	b.Image, b.Env, b.Revision = "nginx:2", map[string]string{"PASSWORD": "hunter3"}, 2
	if got := differences(a, b); got != "image, env" {
		t.Errorf("got %q", got)
	}
	if got := differences(a, a); got != "nothing" {
		t.Errorf("got %q", got)
	}
}
