package scheduler

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"lattice/app"
)

// Status returns an app with its instances. An app that was removed is
// returned, with no instances wanted, until its last one has stopped; then it
// is app.ErrNotFound.
func (s *Scheduler) Status(name string) (app.Status, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, known := s.apps[name]
	st := app.Status{App: a, Instances: s.instances(name)}
	if !known && len(st.Instances) == 0 {
		return app.Status{}, fmt.Errorf("app %q %w", name, app.ErrNotFound)
	}
	st.App.Name = name
	return st, nil
}

// Statuses returns all apps by name.
func (s *Scheduler) Statuses() []app.Status {
	s.mu.Lock()
	defer s.mu.Unlock()
	sts := make([]app.Status, 0, len(s.apps))
	for _, name := range slices.Sorted(maps.Keys(s.apps)) {
		sts = append(sts, app.Status{App: s.apps[name], Instances: s.instances(name)})
	}
	return sts
}

// Unheard returns the cells that have instances and have not told of them since
// this scheduler was made.
func (s *Scheduler) Unheard() []string {
	s.mu.Lock()
	defer s.mu.Unlock()
	missing := map[string]bool{}
	for cell := range s.book.onCell {
		if _, ok := s.reports[cell]; !ok {
			missing[cell] = true
		}
	}
	return slices.Sorted(maps.Keys(missing))
}

// instances joins placements, reports and refusals to the instances of an app,
// by index; never nil. The caller holds s.mu.
func (s *Scheduler) instances(name string) []app.Instance {
	all := make([]app.Instance, 0, len(s.book.ofApp[name]))
	for key := range s.book.toldOf[name] {
		in := *s.book.told[key]
		if p, ok := s.placements[in.ID]; (!ok || p.Cell != in.Cell) && !in.Stray && in.Task == nil {
			in.Stopping = true // the cell may have yet to hear of it
			all = append(all, in)
		}
	}
	for p := range s.placementsOf(name) {
		in, ok := s.sighted(p)
		if !ok {
			in = app.Instance{ID: p.ID, App: p.App, Index: p.Index, Revision: p.Revision, Cell: p.Cell, State: app.Claimed, Since: p.At}
		}
		if why := s.refused[slot{p.App, p.Index}]; !ok && why.reason != "" && s.away(p.Cell) {
			continue // it waits for its volume's cell, and withUnclaimed says so
		}
		_, in.Draining = s.retired[p.ID]
		if r := s.refused[slot{p.App, p.Index}]; r.reason != "" && in.State == app.Running {
			in.Reason, in.Cause = "waits for room to move to: "+r.reason, r.cause()
		}
		all = append(all, in)
	}
	all = s.withUnclaimed(all, name)
	slices.SortFunc(all, func(a, b app.Instance) int {
		return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(toInt(leaving(a)), toInt(leaving(b))),
			cmp.Compare(b.Revision, a.Revision), strings.Compare(a.ID, b.ID))
	})
	return all
}

// leaving reports whether another instance has taken the place of in.
func leaving(in app.Instance) bool { return in.Stopping || in.Draining }

// withUnclaimed adds the instances that have no cell, with the reason.
func (s *Scheduler) withUnclaimed(all []app.Instance, name string) []app.Instance {
	a := s.apps[name]
	placed := make([]bool, a.Wanted())
	for _, in := range all {
		if !in.Stopping && in.Index < len(placed) {
			placed[in.Index] = true
		}
	}
	for i, ok := range placed {
		if !ok {
			r := s.refused[slot{name, i}]
			all = append(all, app.Instance{App: name, Index: i, Revision: a.Revision, State: app.Unclaimed, Since: a.CreatedAt, Reason: r.reason, Cause: r.cause()})
		}
	}
	return all
}

// cause returns what kind of refusal r is.
func (r refusal) cause() app.Cause {
	switch {
	case r.reason == "":
		return ""
	case r.waits:
		return app.CauseTurn
	}
	return app.CauseRoom
}

func toInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

// Cells returns the cells there are, and the dead ones that instances are
// still placed on, by ID, with what is booked on each.
func (s *Scheduler) Cells() []app.Cell {
	s.mu.Lock()
	defer s.mu.Unlock()
	cells := make([]app.Cell, 0, len(s.seen))
	for _, id := range slices.Sorted(maps.Keys(s.seen)) {
		c := s.seen[id]
		c.Used, c.Draining, c.Vitals = s.use(id).booked, s.orders[id].Draining, s.reports[id].Vitals
		cells = append(cells, c)
	}
	return cells
}

// Counts returns how many instances run on each cell, and how many are starting.
func (s *Scheduler) Counts() map[string]app.CellCount {
	s.mu.Lock()
	defer s.mu.Unlock()
	counts := make(map[string]app.CellCount, len(s.seen))
	for id := range s.seen {
		counts[id] = s.use(id).count
	}
	return counts
}

// A use is what is on a cell.
type use struct {
	booked app.Resources
	count  app.CellCount
}

// use counts what is on a cell, if that has changed. The caller holds s.mu.
func (s *Scheduler) use(cell string) use {
	if u, known := s.book.uses[cell]; known {
		return u
	}
	var u use
	for p := range s.placementsOn(cell) {
		a := s.specOf(p)
		add(&u.booked, needs(&a), 1)
		switch in, known := s.sighted(p); {
		case !known || in.State == app.Claimed && !in.Stopping:
			u.count.Claimed++
		case in.State == app.Running && !in.Stopping:
			u.count.Running++
		}
	}
	for name := range s.tasks.live {
		t := s.tasks.all[name]
		if cur := t.Current(); cur != nil && cur.Cell == cell {
			add(&u.booked, needs(&t.Spec), 1)
		}
	}
	s.book.uses[cell] = u
	return u
}

// specOf returns the app as a placement runs it. The caller holds s.mu.
func (s *Scheduler) specOf(p app.Placement) app.App {
	now := s.apps[p.App]
	if then, ok := s.specs[app.RevisionKey{App: p.App, Number: p.Revision}]; ok {
		return at(now, *then)
	}
	return now
}

// Work returns what a cell shall run, by app and index. A cell nobody knows
// has nothing to do.
func (s *Scheduler) Work(cell string) (app.Work, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := app.Work{Store: s.cfg.Store.ID(), Revision: s.revision, Domain: s.cfg.Domain, Assigned: []app.Assignment{},
		Tasks:   s.taskOrders(cell),
		Discard: slices.Sorted(maps.Keys(s.discard[cell])), DropVolumes: s.dropped(cell), Prune: s.prune}
	for p := range s.placementsOn(cell) {
		a := s.specOf(p)
		a.Rollout = nil // it changes often, and is no concern of the cell's
		w.Assigned = append(w.Assigned, app.Assignment{ID: p.ID, Index: p.Index, App: a, Volumes: s.assigned(&a, p.Index)})
	}
	slices.SortFunc(w.Assigned, func(a, b app.Assignment) int {
		return cmp.Or(strings.Compare(a.App.Name, b.App.Name), cmp.Compare(a.Index, b.Index), strings.Compare(a.ID, b.ID))
	})
	return w, nil
}
