package scheduler

import (
	"fmt"
	"math/bits"
	"time"

	"lattice/app"
)

const (
	// loop is after how many crashes only the 8th, 16th, 32nd … is told.
	loop = 4
	// steady is how long an instance that crashed so often must stay up for
	// that to be told.
	steady = time.Minute
)

// A teller finds out from one report of a cell to the next what happened. A
// report that is lost changes no more than that things are told later, and
// those that were over by then not at all.
type teller struct {
	unsteady map[string]time.Time // when an instance came up of which that was not told, by ID
}

// tell compares two reports of a cell. fresh tells which instances are new
// though there is no former report that has not got them: the first one after
// our start, or after the cell was gone, also has what we just didn't know of.
func (t *teller) tell(before, after []app.Instance, fresh func(id string) bool, now time.Time) []app.Event {
	was := make(map[string]app.Instance, len(before))
	for _, in := range before {
		was[in.ID] = in
	}
	var es []app.Event
	for _, in := range after {
		old, known := was[in.ID]
		delete(was, in.ID)
		switch {
		case in.Stray, in.Task != nil: // of a task others tell
		case known:
			es = append(es, t.change(old, in, now)...)
		case fresh(in.ID):
			es = append(es, about(app.InstanceClaimed, in, "%s starts it", in.Cell))
			es = append(es, t.change(app.Instance{State: app.Claimed}, in, now)...)
		}
	}
	for _, in := range before { // in their order
		if _, gone := was[in.ID]; gone && !in.Stray && in.Task == nil {
			delete(t.unsteady, in.ID)
			es = append(es, about(app.InstanceStopped, in, "stopped on %s", in.Cell))
		}
	}
	return es
}

// change returns what happened to one instance.
func (t *teller) change(old, in app.Instance, now time.Time) []app.Event {
	var es []app.Event
	if n := in.Crashes - old.Crashes; n > 0 || in.State == app.Crashed && old.State != app.Crashed {
		delete(t.unsteady, in.ID)
		if worthTelling(in.Crashes, max(n, 1)) || in.Reason != old.Reason {
			es = append(es, crash(old, in))
		}
	}
	if in.Pull != nil && old.Pull == nil {
		es = append(es, about(app.InstancePulling, in, "pulls its image"))
	}
	if in.State == app.Claimed && in.GUID != "" && in.GUID != old.GUID && in.Crashes < loop {
		es = append(es, about(app.InstanceLaunched, in, "its container runs"))
	}
	up, wasUp := in.State == app.Running, old.State == app.Running && old.GUID == in.GUID
	switch since, quiet := t.unsteady[in.ID]; {
	case up && !wasUp && in.Crashes >= loop:
		t.unsteady[in.ID] = now
	case up && !wasUp:
		es = append(es, about(app.InstanceRunning, in, "healthy on %s", in.Cell))
	case up && quiet && now.Sub(since) >= steady:
		delete(t.unsteady, in.ID)
		es = append(es, about(app.InstanceRunning, in, "healthy for %s after %d crashes", steady, in.Crashes))
	}
	if up && in.Unready && !(wasUp && old.Unready) {
		es = append(es, about(app.InstanceUnready, in, "not routed: %s", in.Reason))
	}
	if up && !in.Unready && wasUp && old.Unready {
		es = append(es, about(app.InstanceReady, in, "routed again"))
	}
	if in.Stopping && !old.Stopping {
		es = append(es, about(app.InstanceStopping, in, "stops on %s", in.Cell))
	}
	return es
}

// crash tells of a crash. The container it was in is the one before.
func crash(old, in app.Instance) app.Event {
	e := about(app.InstanceCrashed, in, "%s", in.Reason)
	e.GUID, e.Count = old.GUID, in.Crashes
	if in.Crashes > 1 {
		e.Message += fmt.Sprintf(" (crash %d)", in.Crashes)
	}
	return e
}

// worthTelling reports whether one of the last n crashes up to a count is told:
// of the first ones each, then every second as often as the last.
func worthTelling(count, n int) bool {
	return count-n < loop || bits.Len(uint(count)) != bits.Len(uint(count-n))
}

func about(kind string, in app.Instance, format string, args ...any) app.Event {
	return app.Event{Kind: kind, App: in.App, Cell: in.Cell, Instance: in.ID, Index: in.Index, GUID: in.GUID, Message: fmt.Sprintf(format, args...)}
}
