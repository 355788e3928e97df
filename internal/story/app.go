package story

import (
	"cmp"
	"fmt"
	"slices"

	"lattice/app"
)

// Any lets OfApp choose the instance that tells most.
const Any = -1

// OfApp tells of an app, at the example of one of its instances.
func OfApp(f Facts, st app.Status, index int) Story {
	in := focus(st, index)
	t := appTale{Facts: f, status: st, in: in}
	s := Story{About: "app " + st.App.Name, Steps: shorten(t.steps(), f.Program, st.App.Name), Now: t.now()}
	s.Well, s.Verdict, s.Next = t.judge()
	return s
}

// An appTale is an app with the instance that stands for all.
type appTale struct {
	Facts
	status app.Status
	in     app.Instance // Index is -1 if there is none
}

// focus returns the instance that has the most trouble, the newest first.
func focus(st app.Status, index int) app.Instance {
	best, worst := app.Instance{Index: -1}, -1
	for _, in := range st.Instances {
		if in.Stray || in.Stopping || in.Draining || index != Any && in.Index != index {
			continue
		}
		if n := trouble(in); n > worst || n == worst && in.Index == best.Index && in.Revision > best.Revision {
			best, worst = in, n
		}
	}
	return best
}

// trouble ranks how much there is to tell of an instance.
func trouble(in app.Instance) int {
	switch {
	case in.State == app.Crashed:
		return 5
	case in.State == app.Unclaimed && in.Reason != "":
		return 4
	case in.State == app.Claimed && in.Crashes > 0:
		return 4
	case in.State != app.Running:
		return 3
	case in.Unready:
		return 2
	case in.Crashes > 0 || in.Reason != "":
		return 1
	}
	return 0
}

// steps tells what happened to the app and to the one instance.
func (t appTale) steps() []Step {
	a := t.status.App
	steps := []Step{{At: a.CreatedAt, What: t.wanted()}}
	if a.CreatedAt.IsZero() {
		steps = nil
	}
	cells := map[string]bool{} // that the instance was placed on
	lastCrash := -1
	for _, e := range t.Events {
		if e.At.Before(a.CreatedAt.Add(-slack)) || e.App != a.Name && !cells[e.Cell] || e.App != "" && e.App != a.Name {
			continue
		}
		step, ok := t.step(e)
		if !ok {
			continue
		}
		if e.Kind == app.InstancePlaced {
			cells[e.Cell] = true
		}
		if e.Kind == app.InstanceCrashed {
			lastCrash = len(steps)
			step.Lines = t.printed(e.Index, e.GUID, e.At)
		}
		steps = append(steps, step)
	}
	for i := range steps {
		if i != lastCrash {
			steps[i].Lines = nil // once is enough
		}
	}
	if lastCrash < 0 && t.in.Crashes > 0 {
		steps = append(steps, Step{At: t.in.Since, Tone: Bad, What: fmt.Sprintf("crashed %s: %s", times(t.in.Crashes), t.in.Reason), Lines: t.printed(t.in.Index, "", t.Now)})
	}
	return steps
}

func times(n int) string { return plural(n, "time", "times") }

// wanted says what was asked for. Who asked is in the journal, for a while.
func (t appTale) wanted() string {
	a, actor := t.status.App, ""
	for _, e := range t.Events {
		if e.Kind == app.AppCreated && e.App == a.Name && !e.At.Before(a.CreatedAt.Add(-slack)) {
			actor = e.Actor
		}
	}
	memory := "no limit of memory"
	if a.MemoryMB > 0 {
		memory = fmt.Sprintf("%d MiB memory each", a.MemoryMB)
	}
	return fmt.Sprintf("%s of %s wanted, with %s%s", plural(a.Instances, "instance", "instances"), a.Image, memory, by(actor))
}

// step tells of an event, if it belongs to the story.
func (t appTale) step(e app.Event) (Step, bool) {
	s := Step{At: e.At, Tone: tone(e.Kind)}
	mine := e.Index == t.in.Index && e.Index >= 0
	name := fmt.Sprintf("instance %d", e.Index)
	switch e.Kind {
	case app.AppCreated:
		return s, false // the first step says it
	case app.AppUpdated, app.AppScaled, app.AppStopped, app.AppStarted, app.AppRemoved:
		s.What = verb(e.Kind) + ": " + e.Message + by(e.Actor)
		return s, true
	case app.RolloutStarted, app.RolloutWaiting, app.RolloutGoesOn, app.RolloutFinished, app.RolloutUndone:
		s.What = "change " + verb(e.Kind) + ": " + e.Message + by(e.Actor)
		return s, true
	case app.CellSuspected, app.CellDied, app.CellBack, app.CellDrains, app.CellUndrained, app.CellRevoked:
		s.What = "cell " + e.Cell + ": " + e.Message + by(e.Actor)
		return s, true
	case app.InstanceRefused:
		s.What = name + " finds no cell: " + e.Message
		return s, mine || e.Count > 1
	case app.InstancePlaced:
		s.What = name + " goes to " + e.Cell + ": " + e.Message
	case app.InstanceCrashed:
		s.What = name + " crashed: " + e.Message
	case app.InstanceRestarted:
		s.What = name + ": " + e.Message + by(e.Actor)
	case app.InstanceDropped:
		s.What = name + " leaves " + e.Cell + ": " + e.Message
	default:
		s.What = name + ": " + e.Message
	}
	return s, mine
}

// verb is what comes after the dot of a kind.
func verb(kind string) string {
	for i := range kind {
		if kind[i] == '.' {
			return kind[i+1:]
		}
	}
	return kind
}

func tone(kind string) Tone {
	switch kind {
	case app.InstanceCrashed, app.InstanceRefused, app.InstanceUnready, app.InstanceCutOff, app.RolloutUndone, app.CellDied, app.CellSuspected, app.CellRevoked,
		app.TaskFailed, app.TaskRefused:
		return Bad
	case app.InstanceRunning, app.InstanceReady, app.RolloutFinished, app.CellBack, app.CellJoined, app.TaskSucceeded:
		return Good
	}
	return ""
}

// now says how things stand.
func (t appTale) now() []string {
	a := t.status.App
	lines := []string{}
	if r := a.Rollout; r != nil && (r.State == app.RolloutRunning || r.State == app.RolloutPaused) {
		changed := 0
		for _, in := range t.status.Instances {
			if in.Revision == r.To && in.State == app.Running {
				changed++
			}
		}
		lines = append(lines, fmt.Sprintf("it changes from revision %d to %d (%s): %d of %d instances are there", r.From, r.To, cmp.Or(r.Strategy, app.Rolling), changed, a.Wanted()))
	}
	lines = append(lines, fmt.Sprintf("%d of %d instances run", running(t.status), a.Wanted()))
	if t.in.Index >= 0 {
		lines = append(lines, t.instanceNow())
	}
	if others := t.alike(); others > 0 {
		lines = append(lines, fmt.Sprintf("%s in the same state", plural(others, "more instance is", "more instances are")))
	}
	return lines
}

func (t appTale) instanceNow() string {
	in := t.in
	text := fmt.Sprintf("instance %d is %s", in.Index, in.State)
	if in.State == app.Running && in.Unready {
		text += " but not ready"
	}
	if in.Cell != "" {
		text += " on " + in.Cell
	}
	if !in.Since.IsZero() {
		text += " for " + age(t.Now.Sub(in.Since))
	}
	if in.Crashes > 0 {
		text += ", after " + plural(in.Crashes, "crash", "crashes")
	}
	if in.State == app.Crashed && in.RetryAt.After(t.Now) {
		text += ", and is started again in " + until(in.RetryAt, t.Now)
	}
	return text
}

// running counts the instances that serve.
func running(st app.Status) int {
	up := map[int]bool{}
	for _, in := range st.Instances {
		if in.State == app.Running && !in.Unready && !in.Stopping && !in.Stray && in.Index < st.App.Wanted() {
			up[in.Index] = true
		}
	}
	return len(up)
}

// alike counts the other instances in the state of the one that is told of.
func (t appTale) alike() int {
	if trouble(t.in) < 2 {
		return 0
	}
	same := slices.DeleteFunc(slices.Clone(t.status.Instances), func(in app.Instance) bool {
		return in.Index == t.in.Index || in.State != t.in.State || in.Unready != t.in.Unready || in.Stopping || in.Stray
	})
	return len(same)
}
