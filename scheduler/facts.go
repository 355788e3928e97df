package scheduler

import (
	"maps"
	"slices"
	"time"

	"lattice/app"
)

const (
	// settleTime is how long routers may take to drop an instance.
	settleTime = 250 * time.Millisecond
	// drainTime is how long open requests may keep an instance that is out of
	// the router; then its stop signal tells it to end them.
	drainTime = 30 * time.Second
	// lookAgain is the pause before retired instances are looked at again.
	lookAgain = 100 * time.Millisecond
)

// refresh takes note of who is there, tells the planner what has changed since
// it was last called, and returns all cells and tasks. The caller holds s.write.
func (s *Scheduler) refresh(cells []app.Cell, now time.Time) ([]app.Cell, []Task) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meet(cells)
	cells = s.withAbsent(cells)
	for i, c := range cells {
		cells[i].Draining = s.orders[c.ID].Draining
	}
	s.planner.SetCells(cells, s.orders)
	for name := range s.book.stale {
		placed, unsteady := s.placed(name, now)
		if a, ok := s.apps[name]; ok {
			s.planner.SetApp(name, &a, placed)
		} else {
			s.planner.SetApp(name, nil, placed)
		}
		if !unsteady {
			delete(s.book.stale, name)
		}
	}
	if s.book.images {
		images := make(map[string][]string, len(s.reports))
		for cell, r := range s.reports {
			images[cell] = r.Images
		}
		s.planner.SetImages(images)
		s.book.images = false
	}
	if s.book.volumes {
		s.planner.SetVolumes(s.homes())
		s.book.volumes = false
	}
	tasks, attempts := s.taskFacts(now)
	for cell := range s.book.leaving {
		s.planner.SetLeaving(cell, s.leavingOn(cell, attempts))
	}
	clear(s.book.leaving)
	return cells, tasks
}

// placed returns what a plan has to know of an app's placements, and whether
// time alone can change that.
func (s *Scheduler) placed(name string, now time.Time) (placed []Placed, unsteady bool) {
	placed = make([]Placed, 0, len(s.book.ofApp[name]))
	for p := range s.placementsOf(name) {
		in, known := s.sighted(p)
		x := Placed{
			Placement: p, Health: s.health(in, known), Starting: s.starting(p, in, known, now),
			Crashes: in.Crashes, Reason: in.Reason, Busy: s.busy(p, in, now),
		}
		_, retired := s.retired[p.ID]
		unsteady = unsteady || x.Starting || retired
		placed = append(placed, x)
	}
	return placed, unsteady
}

// leavingOn returns what is taken on a cell by what is not placed there any
// more. attempts are those of tasks that are.
func (s *Scheduler) leavingOn(cell string, attempts map[string]bool) (taken app.Resources) {
	for _, in := range s.reports[cell].Instances {
		if _, placed := s.placements[in.ID]; !placed && !attempts[in.ID] && in.State != app.Completed {
			taken.MemoryMB += in.MemoryMB
			taken.DiskMB += in.DiskMB
			taken.Containers++
		}
	}
	return taken
}

func (s *Scheduler) health(in app.Instance, known bool) Health {
	switch {
	case !known, s.seen[in.Cell].State == app.CellSuspect:
		return Unknown
	case in.State == app.Running && !in.Unready && !in.Stopping:
		return Healthy
	}
	return Ill
}

// startTime is how long an instance counts as starting at most, so that others
// don't wait for ever for those that hang.
const startTime = 2 * time.Minute

// starting reports whether an instance has neither come up nor failed yet.
func (s *Scheduler) starting(p app.Placement, in app.Instance, known bool, now time.Time) bool {
	if now.Sub(p.At) > startTime || s.seen[p.Cell].State == app.CellSuspect {
		return false
	}
	return !known || in.State == app.Claimed && in.Crashes == 0
}

// busy reports whether requests may be open on an instance, or still come.
func (s *Scheduler) busy(p app.Placement, in app.Instance, now time.Time) bool {
	since, out := s.retired[p.ID]
	switch took := now.Sub(since); {
	case !out, took < settleTime:
		return true
	case took > drainTime:
		return false
	}
	return s.cfg.Open(in, since) > 0
}

// meet takes note of the cells that are there, and forgets what dead ones
// reported. The caller holds s.mu.
func (s *Scheduler) meet(cells []app.Cell) {
	if s.met(cells) {
		return
	}
	before := maps.Clone(s.seen)
	for id, c := range s.seen {
		c.State = app.CellDead
		s.seen[id] = c
	}
	for _, c := range cells {
		s.seen[c.ID] = c
	}
	needed := map[string]bool{}
	for cell := range s.needed() {
		needed[cell] = true
	}
	for id, c := range s.seen {
		if c.State == app.CellDead && before[id].State != app.CellDead {
			s.hear(s.reports[id], app.Report{Cell: id})
			delete(s.reports, id)
			s.book.heard = s.book.heard || len(s.volumes) > 0
			delete(s.discard, id)
		}
		if before[id].State != c.State {
			s.greet(before[id], c)
			for p := range s.placementsOn(id) {
				s.touch(p.App)
			}
		}
		if c.State == app.CellDead && !needed[id] {
			delete(s.seen, id)
		}
	}
	if !maps.EqualFunc(before, s.seen, sameCell) {
		s.tellCells(before)
		s.announce()
	}
}

// met reports whether all cells are there, and are as they were.
func (s *Scheduler) met(cells []app.Cell) bool {
	return len(cells) == len(s.seen) && !slices.ContainsFunc(cells, func(c app.Cell) bool {
		known, ok := s.seen[c.ID]
		return !ok || !sameCell(known, c)
	})
}

// sameCell compares what others can see of a cell.
func sameCell(a, b app.Cell) bool {
	return a.State == b.State && a.Capacity == b.Capacity && a.Address == b.Address && a.Zone == b.Zone &&
		a.Version == b.Version && a.Trusting == b.Trusting && a.Router == b.Router && maps.Equal(a.Labels, b.Labels)
}

// withAbsent adds the cells that something is placed on and are not there. One that
// this brain has met is dead. One that it has not may not have heard of our
// start yet: until the grace is over it counts as suspect. The caller holds
// s.mu.
func (s *Scheduler) withAbsent(cells []app.Cell) []app.Cell {
	known := make(map[string]bool, len(cells))
	for _, c := range cells {
		known[c.ID] = true
	}
	all := slices.Clone(cells)
	for cell := range s.needed() {
		if known[cell] {
			continue
		}
		known[cell] = true
		c := app.Cell{ID: cell, State: app.CellSuspect}
		if _, met := s.seen[cell]; met || time.Since(s.started) >= s.cfg.Grace {
			c.State = app.CellDead
		}
		all = append(all, c)
	}
	return all
}
