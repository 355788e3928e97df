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

// facts takes note of who is there and returns what to plan with.
func (s *Scheduler) facts(cells []app.Cell, now time.Time) Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.meet(cells)
	f := Facts{
		Apps: slices.Collect(maps.Values(s.apps)), Revisions: maps.Clone(s.specs), Orders: maps.Clone(s.orders),
		Cells: s.withAbsent(cells), Images: map[string][]string{}, Options: s.cfg.Choose,
	}
	for i, c := range f.Cells {
		f.Cells[i].Draining = s.orders[c.ID].Draining
	}
	var attempts map[string]bool
	f.Tasks, attempts = s.taskFacts(now)
	reported := s.reported()
	for id, p := range s.placements {
		in, known := reported[id]
		f.Placed = append(f.Placed, Placed{
			Placement: p, Health: s.health(in, known), Starting: s.starting(p, in, known, now),
			Crashes: in.Crashes, Reason: in.Reason, Busy: s.busy(p, in, now),
		})
	}
	for _, r := range s.reports {
		f.Images[r.Cell] = r.Images
		for _, in := range r.Instances {
			if _, placed := s.placements[in.ID]; !placed && !attempts[in.ID] && in.State != app.Completed {
				f.Leaving = append(f.Leaving, Leaving{Cell: in.Cell, MemoryMB: in.MemoryMB, DiskMB: in.DiskMB})
			}
		}
	}
	return f
}

// reported returns the reported instances by placement, of the cells they are
// placed on. The caller holds s.mu.
func (s *Scheduler) reported() map[string]app.Instance {
	all := make(map[string]app.Instance, len(s.placements))
	for _, r := range s.reports {
		for _, in := range r.Instances {
			if p, ok := s.placements[in.ID]; ok && p.Cell == in.Cell && !in.Stray {
				all[in.ID] = in
			}
		}
	}
	return all
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
	return s.cfg.Open(in) > 0
}

// meet takes note of the cells that are there, and forgets what dead ones
// reported. The caller holds s.mu.
func (s *Scheduler) meet(cells []app.Cell) {
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
			delete(s.reports, id)
			delete(s.discard, id)
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

// sameCell compares what others can see of a cell.
func sameCell(a, b app.Cell) bool {
	return a.State == b.State && a.Capacity == b.Capacity && a.Address == b.Address && a.Zone == b.Zone &&
		a.Version == b.Version && maps.Equal(a.Labels, b.Labels)
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
