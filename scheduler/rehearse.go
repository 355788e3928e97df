package scheduler

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

const (
	// rehearsalTime bounds a rehearsal, and maxPlans how many plans it makes.
	rehearsalTime = 2 * time.Second
	maxPlans      = 2000
)

// RehearseCreate says what Create would lead to, and changes nothing. So do the
// others; their errors are those of the real ones.
func (s *Scheduler) RehearseCreate(_ context.Context, a app.App) (app.Rehearsal, error) {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.free(a.Name); err != nil {
		return app.Rehearsal{}, err
	}
	a, err := s.withPorts(a, app.App{})
	if err != nil {
		return app.Rehearsal{}, err
	}
	a, c := created(a)
	return s.rehearse(a, c), nil
}

// RehearseScale is for Scale.
func (s *Scheduler) RehearseScale(_ context.Context, name string, instances int) (app.Rehearsal, error) {
	if err := app.ValidInstances(instances); err != nil {
		return app.Rehearsal{}, err
	}
	return s.rehearseChange(name, func(a app.App) (app.App, app.Change, error) {
		a.Instances = instances
		return a, app.Change{}, nil
	})
}

// RehearseUpdate is for Update.
func (s *Scheduler) RehearseUpdate(_ context.Context, a app.App, o app.RolloutOptions) (app.Rehearsal, error) {
	return s.rehearseChange(a.Name, s.updated(a, o))
}

func (s *Scheduler) rehearseChange(name string, do func(app.App) (app.App, app.Change, error)) (app.Rehearsal, error) {
	s.write.Lock()
	defer s.write.Unlock()
	was, ok := s.app(name)
	if !ok {
		return app.Rehearsal{}, fmt.Errorf("app %q %w", name, app.ErrNotFound)
	}
	a, c, err := do(was)
	if err != nil {
		return app.Rehearsal{}, err
	}
	return s.rehearse(a, c), nil
}

// rehearse plans with an app that is not stored. The caller holds s.write.
func (s *Scheduler) rehearse(a app.App, c app.Change) app.Rehearsal {
	cells, _ := s.cfg.Members()
	now := time.Now()
	f := s.facts(cells, now)
	f.Leaving = s.leavings(now)
	f.Apps = slices.DeleteFunc(f.Apps, func(other app.App) bool { return other.Name == a.Name })
	f.Apps = append(f.Apps, a)
	for _, r := range c.PutRevisions {
		f.Revisions[app.RevisionKey{App: a.Name, Number: r.App.Revision}] = &r.App
	}
	end := now.Add(rehearsalTime)
	return play(f, a, func() bool { return time.Now().Before(end) })
}

// leavings returns what takes room though it is no longer placed.
func (s *Scheduler) leavings(now time.Time) (all []Leaving) {
	s.mu.Lock()
	defer s.mu.Unlock()
	_, attempts := s.taskFacts(now)
	for cell := range s.reports {
		left := s.leavingOn(cell, attempts)
		for range left.Containers { // all that they take counts with the first
			all = append(all, Leaving{cell, left.MemoryMB, left.DiskMB})
			left.MemoryMB, left.DiskMB = 0, 0
		}
	}
	return all
}

// play makes plan after plan, as if what each of them starts came up at once,
// until there is nothing left to do or goOn says that it takes too long.
func play(f Facts, a app.App, goOn func() bool) app.Rehearsal {
	r := app.Rehearsal{App: a, Stop: []app.Place{}, Start: []app.Place{}, Refused: []app.Refused{}}
	before := map[string]app.Placement{}
	f.Placed, f.Volumes = slices.Clone(f.Placed), maps.Clone(f.Volumes)
	for i := range f.Placed {
		p := &f.Placed[i]
		if p.Starting { // it comes up, too
			p.Starting, p.Health = false, Healthy
		}
		if p.App == a.Name {
			before[p.ID] = p.Placement
		}
	}
	var d Decision
	for n := 0; ; n++ {
		if d = Plan(f); !f.apply(d, n) {
			break
		}
		if n == maxPlans || !goOn() {
			r.Partly = true
			break
		}
	}
	for _, p := range f.Placed {
		switch _, old := before[p.ID]; {
		case p.App != a.Name:
		case old:
			r.Keep++
			delete(before, p.ID)
		default:
			r.Start = append(r.Start, place(p.Placement))
		}
	}
	for _, p := range before {
		r.Stop = append(r.Stop, place(p))
	}
	for _, refused := range d.Refused {
		if refused.App == a.Name && !refused.Waits {
			r.Refused = append(r.Refused, app.Refused{Index: refused.Index, Reason: refused.Reason})
		}
	}
	slices.SortFunc(r.Start, byIndex)
	slices.SortFunc(r.Stop, byIndex)
	return r
}

func place(p app.Placement) app.Place {
	return app.Place{Index: p.Index, Cell: p.Cell, Revision: p.Revision}
}

func byIndex(a, b app.Place) int {
	return cmp.Or(cmp.Compare(a.Index, b.Index), strings.Compare(a.Cell, b.Cell))
}

// apply makes f what it would be after a decision, and reports whether that is
// another than before. round is in the IDs of new placements.
func (f *Facts) apply(d Decision, round int) bool {
	gone := map[string]bool{}
	for _, p := range d.Stop {
		gone[p.ID] = true
	}
	idle := map[string]bool{}
	for _, p := range d.Retired {
		idle[p.ID] = true
	}
	f.Placed = slices.DeleteFunc(slices.Clone(f.Placed), func(p Placed) bool { return gone[p.ID] })
	changed := len(d.Stop)+len(d.Start)+len(d.Tasks)+len(d.Rollouts) > 0
	for i := range f.Placed {
		if p := &f.Placed[i]; idle[p.ID] && p.Busy {
			p.Busy, changed = false, true
		}
	}
	for i, p := range d.Start {
		p.ID = fmt.Sprintf("new-%d-%d", round, i)
		f.Placed = append(f.Placed, Placed{Placement: p, Health: Healthy})
		f.makeVolumes(p)
	}
	for _, p := range d.Tasks {
		i := slices.IndexFunc(f.Tasks, func(t Task) bool { return t.Name == p.Name })
		f.Tasks[i].Cell = p.Cell
	}
	for _, t := range d.Rollouts {
		i := slices.IndexFunc(f.Apps, func(a app.App) bool { return a.Name == t.App })
		r := *f.Apps[i].Rollout
		r.State = t.State
		f.Apps[i].Rollout = &r
	}
	return changed
}
