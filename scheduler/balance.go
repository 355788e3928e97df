package scheduler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"time"

	"lattice/app"
)

// A balance is how far a rebalancing is. Scheduler.mu guards it.
type balance struct {
	inFlight int             // instances that may move at the same time; 0: nothing is rebalanced
	moving   map[string]bool // placements that go when their successor is healthy
}

// Balance returns what a Rebalance would move, or has yet to move.
func (s *Scheduler) Balance() app.Rebalancing {
	cells, _ := s.cfg.Members()
	f := s.facts(cells, time.Now())
	moves := Rebalance(f, 0)
	s.mu.Lock()
	defer s.mu.Unlock()
	return app.Rebalancing{Running: s.balance.inFlight > 0, Moving: len(s.balance.moving), Moves: append([]app.Move{}, moves...)}
}

// Rebalance moves instances until cells and zones are as even as if all had been
// placed now, each new one before its old one, at most maxInFlight at a time, 0
// being app.DefaultRebalanceInFlight. It goes on after it has returned, until
// that is reached, StopRebalance is called, or the brain ends.
func (s *Scheduler) Rebalance(ctx context.Context, maxInFlight int) (app.Rebalancing, error) {
	if maxInFlight < 0 {
		return app.Rebalancing{}, app.Invalid("at most %d instances at a time: it must be at least 1", maxInFlight)
	}
	if maxInFlight == 0 {
		maxInFlight = app.DefaultRebalanceInFlight
	}
	b := s.Balance()
	if len(b.Moves) == 0 {
		return b, nil
	}
	s.mu.Lock()
	s.balance.inFlight = maxInFlight
	s.mu.Unlock()
	s.cfg.Emit(app.Event{Kind: app.RebalanceStarted, Index: app.NoIndex, Actor: app.ActorOf(ctx), Message: fmt.Sprintf("%d instances shall move", len(b.Moves))})
	s.plan()
	b.Running = true
	return b, nil
}

// StopRebalance moves nothing more; what is on its way arrives.
func (s *Scheduler) StopRebalance(ctx context.Context) error {
	s.mu.Lock()
	was := s.balance.inFlight
	s.balance.inFlight = 0
	s.mu.Unlock()
	if was > 0 {
		s.cfg.Emit(app.Event{Kind: app.RebalanceEnded, Index: app.NoIndex, Actor: app.ActorOf(ctx), Message: "it was stopped"})
	}
	return nil
}

// rebalance makes the next moves, if there are any to make. The caller holds
// s.write.
func (s *Scheduler) rebalance(cells []app.Cell) error {
	left := s.movesLeft()
	if left <= 0 {
		return nil
	}
	moves := Rebalance(s.facts(cells, time.Now()), left)
	var c app.Change
	s.mu.Lock()
	for _, m := range moves {
		old := s.placements[m.ID]
		old.Replace = true
		s.balance.moving[m.ID] = true
		c.PutPlacements = append(c.PutPlacements, old,
			app.Placement{ID: app.NewGUID(), App: m.App, Index: m.Index, Cell: m.To, Revision: old.Revision, At: time.Now().UTC()})
	}
	done := len(moves) == 0 && len(s.balance.moving) == 0
	if done {
		s.balance.inFlight = 0
		s.announce()
	}
	s.mu.Unlock()
	if err := s.commit(c); err != nil {
		return err
	}
	for _, m := range moves {
		s.cfg.Log.Info("instance moves", "app", m.App, "instance", m.Index, "cell", m.To, "reason", m.Why)
		s.cfg.Emit(app.Event{Kind: app.InstanceMoved, App: m.App, Index: m.Index, Cell: m.To, Instance: m.ID, Message: "from " + m.From + ": " + m.Why})
	}
	if done {
		s.cfg.Emit(app.Event{Kind: app.RebalanceEnded, Index: app.NoIndex, Message: "nothing is left to move"})
	}
	return nil
}

// movesLeft returns how many more instances may begin to move now.
func (s *Scheduler) movesLeft() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	maps.DeleteFunc(s.balance.moving, func(id string, _ bool) bool { _, there := s.placements[id]; return !there })
	return s.balance.inFlight - len(s.balance.moving)
}

// greet has instances move to a cell that has come, slowly, where that is
// wanted. At our start all cells come. The caller holds s.mu.
func (s *Scheduler) greet(was, is app.Cell) {
	if s.cfg.Rebalance && is.State == app.CellAlive && (was.State == "" || was.State == app.CellDead) && time.Since(s.started) > s.cfg.Grace {
		s.balance.inFlight = max(s.balance.inFlight, 1)
	}
}

// facts returns all that a plan goes by.
func (s *Scheduler) facts(cells []app.Cell, now time.Time) Facts {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := Facts{
		Apps: slices.Collect(maps.Values(s.apps)), Revisions: maps.Clone(s.specs), Orders: maps.Clone(s.orders),
		Cells: s.withAbsent(cells), Images: map[string][]string{}, Volumes: s.homes(), Options: s.cfg.Choose,
	}
	for i, c := range f.Cells {
		f.Cells[i].Draining = s.orders[c.ID].Draining
	}
	for name := range s.book.ofApp {
		placed, _ := s.placed(name, now)
		f.Placed = append(f.Placed, placed...)
	}
	for cell, r := range s.reports {
		f.Images[cell] = r.Images
	}
	f.Tasks, _ = s.taskFacts(now)
	return f
}
