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
	st := app.Status{App: a, Instances: s.instances(func(n string) bool { return n == name })[name]}
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
	instances := s.instances(func(n string) bool { _, ok := s.apps[n]; return ok })
	sts := make([]app.Status, 0, len(s.apps))
	for _, name := range slices.Sorted(maps.Keys(s.apps)) {
		sts = append(sts, app.Status{App: s.apps[name], Instances: instances[name]})
	}
	return sts
}

// Strays returns what cells run though this brain's store knows nothing of it.
func (s *Scheduler) Strays() []app.Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	strays := []app.Instance{}
	for _, id := range slices.Sorted(maps.Keys(s.reports)) {
		for _, in := range s.reports[id] {
			if in.Stray {
				strays = append(strays, in)
			}
		}
	}
	return strays
}

// instances joins placements, reports and refusals to the instances of the
// apps that pick chooses, by index. The caller holds s.mu.
func (s *Scheduler) instances(pick func(name string) bool) map[string][]app.Instance {
	reported := map[string]app.Instance{} // by placement
	all := map[string][]app.Instance{}
	for _, report := range s.reports {
		for _, in := range report {
			if !pick(in.App) || in.Stray {
				continue
			}
			if p, ok := s.placements[in.ID]; ok && p.Cell == in.Cell {
				reported[in.ID] = in
			} else if s.seen[in.Cell].State != app.CellDead {
				in.Stopping = true // the cell has yet to hear of it
				all[in.App] = append(all[in.App], in)
			}
		}
	}
	for _, p := range s.placements {
		if !pick(p.App) {
			continue
		}
		in, ok := reported[p.ID]
		if !ok {
			in = app.Instance{ID: p.ID, App: p.App, Index: p.Index, Revision: p.Revision, Cell: p.Cell, State: app.Claimed, Since: p.At}
		}
		all[p.App] = append(all[p.App], in)
	}
	s.addUnclaimed(all, pick)
	for _, ins := range all {
		slices.SortFunc(ins, func(a, b app.Instance) int {
			return cmp.Or(cmp.Compare(a.Index, b.Index), cmp.Compare(toInt(a.Stopping), toInt(b.Stopping)), strings.Compare(a.ID, b.ID))
		})
	}
	return all
}

// addUnclaimed adds the instances that have no cell, with the reason.
func (s *Scheduler) addUnclaimed(all map[string][]app.Instance, pick func(string) bool) {
	for name, a := range s.apps {
		if !pick(name) {
			continue
		}
		placed := make([]bool, a.Instances)
		for _, in := range all[name] {
			if !in.Stopping && in.Index < a.Instances {
				placed[in.Index] = true
			}
		}
		for i, ok := range placed {
			if !ok {
				all[name] = append(all[name], app.Instance{App: name, Index: i, Revision: a.Revision,
					State: app.Unclaimed, Since: a.CreatedAt, Reason: s.refused[slot{name, i}]})
			}
		}
		if all[name] == nil {
			all[name] = []app.Instance{}
		}
	}
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
	booked := map[string]app.Resources{}
	for _, p := range s.placements {
		a, r := s.apps[p.App], booked[p.Cell]
		booked[p.Cell] = app.Resources{MemoryMB: r.MemoryMB + a.MemoryMB, DiskMB: r.DiskMB + a.DiskMB, Containers: r.Containers + 1}
	}
	cells := make([]app.Cell, 0, len(s.seen))
	for _, id := range slices.Sorted(maps.Keys(s.seen)) {
		c := s.seen[id]
		c.Used = booked[id]
		cells = append(cells, c)
	}
	return cells
}

// Work returns what a cell shall run, by app and index. A cell nobody knows
// has nothing to do.
func (s *Scheduler) Work(cell string) (app.Work, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	w := app.Work{Store: s.cfg.Store.ID(), Revision: s.revision, Domain: s.cfg.Domain, Assigned: []app.Assignment{}}
	for _, p := range s.placements {
		if p.Cell == cell {
			w.Assigned = append(w.Assigned, app.Assignment{ID: p.ID, Index: p.Index, App: s.apps[p.App]})
		}
	}
	slices.SortFunc(w.Assigned, func(a, b app.Assignment) int {
		return cmp.Or(strings.Compare(a.App.Name, b.App.Name), cmp.Compare(a.Index, b.Index))
	})
	return w, nil
}
