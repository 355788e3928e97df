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

// Report takes what a cell says it runs; it replaces the cell's last report.
func (s *Scheduler) Report(r app.Report) error {
	byApp := func(a, b app.Instance) int {
		return cmp.Or(strings.Compare(a.App, b.App), cmp.Compare(a.Index, b.Index), strings.Compare(a.ID, b.ID))
	}
	if !slices.IsSortedFunc(r.Instances, byApp) {
		r.Instances = slices.SortedFunc(slices.Values(r.Instances), byApp)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	before, heard := s.reports[r.Cell]
	s.emit(s.teller.tell(before.Instances, r.Instances, func(id string) bool { return s.fresh(id, heard) }, time.Now()))
	before.Cell = r.Cell
	r.Vitals = judged(r.Vitals, time.Now())
	s.reports[r.Cell] = r
	s.forgetDiscarded(r)
	s.hearVolumes(before, r)
	s.announce()
	if s.hear(before, r) {
		s.plan()
	}
	return nil
}

// judged compares the clock of a cell with ours. It is coarse, so that what
// hardly changes is no news.
func judged(v *app.Vitals, now time.Time) *app.Vitals {
	if v == nil {
		return nil
	}
	w := *v
	if !w.At.IsZero() {
		w.Ahead = app.Duration(w.At.Sub(now).Round(500 * time.Millisecond))
	}
	w.At, w.DiskFreeMB, w.FilesFree = time.Time{}, w.DiskFreeMB/100*100, w.FilesFree/1000*1000
	return &w
}

// fresh reports whether an instance that its cell reports for the first time
// can't have been there before. The caller holds s.mu.
func (s *Scheduler) fresh(id string, heard bool) bool {
	p, placed := s.placements[id]
	return placed && (heard || p.At.After(s.started))
}

// forgetDiscarded forgets orders to discard what the cell has no more. The
// caller holds s.mu.
func (s *Scheduler) forgetDiscarded(r app.Report) {
	for id := range s.discard[r.Cell] {
		if !slices.ContainsFunc(r.Instances, func(in app.Instance) bool { return in.ID == id }) {
			delete(s.discard[r.Cell], id)
		}
	}
}

// Drain gives a cell no more work and moves its instances away, at most
// maxInFlight at a time, 0 being app.DefaultDrainInFlight. The order holds until
// Undrain, also when the cell is away. It is app.ErrNotFound when there is no
// such cell.
func (s *Scheduler) Drain(ctx context.Context, cell string, maxInFlight int) error {
	if maxInFlight < 0 {
		return app.Invalid("at most %d instances at a time: it must be at least 1", maxInFlight)
	}
	if err := s.known(cell); err != nil {
		return err
	}
	e := app.Event{Kind: app.CellDrains, Cell: cell, Actor: app.ActorOf(ctx), Message: "its instances move away and it gets no new ones"}
	return s.order(app.Change{PutOrders: []app.CellOrder{{Cell: cell, Draining: true, MaxInFlight: maxInFlight, At: time.Now().UTC()}}}, e)
}

// Undrain lets a cell work again.
func (s *Scheduler) Undrain(ctx context.Context, cell string) error {
	s.mu.Lock()
	_, ordered := s.orders[cell]
	s.mu.Unlock()
	if !ordered {
		return s.known(cell) // a cell that doesn't drain needs nothing
	}
	return s.order(app.Change{DeleteOrders: []string{cell}},
		app.Event{Kind: app.CellUndrained, Cell: cell, Actor: app.ActorOf(ctx), Message: "it gets work again"})
}

// known returns nil for a cell that is there, or that has instances though it
// has not shown up since the brain started.
func (s *Scheduler) known(cell string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, ok := s.seen[cell]; ok {
		return nil
	}
	for needed := range s.needed() {
		if needed == cell {
			return nil
		}
	}
	return fmt.Errorf("cell %q %w", cell, app.ErrNotFound)
}

func (s *Scheduler) order(c app.Change, e app.Event) error {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.commit(c); err != nil {
		return err
	}
	s.cfg.Emit(e)
	s.plan()
	return nil
}

// Strays returns what cells run though this brain's store knows nothing of it.
func (s *Scheduler) Strays() []app.Instance {
	s.mu.Lock()
	defer s.mu.Unlock()
	strays := []app.Instance{}
	for _, r := range s.reports {
		for _, in := range r.Instances {
			if _, placed := s.placements[in.ID]; in.Stray && !placed {
				strays = append(strays, in)
			}
		}
	}
	slices.SortFunc(strays, func(a, b app.Instance) int {
		return cmp.Or(strings.Compare(a.Cell, b.Cell), strings.Compare(a.ID, b.ID))
	})
	return strays
}

// Adopt takes the strays of an app, or all if name is empty, under management:
// their app comes back as the cells know it, with as many instances as it had,
// and they go on running. It returns what was adopted. Strays of an app that
// exists are left alone, and the error, app.ErrExists, names it.
func (s *Scheduler) Adopt(ctx context.Context, name string) ([]app.Instance, error) {
	s.write.Lock()
	defer s.write.Unlock()
	chosen, err := s.chosenStrays(name)
	if err != nil {
		return nil, err
	}
	a := adoption{strays: s.strayOrders(), apps: map[string]app.App{}}
	for _, in := range chosen {
		a.take(in, s.free(in.App) != nil)
	}
	if err := s.commit(a.change()); err != nil {
		return nil, err
	}
	for _, name := range slices.Sorted(maps.Keys(a.apps)) {
		s.tell(ctx, app.AppCreated, name, "adopted with its instances, which ran though this brain did not know them")
	}
	s.plan()
	return a.taken, a.err
}

// chosenStrays returns the strays of an app, or all. It is app.ErrNotFound when
// there are none.
func (s *Scheduler) chosenStrays(name string) ([]app.Instance, error) {
	strays := slices.DeleteFunc(s.Strays(), func(in app.Instance) bool { return name != "" && in.App != name || in.Stopping })
	if len(strays) > 0 {
		return strays, nil
	}
	if name == "" {
		return nil, fmt.Errorf("strays %w", app.ErrNotFound)
	}
	return nil, fmt.Errorf("strays of app %q %w", name, app.ErrNotFound)
}

// strayOrders returns what the cells know of their strays, by placement.
func (s *Scheduler) strayOrders() map[string]app.Assignment {
	s.mu.Lock()
	defer s.mu.Unlock()
	orders := map[string]app.Assignment{}
	for _, r := range s.reports {
		for _, as := range r.Strays {
			orders[as.ID] = as
		}
	}
	return orders
}

// Discard has the strays of an app stopped, or all if name is empty, and
// returns them.
func (s *Scheduler) Discard(_ context.Context, name string) ([]app.Instance, error) {
	strays, err := s.chosenStrays(name)
	if err != nil {
		return nil, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, in := range strays {
		if s.discard[in.Cell] == nil {
			s.discard[in.Cell] = map[string]bool{}
		}
		s.discard[in.Cell][in.ID] = true
		s.announceWork(in.Cell)
	}
	return strays, nil
}
