package scheduler_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"lattice/app"
	"lattice/store/storetest"
)

// Without docker-images only what needs another registry stops, and comes back;
// a restart of the brain changes nothing of that.
func TestFeatureHoldsApps(t *testing.T) {
	ctx, st := context.Background(), storetest.Open(t)
	g := newGossip(cell("a", 4096))
	s := start(t, st, g, time.Minute)
	const digest = "sha256:aaaa"
	for _, a := range []app.App{
		{Name: "other", Image: "nginx", Digest: digest, Instances: 2},
		{Name: "pushed", Image: app.ClusterImages + "web:1", Digest: digest, Instances: 1},
		{Name: "bundled", Image: "lattice/hello", Instances: 1},
	} {
		if _, err := s.Create(ctx, a.WithDefaults()); err != nil {
			t.Fatal(err)
		}
	}
	placed := func(name string, n int) func() bool {
		return func() bool {
			got, err := s.Status(name)
			return err == nil && len(got.Instances) == n
		}
	}
	until(t, s, "all are placed", func() bool { return placed("other", 2)() && placed("pushed", 1)() && placed("bundled", 1)() })

	f, err := s.SetFeature(app.WithActor(ctx, "ann"), app.FeatureDockerImages, false)
	if err != nil || f.Enabled || f.ChangedBy != "ann" {
		t.Fatalf("disable: %+v %v", f, err)
	}
	until(t, s, "what needs another registry stops", placed("other", 0))
	if !placed("pushed", 1)() || !placed("bundled", 1)() {
		t.Errorf("what needs none stopped, too: %+v", s.Statuses())
	}
	if a, err := s.Create(ctx, app.App{Name: "late", Image: "redis", Digest: digest, Instances: 1}.WithDefaults()); err != nil || a.Held != app.FeatureDockerImages {
		t.Errorf("an app that was chosen a moment before: %+v %v", a, err)
	}
	if a, err := s.Scale(ctx, "other", 3); err != nil || a.Wanted() != 0 {
		t.Errorf("after scaling %d are wanted: %v", a.Wanted(), err)
	}
	if _, err := s.SetFeature(ctx, "nix", true); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("an unknown feature: %v", err)
	}

	s = start(t, st, g, time.Minute)
	if f := s.Features(); len(f) != 1 || f[0].Enabled || f[0].About == "" {
		t.Errorf("after a restart: %+v", f)
	}
	if _, err := s.SetFeature(ctx, app.FeatureDockerImages, true); err != nil {
		t.Fatal(err)
	}
	until(t, s, "they run again", func() bool { return placed("other", 3)() && placed("late", 1)() })
}
