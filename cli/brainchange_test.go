package cli

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"time"

	"lattice/api"
	"lattice/app"
)

// handover is how all instances change to another revision when all goes well.
func handover(old, claimed, running []app.Instance) []step {
	leaving := slices.Clone(old)
	for i := range leaving {
		leaving[i].Draining = true
	}
	soon := app.Duration(100 * time.Millisecond) // so that each step is seen
	return []step{
		{Instances: slices.Concat(old, claimed)},
		{After: soon, Instances: slices.Concat(leaving, running)},
		{After: soon, Instances: running, Rollout: app.RolloutDone},
	}
}

// evacuation is how all instances leave a cell when all goes well; mu is held.
func (b *fakeBrain) evacuation(cell string) []step {
	var steps []step
	for name, s := range b.apps {
		if left, _ := onCell([]app.Status{*s}, cell); len(left) == 0 {
			continue
		}
		moved := slices.Clone(s.Instances)
		for i := range moved {
			if moved[i].Cell == cell {
				moved[i].Cell = "elsewhere"
			}
		}
		steps = append(steps, step{After: app.Duration(20 * time.Millisecond), App: name, Instances: moved})
	}
	return steps
}

// turn brings the rollout of a to the state of a step; mu is held.
func (b *fakeBrain) turn(a *app.App, st step) {
	if st.Undrain {
		b.drain("", false)
	}
	if st.Again {
		b.next(a, a.Revision, app.RolloutOptions{}, "update")
	}
	if st.Rollout == "" {
		return
	}
	r := *a.Rollout
	r.State, r.Reason = st.Rollout, st.Reason
	if r.State == app.RolloutFailed {
		*a = b.revision(*a, r.From)
	}
	a.Rollout = &r
}

// revision returns the app as it was, in all that needs a container; mu is held.
func (b *fakeBrain) revision(now app.App, number uint64) app.App {
	for _, r := range b.revisions[now.Name] {
		if then := r.App; then.Revision == number {
			then.Instances, then.Routes, then.NoRoutes, then.Stopped = now.Instances, now.Routes, now.NoRoutes, now.Stopped
			return then
		}
	}
	return app.App{}
}

// change writes what do makes of an app, and lets happen what that leads to.
func (b *fakeBrain) change(moment, name string, do func(*app.App) error) (app.App, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, ok := b.apps[name]
	if !ok {
		return app.App{}, fmt.Errorf("app %q %w", name, app.ErrNotFound)
	}
	now := *s
	if err := do(&now.App); err != nil {
		return app.App{}, err
	}
	b.apps[name] = &now
	b.touch()
	b.play(moment, name)
	return now.App, nil
}

// next makes of a a new revision.
func (b *fakeBrain) next(a *app.App, from uint64, o app.RolloutOptions, cause string) {
	a.Revision = from + 1
	if list := b.revisions[a.Name]; len(list) > 0 {
		a.Revision = list[len(list)-1].App.Revision + 1
	}
	a.Rollout = &app.Rollout{RolloutOptions: o, From: from, To: a.Revision, State: app.RolloutRunning, StartedAt: time.Now()}
	b.revisions[a.Name] = append(b.revisions[a.Name], app.Revision{App: *a, At: time.Now(), Cause: cause})
}

func (b *fakeBrain) Update(_ context.Context, a app.App, o app.RolloutOptions, _ bool) (app.App, error) {
	return b.change("update", a.Name, func(now *app.App) error {
		if now.Revision != a.Revision {
			return fmt.Errorf("app %q was %w", a.Name, app.ErrConflict)
		}
		before := *now
		*now = a
		now.Rollout, now.Stopped, now.CreatedAt = before.Rollout, before.Stopped, before.CreatedAt
		if !reflect.DeepEqual(onlyContainer(a).Env, onlyContainer(before).Env) || len(differences(onlyContainer(a), onlyContainer(before))) > 0 {
			b.next(now, before.Revision, o, "update")
		}
		return nil
	})
}

func (b *fakeBrain) Revisions(name string) ([]app.Revision, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	list := slices.Clone(b.revisions[name])
	slices.Reverse(list)
	return list, nil
}

func (b *fakeBrain) Rollback(_ context.Context, name string, number uint64) (app.App, error) {
	return b.change("rollback", name, func(a *app.App) error {
		if number == 0 {
			number = a.Revision - 1
		}
		then := b.revision(*a, number)
		if then.Name == "" {
			return fmt.Errorf("revision %d of app %q %w", number, name, app.ErrNotFound)
		}
		then.Rollout = &app.Rollout{From: a.Revision, To: number, State: app.RolloutRunning}
		*a = then
		return nil
	})
}

func (b *fakeBrain) Restart(_ context.Context, name string, index int) (app.App, error) {
	return b.change("restart", name, func(a *app.App) error {
		if index >= a.Instances {
			return fmt.Errorf("instance %d of app %q %w", index, name, app.ErrNotFound)
		}
		if index < 0 {
			b.next(a, a.Revision, app.RolloutOptions{}, "restart")
		}
		return nil
	})
}

func (b *fakeBrain) SetStopped(_ context.Context, name string, stopped bool) (app.App, error) {
	moment := "start"
	if stopped {
		moment = "stop"
	}
	return b.change(moment, name, func(a *app.App) error {
		a.Stopped = stopped
		return nil
	})
}

func (b *fakeBrain) Promote(_ context.Context, name string) (app.App, error) {
	return b.change("promote", name, func(a *app.App) error {
		if a.Rollout == nil || a.Rollout.State != app.RolloutPaused {
			return app.Invalid("app %q has no canary to promote", name)
		}
		r := *a.Rollout
		r.Strategy, r.State = app.Rolling, app.RolloutRunning
		a.Rollout = &r
		return nil
	})
}

func (b *fakeBrain) Counts() map[string]app.CellCount { return api.CountInstances(b.Statuses()) }

func (b *fakeBrain) Cells() []app.Cell {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.cells
}

// Balance would move the first instance of each app to the last cell.
func (b *fakeBrain) Balance() app.Rebalancing {
	b.mu.Lock()
	defer b.mu.Unlock()
	r := app.Rebalancing{Moves: []app.Move{}}
	for _, name := range slices.Sorted(maps.Keys(b.apps)) {
		if ins := b.apps[name].Instances; len(ins) > 0 && len(b.cells) > 0 {
			r.Moves = append(r.Moves, app.Move{App: name, From: ins[0].Cell, To: b.cells[len(b.cells)-1].ID, Why: "it is emptier"})
		}
	}
	return r
}

func (b *fakeBrain) Rebalance(context.Context, int) (app.Rebalancing, error) { return b.Balance(), nil }

func (b *fakeBrain) StopRebalance(context.Context) error { return nil }

func (b *fakeBrain) Drain(_ context.Context, cell string, _ int) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.drain(cell, true) {
		return fmt.Errorf("cell %q %w", cell, app.ErrNotFound)
	}
	b.play("drain", cell)
	return nil
}

func (b *fakeBrain) Undrain(_ context.Context, cell string) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	if !b.drain(cell, false) {
		return fmt.Errorf("cell %q %w", cell, app.ErrNotFound)
	}
	return nil
}

// drain orders it of one cell, or of all for "", if there is one; mu is held.
func (b *fakeBrain) drain(cell string, on bool) (found bool) {
	b.cells = slices.Clone(b.cells)
	for i := range b.cells {
		if cell == "" || b.cells[i].ID == cell {
			b.cells[i].Draining, found = on, true
		}
	}
	b.touch()
	return found
}

func (b *fakeBrain) Strays() []app.Instance {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.strays
}

func (b *fakeBrain) Adopt(_ context.Context, name string) ([]app.Instance, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	var chosen, others []app.Instance
	for _, in := range b.strays {
		if name == "" || in.App == name {
			chosen = append(chosen, in)
		} else {
			others = append(others, in)
		}
	}
	b.strays = others
	b.touch()
	if len(chosen) == 0 {
		return nil, fmt.Errorf("strays of app %q %w", name, app.ErrNotFound)
	}
	return chosen, nil
}

func (b *fakeBrain) Discard(ctx context.Context, name string) ([]app.Instance, error) {
	return b.Adopt(ctx, name)
}
