package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"sync"
	"time"

	"lattice/app"
)

// toldAgain is the shortest time between two events about an app's instances
// that still fit nowhere.
const toldAgain = time.Minute

// tell tells what a person wants of an app.
func (s *Scheduler) tell(ctx context.Context, kind, name, format string, args ...any) {
	s.cfg.Emit(app.Event{Kind: kind, App: name, Index: app.NoIndex, Actor: app.ActorOf(ctx), Message: fmt.Sprintf(format, args...)})
}

// tellRollout tells that an app is on its way to another revision.
func (s *Scheduler) tellRollout(ctx context.Context, a app.App) {
	if r := a.Rollout; r != nil && r.To == a.Revision && !ended(r) {
		s.tell(ctx, app.RolloutStarted, a.Name, "%s change of %d instances from revision %d to %d", r.Strategy, a.Wanted(), r.From, r.To)
	}
}

// differences names the fields in which two apps differ, as the API calls them,
// but not their values, which can be secrets.
func differences(a, b app.App) string {
	a.Revision, a.Rollout, a.CreatedAt = b.Revision, b.Rollout, b.CreatedAt
	x, y := reflect.ValueOf(a), reflect.ValueOf(b)
	var names []string
	for i := range x.NumField() {
		if !reflect.DeepEqual(x.Field(i).Interface(), y.Field(i).Interface()) {
			name, _, _ := strings.Cut(x.Type().Field(i).Tag.Get("json"), ",")
			names = append(names, name)
		}
	}
	return cmp.Or(strings.Join(names, ", "), "nothing")
}

// tellPlan tells what a plan changed. It is written already.
func (s *Scheduler) tellPlan(d Decision, cells []app.Cell) {
	if len(d.Stop)+len(d.Start)+len(d.Rollouts) == 0 {
		return
	}
	states := map[string]app.CellState{}
	for _, c := range cells {
		states[c.ID] = c.State
	}
	var es []app.Event
	for _, p := range d.Stop {
		e := aboutPlacement(app.InstanceDropped, p)
		switch a, known := s.app(p.App); {
		case states[p.Cell] == app.CellDead:
			e.Message = "cell " + p.Cell + " is dead"
		case !known:
			e.Message = "the app was removed"
		case p.Index >= a.Wanted():
			e.Message = fmt.Sprintf("only %d instances are wanted", a.Wanted())
		default:
			e.Message = "another instance took its place"
		}
		es = append(es, e)
	}
	s.emit(append(es, s.placedEvents(d.Start, cells)...))
	kinds := map[app.RolloutState]string{app.RolloutPaused: app.RolloutWaiting, app.RolloutDone: app.RolloutFinished, app.RolloutFailed: app.RolloutUndone}
	for _, t := range d.Rollouts {
		if kind := kinds[t.State]; kind != "" {
			s.tell(context.Background(), kind, t.App, "%s", rolloutText(t))
		}
	}
}

const (
	// oneByOne is how many events of a kind about an app are told in crowdTime;
	// what more there are is told in one, at the end of it.
	oneByOne  = 50
	crowdTime = time.Minute

	crowdSweep = time.Second // between two looks whose time is over
)

// A crowd keeps events of one kind about one app from being very many. The zero
// value is ready for use, and safe for concurrent use.
type crowd struct {
	mu  sync.Mutex // guards what follows
	all map[class]lately
	at  time.Time // when over was last called
}

type class struct{ kind, app string }

// lately is how often something was told since a moment, and how often not.
type lately struct {
	since      time.Time
	told, more int
}

// thin returns the events of es that are to be told now, and what stands for
// those that were not told and whose time is over.
func (c *crowd) thin(es []app.Event, now time.Time) []app.Event {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.all == nil {
		c.all = map[class]lately{}
	}
	var out []app.Event
	if now.Sub(c.at) >= crowdSweep { // all are looked at, which must not be at each report of a cell
		c.at, out = now, c.over(now)
	}
	for _, e := range es {
		k := class{e.Kind, e.App}
		l := c.all[k]
		if l.since.IsZero() {
			l.since = now
		}
		if l.told < oneByOne {
			l.told++
			out = append(out, e)
		} else {
			l.more++
		}
		c.all[k] = l
	}
	return out
}

// over forgets what has had its time. The caller holds mu.
func (c *crowd) over(now time.Time) (es []app.Event) {
	for k, l := range c.all {
		if now.Sub(l.since) < crowdTime {
			continue
		}
		delete(c.all, k)
		if l.more > 0 {
			es = append(es, app.Event{Kind: k.kind, App: k.app, Index: app.NoIndex, Count: l.more, Message: fmt.Sprintf("and %d more within %s", l.more, now.Sub(l.since).Round(time.Second))})
		}
	}
	slices.SortFunc(es, func(a, b app.Event) int {
		return cmp.Or(strings.Compare(a.App, b.App), strings.Compare(a.Kind, b.Kind))
	})
	return es
}

// emit tells what happened to instances.
func (s *Scheduler) emit(es []app.Event) {
	for _, e := range s.crowd.thin(es, time.Now()) {
		s.cfg.Emit(e)
	}
}

func rolloutText(t Turn) string {
	switch t.State {
	case app.RolloutPaused:
		return "the canary is up: it waits to be promoted or rolled back"
	case app.RolloutFailed:
		return "back to the revision before: " + t.Reason
	}
	return "all instances have the new revision"
}

func aboutPlacement(kind string, p app.Placement) app.Event {
	return app.Event{Kind: kind, App: p.App, Cell: p.Cell, Instance: p.ID, Index: p.Index}
}

// A refusedApp is what was last told of an app's instances that fit nowhere.
type refusedApp struct {
	count  int
	reason string
	at     time.Time
}

// tellRefused tells of instances that fit nowhere: once for each app, and again
// now and then while that goes on and changes.
func (s *Scheduler) tellRefused(refused []Refusal, now time.Time) {
	byApp := map[string][]Refusal{}
	for _, r := range refused {
		if r.App != "" && !r.Waits {
			byApp[r.App] = append(byApp[r.App], r)
		}
	}
	maps.DeleteFunc(s.told, func(name string, _ refusedApp) bool { return byApp[name] == nil })
	for _, name := range slices.Sorted(maps.Keys(byApp)) {
		rs := byApp[name]
		is, was := refusedApp{len(rs), rs[0].Reason, now}, s.told[name]
		if was.count > 0 && (now.Sub(was.at) < toldAgain || was.count == is.count && was.reason == is.reason) {
			continue
		}
		s.told[name] = is
		e := app.Event{Kind: app.InstanceRefused, App: name, Index: rs[0].Index, Message: rs[0].Reason, Count: len(rs)}
		if len(rs) > 1 {
			e.Message = fmt.Sprintf("this one and %d more: %s", len(rs)-1, e.Message)
		}
		s.cfg.Emit(e)
	}
}

// tellCells tells how the cells that are known have changed.
func (s *Scheduler) tellCells(before map[string]app.Cell) {
	for _, id := range slices.Sorted(maps.Keys(s.seen)) {
		c := s.seen[id]
		was, known := before[id]
		if known && was.State == c.State {
			continue
		}
		if e, ok := cellEvent(c, was.State); ok {
			s.cfg.Emit(e)
		}
	}
}

// cellEvent tells that a cell has come from one state to another; "" is none.
func cellEvent(c app.Cell, was app.CellState) (app.Event, bool) {
	e := app.Event{Cell: c.ID}
	switch {
	case c.State == app.CellAlive && was == "":
		e.Kind = app.CellJoined
		e.Message = fmt.Sprintf("at %s, with %d MiB memory, %d MiB disk and room for %d containers", c.Address, c.Capacity.MemoryMB, c.Capacity.DiskMB, c.Capacity.Containers)
	case c.State == app.CellAlive:
		e.Kind, e.Message = app.CellBack, "it answers again"
	case c.State == app.CellSuspect:
		e.Kind, e.Message = app.CellSuspected, "it does not answer: it keeps its routes and gets no work"
	case c.State == app.CellDead && was != "":
		e.Kind, e.Message = app.CellDied, "it is gone: its instances are replaced"
	default:
		return e, false
	}
	return e, true
}
