package scheduler

import (
	"context"
	"fmt"
	"reflect"
	"slices"
	"time"

	"lattice/app"
)

// keptRevisions is how many revisions of an app are kept beside those in use.
const keptRevisions = 10

// Create adds an app and returns it as stored. It is app.ErrExists when the
// name is taken. a must be valid.
func (s *Scheduler) Create(ctx context.Context, a app.App) (app.App, error) {
	s.write.Lock()
	defer s.write.Unlock()
	if err := s.free(a.Name); err != nil {
		return app.App{}, err
	}
	a, err := s.withPorts(a, app.App{})
	if err != nil {
		return app.App{}, err
	}
	if a, err = s.put(created(a)); err == nil {
		s.tell(ctx, app.AppCreated, a.Name, "%d instances of %s with %d MiB memory each", a.Instances, a.Image, a.MemoryMB)
	}
	return a, err
}

// created returns a new app with its first revision.
func created(a app.App) (app.App, app.Change) {
	a.Revision, a.CreatedAt, a.Rollout, a.Stopped, a.Held = 1, time.Now().UTC(), nil, false, ""
	return a, app.Change{PutRevisions: []app.Revision{{App: a, At: a.CreatedAt, Cause: "create"}}}
}

// put writes an app with what else changes. The caller holds s.write.
func (s *Scheduler) put(a app.App, c app.Change) (app.App, error) {
	c.PutApps = []app.App{a}
	if err := s.commit(c); err != nil {
		return app.App{}, err
	}
	s.plan()
	return c.PutApps[0], nil
}

func (s *Scheduler) app(name string) (app.App, bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, ok := s.apps[name]
	return a, ok
}

// change writes what do makes of an app, and then tells of it by then. It is
// app.ErrNotFound when there is none of that name.
func (s *Scheduler) change(name string, do func(app.App) (app.App, app.Change, error), then func(was, is app.App)) (app.App, error) {
	s.write.Lock()
	defer s.write.Unlock()
	was, ok := s.app(name)
	if !ok {
		return app.App{}, fmt.Errorf("app %q %w", name, app.ErrNotFound)
	}
	a, c, err := do(was)
	if err != nil {
		return app.App{}, err
	}
	if a, err = s.put(a, c); err == nil {
		then(was, a)
	}
	return a, err
}

// Scale sets how many instances of an app there shall be and returns the app.
func (s *Scheduler) Scale(ctx context.Context, name string, instances int) (app.App, error) {
	if err := app.ValidInstances(instances); err != nil {
		return app.App{}, err
	}
	return s.change(name, func(a app.App) (app.App, app.Change, error) {
		a.Instances = instances
		return a, app.Change{}, nil
	}, func(was, is app.App) {
		s.tell(ctx, app.AppScaled, name, "from %d to %d instances", was.Instances, is.Instances)
	})
}

// SetStopped stops all instances of an app or starts them again.
func (s *Scheduler) SetStopped(ctx context.Context, name string, stopped bool) (app.App, error) {
	return s.change(name, func(a app.App) (app.App, app.Change, error) {
		a.Stopped = stopped
		return a, app.Change{}, nil
	}, func(_, is app.App) {
		if stopped {
			s.tell(ctx, app.AppStopped, name, "its instances stop")
		} else {
			s.tell(ctx, app.AppStarted, name, "%d instances shall run", is.Instances)
		}
	})
}

// Update changes an app to the whole new spec in a. It is app.ErrConflict when
// the app is not at a.Revision any more. What needs new containers becomes a
// new revision and is rolled out as o says; the rest is in force at once.
func (s *Scheduler) Update(ctx context.Context, a app.App, o app.RolloutOptions) (app.App, error) {
	return s.change(a.Name, s.updated(a, o), func(was, is app.App) {
		s.tell(ctx, app.AppUpdated, is.Name, "changed: %s", differences(was, is))
		if is.Revision != was.Revision {
			s.tellRollout(ctx, is)
		}
	})
}

// updated returns what makes an app what a says.
func (s *Scheduler) updated(a app.App, o app.RolloutOptions) func(app.App) (app.App, app.Change, error) {
	return func(now app.App) (app.App, app.Change, error) {
		if a.Revision != now.Revision {
			return now, app.Change{}, fmt.Errorf("app %q is at revision %d and not at %d: it was %w", a.Name, now.Revision, a.Revision, app.ErrConflict)
		}
		a, err := s.withPorts(a, now)
		if err != nil {
			return now, app.Change{}, err
		}
		a.Rollout, a.Stopped, a.Held, a.CreatedAt = now.Rollout, now.Stopped, now.Held, now.CreatedAt
		if a.Digest == "" && a.Image == now.Image {
			a.Digest = now.Digest
		}
		if sameContainer(a, now) {
			return a, app.Change{}, nil
		}
		return s.next(now, a, o, "update")
	}
}

// sameContainer reports whether a change from one app to the other needs no new
// containers.
func sameContainer(a, b app.App) bool { return reflect.DeepEqual(container(a), container(b)) }

// container returns a without what can change under a running container.
func container(a app.App) app.App {
	a.Instances, a.Routes, a.TCPRoutes, a.NoRoutes, a.Stopped, a.Rollout, a.Revision, a.CreatedAt = 0, nil, nil, false, false, nil, 0, time.Time{}
	a.StopGrace, a.Set, a.Held = 0, "", ""
	a.Command, a.Args, a.Ports, a.Volumes = slices.Concat(a.Command), slices.Concat(a.Args), slices.Concat(a.Ports), slices.Concat(a.Volumes) // nil when empty
	if len(a.Env) == 0 {
		a.Env = nil
	}
	return a
}

// next makes a the newest revision and starts to roll it out.
func (s *Scheduler) next(now, a app.App, o app.RolloutOptions, cause string) (app.App, app.Change, error) {
	revisions := s.revisionsOf(a.Name)
	a.Revision = revisions[0].App.Revision + 1
	a.Rollout = rollout(now, a.Revision, o)
	r := app.Revision{App: a, At: time.Now().UTC(), Cause: cause}
	r.App.Rollout = nil
	return a, app.Change{PutRevisions: []app.Revision{r}, DeleteRevisions: s.outdated(revisions, now.Revision, a.Rollout.From)}, nil
}

func rollout(now app.App, to uint64, o app.RolloutOptions) *app.Rollout {
	if o.Strategy == "" {
		o.Strategy = app.Rolling
	}
	from := lastGood(now)
	if from == to {
		from = now.Revision
	}
	return &app.Rollout{RolloutOptions: o, From: from, To: to, State: app.RolloutRunning, StartedAt: time.Now().UTC()}
}

// lastGood returns the revision to go back to: of an app that is still on its
// way from one to the next, the former.
func lastGood(now app.App) uint64 {
	if r := now.Rollout; r != nil && !ended(r) && r.From != 0 {
		return r.From
	}
	return now.Revision
}

// outdated returns the revisions that are neither among the newest nor in use.
func (s *Scheduler) outdated(newestFirst []app.Revision, current, from uint64) []app.RevisionKey {
	used := map[uint64]bool{current: true, from: true}
	s.mu.Lock()
	for p := range s.placementsOf(newestFirst[0].App.Name) {
		used[p.Revision] = true
	}
	s.mu.Unlock()
	var keys []app.RevisionKey
	for i, r := range newestFirst {
		if i >= keptRevisions && !used[r.App.Revision] {
			keys = append(keys, app.RevisionKey{App: r.App.Name, Number: r.App.Revision})
		}
	}
	return keys
}

// Revisions returns the kept revisions of an app, the newest first.
func (s *Scheduler) Revisions(name string) ([]app.Revision, error) {
	if all := s.revisionsOf(name); len(all) > 0 {
		return all, nil
	}
	return nil, fmt.Errorf("app %q %w", name, app.ErrNotFound)
}

func (s *Scheduler) revisionsOf(name string) []app.Revision {
	s.mu.Lock()
	defer s.mu.Unlock()
	var all []app.Revision
	for k, r := range s.revisions {
		if k.App == name {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b app.Revision) int { return int(b.App.Revision) - int(a.App.Revision) })
	return all
}

// Rollback brings an app back to a revision, 0 being the one that the present
// one came after. Routes and the number of instances stay as they are.
func (s *Scheduler) Rollback(ctx context.Context, name string, revision uint64) (app.App, error) {
	return s.change(name, func(now app.App) (app.App, app.Change, error) {
		to, err := s.earlier(now, revision)
		if err != nil {
			return now, app.Change{}, err
		}
		a := at(now, to)
		a.Rollout = rollout(now, to.Revision, app.RolloutOptions{})
		return a, app.Change{}, nil
	}, func(_, is app.App) {
		s.tell(ctx, app.AppUpdated, name, "rolled back to revision %d", is.Revision)
		s.tellRollout(ctx, is)
	})
}

// earlier finds the revision to go back to.
func (s *Scheduler) earlier(now app.App, revision uint64) (app.App, error) {
	if revision == now.Revision {
		return app.App{}, app.Invalid("app %q is at revision %d already", now.Name, revision)
	}
	all := s.revisionsOf(now.Name)
	if r := now.Rollout; revision == 0 && r != nil && r.To == now.Revision && has(all, r.From) {
		revision = r.From // one in between may have failed
	}
	for _, r := range all {
		if n := r.App.Revision; n == revision || revision == 0 && n < now.Revision {
			return r.App, nil
		}
	}
	if revision == 0 {
		return app.App{}, app.Invalid("app %q has no revision before %d", now.Name, now.Revision)
	}
	return app.App{}, fmt.Errorf("revision %d of app %q %w: only the last %d are kept", revision, now.Name, app.ErrNotFound, keptRevisions)
}

func has(revisions []app.Revision, number uint64) bool {
	return slices.ContainsFunc(revisions, func(r app.Revision) bool { return r.App.Revision == number })
}

// at returns the app as it was at a revision, in all that needs a container.
func at(now, then app.App) app.App {
	then.Instances, then.Routes, then.TCPRoutes, then.NoRoutes, then.Stopped = now.Instances, now.Routes, now.TCPRoutes, now.NoRoutes, now.Stopped
	then.CreatedAt, then.Rollout, then.Set = now.CreatedAt, now.Rollout, now.Set
	return then
}

// Restart gives an app new containers, or one of its instances if index is not
// negative, new before old.
func (s *Scheduler) Restart(ctx context.Context, name string, index int) (app.App, error) {
	return s.change(name, func(now app.App) (app.App, app.Change, error) {
		if index < 0 {
			return s.next(now, now, app.RolloutOptions{}, "restart")
		}
		var c app.Change
		s.mu.Lock()
		for p := range s.placementsOf(name) {
			if p.Index == index {
				p.Replace = true
				c.PutPlacements = append(c.PutPlacements, p)
			}
		}
		s.mu.Unlock()
		if len(c.PutPlacements) == 0 {
			return now, c, fmt.Errorf("instance %d of app %q %w: none of that number is placed", index, name, app.ErrNotFound)
		}
		return now, c, nil
	}, func(_, is app.App) {
		if index >= 0 {
			s.cfg.Emit(app.Event{Kind: app.InstanceRestarted, App: name, Index: index, Actor: app.ActorOf(ctx), Message: "it shall have a new container"})
			return
		}
		s.tell(ctx, app.AppUpdated, name, "all instances shall have new containers")
		s.tellRollout(ctx, is)
	})
}

// Promote lets a canary go on to all instances.
func (s *Scheduler) Promote(ctx context.Context, name string) (app.App, error) {
	return s.change(name, func(now app.App) (app.App, app.Change, error) {
		if r := now.Rollout; r == nil || r.Strategy != app.Canary || ended(r) {
			return now, app.Change{}, app.Invalid("app %q has no canary to promote", name)
		}
		r := *now.Rollout
		r.Strategy, r.State = app.Rolling, app.RolloutRunning
		now.Rollout = &r
		return now, app.Change{}, nil
	}, func(_, is app.App) {
		s.tell(ctx, app.RolloutGoesOn, name, "the canary is good: all instances change to revision %d", is.Revision)
	})
}

// turned returns an app whose rollout has come to another state. One that
// failed is back at the revision before.
func (s *Scheduler) turned(t Turn) app.App {
	a, _ := s.app(t.App)
	r := *a.Rollout
	r.State, r.Reason = t.State, t.Reason
	if ended(&r) {
		r.EndedAt = time.Now().UTC()
	}
	if t.State == app.RolloutFailed {
		s.mu.Lock()
		if before, ok := s.specs[app.RevisionKey{App: a.Name, Number: r.From}]; ok {
			a = at(a, *before)
		}
		s.mu.Unlock()
	}
	a.Rollout = &r
	return a
}

// Remove deletes an app, and its volumes if that is wanted; its instances are
// stopped afterwards. It is
// app.ErrNotFound when there is none of that name.
func (s *Scheduler) Remove(ctx context.Context, name string, volumes bool) error {
	s.write.Lock()
	defer s.write.Unlock()
	if _, ok := s.app(name); !ok {
		return fmt.Errorf("app %q %w", name, app.ErrNotFound)
	}
	c := app.Change{DeleteApps: []string{name}}
	s.mu.Lock()
	for p := range s.placementsOf(name) {
		c.DeletePlacements = append(c.DeletePlacements, p.ID)
	}
	if volumes {
		c.PutVolumes = removing(s.volumesOf(name))
	}
	s.mu.Unlock()
	if err := s.commit(c); err != nil {
		return err
	}
	s.tell(ctx, app.AppRemoved, name, "its %d instances stop", len(c.DeletePlacements))
	for _, v := range c.PutVolumes {
		e := volumeEvent(app.VolumeRemoved, v.VolumeKey, v.Cell, "volume %s is deleted from cell %s", v.VolumeKey, v.Cell)
		e.Actor = app.ActorOf(ctx)
		s.cfg.Emit(e)
	}
	s.plan()
	return nil
}
