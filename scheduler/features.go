package scheduler

import (
	"context"
	"fmt"
	"slices"
	"time"

	"lattice/app"
)

// Features returns all features by name.
func (s *Scheduler) Features() []app.Feature {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.features)
}

// SetFeature enables a feature or disables it, and returns it. The instances of
// apps that need one that is disabled stop, until it is enabled again. It is
// app.ErrNotFound when there is none of that name.
func (s *Scheduler) SetFeature(ctx context.Context, name string, enabled bool) (app.Feature, error) {
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	i := slices.IndexFunc(s.features, func(f app.Feature) bool { return f.Name == name })
	if i < 0 {
		s.mu.Unlock()
		return app.Feature{}, fmt.Errorf("feature %q %w", name, app.ErrNotFound)
	}
	f := s.features[i]
	var apps []app.App
	for _, a := range s.apps {
		if a.Needs() == name {
			apps = append(apps, a)
		}
	}
	s.mu.Unlock()
	if f.Enabled == enabled {
		return f, nil
	}
	f.Enabled, f.ChangedAt, f.ChangedBy = enabled, time.Now().UTC(), app.ActorOf(ctx)
	if err := s.commit(app.Change{PutFeatures: []app.Feature{f}, PutApps: apps}); err != nil {
		return app.Feature{}, err
	}
	s.tellFeature(ctx, f, apps)
	s.plan()
	return f, nil
}

func (s *Scheduler) tellFeature(ctx context.Context, f app.Feature, apps []app.App) {
	kind, what, of := app.FeatureEnabled, app.AppStarted, "enabled: %d apps need it, and run again"
	if !f.Enabled {
		kind, what, of = app.FeatureDisabled, app.AppStopped, "disabled: %d apps need it, and stop"
	}
	s.cfg.Emit(app.Event{Kind: kind, Index: app.NoIndex, Actor: f.ChangedBy, Message: f.Name + " is " + fmt.Sprintf(of, len(apps))})
	for _, a := range apps {
		s.tell(ctx, what, a.Name, "the feature %s is %s", f.Name, map[bool]string{true: "enabled again", false: "disabled"}[f.Enabled])
	}
}

// hold marks the apps of c that may not run with the features as c leaves them.
func (s *Scheduler) hold(c app.Change) {
	s.mu.Lock()
	now := putFeatures(s.features, c.PutFeatures)
	s.mu.Unlock()
	for i := range c.PutApps {
		c.PutApps[i].Held = disabled(now, c.PutApps[i])
	}
}

// disabled returns the feature that keeps an app from running, or "".
func disabled(all []app.Feature, a app.App) string {
	for _, f := range all {
		if !f.Enabled && a.Needs() == f.Name {
			return f.Name
		}
	}
	return ""
}

// putFeatures returns all with those that have changed. Such as this version
// doesn't know are left out.
func putFeatures(all, changed []app.Feature) []app.Feature {
	all = slices.Clone(all)
	for _, c := range changed {
		for i, f := range all {
			if f.Name == c.Name {
				c.About = f.About
				all[i] = c
			}
		}
	}
	return all
}
