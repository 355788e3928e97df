package scheduler_test

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/app"
	"lattice/scheduler"
	"lattice/store"
)

// TestVolumesAreRemembered: where volumes are survives the brain, and what cells
// tell of them is believed where nothing else is known.
func TestVolumesAreRemembered(t *testing.T) {
	path := filepath.Join(t.TempDir(), "brain.db")
	open := func() *store.Store {
		st, err := store.Open(path)
		if err != nil {
			t.Fatal(err)
		}
		return st
	}
	st := open()
	g := newGossip(cell("a", 1024), cell("b", 1024))
	s, end := run(t, st, g)
	ctx := t.Context()
	if _, err := s.Create(ctx, withData(web(2))); err != nil {
		t.Fatal(err)
	}
	until(t, s, "two placed", func() bool { return placedOn(s, "web") == "a b" })
	w, err := s.Work("a")
	if err != nil || len(w.Assigned) != 1 || len(w.Assigned[0].Volumes) != 1 || w.Assigned[0].Volumes[0].Made {
		t.Fatalf("work %+v %v, want one volume to be made", w, err)
	}
	id := w.Assigned[0].Volumes[0].ID
	mine := app.ReportedVolume{ID: id, VolumeKey: app.VolumeKey{App: "web", Name: "data"}, Bytes: 7}
	report(t, s, "a", mine)
	until(t, s, "it is known to be made", func() bool { w, _ := s.Work("a"); return len(w.Assigned) == 1 && w.Assigned[0].Volumes[0].Made })
	if v := s.Volumes(); len(v) != 2 || v[0].State != app.VolumeInUse || v[0].Bytes != 7 || v[0].Cell != "a" || v[1].Made {
		t.Errorf("got %+v", v)
	}
	if err := s.RemoveVolume(ctx, id); !errors.Is(err, app.ErrConflict) || !strings.Contains(err.Error(), "web/data/0 is in use by instance 0 of app web") {
		t.Errorf("remove one in use: %v", err)
	}

	end()
	if err := st.Close(); err != nil {
		t.Fatal(err)
	}
	st = open()
	defer st.Close()
	g.set(cell("b", 1024)) // a is gone
	s, end = run(t, st, g)
	defer end()
	until(t, s, "the first waits for its volume", func() bool {
		x, _ := s.Status("web")
		return x.Instances[0].State == app.Unclaimed && strings.Contains(x.Instances[0].Reason, "volume web/data/0 is on cell a, which is gone")
	})
	g.set(cell("a", 1024), cell("b", 1024))
	until(t, s, "it is where it was, with the same placement", func() bool {
		now, _ := s.Work("a")
		return placedOn(s, "web") == "a b" && len(now.Assigned) == 1 && now.Assigned[0].ID == w.Assigned[0].ID
	})

	// The folder is brought to b, and found there.
	if _, err := s.Scale(ctx, "web", 0); err != nil {
		t.Fatal(err)
	}
	until(t, s, "none is placed", func() bool { return placedOn(s, "web") == "" })
	report(t, s, "b", mine)
	report(t, s, "a")
	until(t, s, "it has moved", func() bool {
		return len(s.Volumes()) == 2 && s.Volumes()[0].Cell == "b" && s.Volumes()[0].State == app.VolumeKept
	})

	// A cell that the store knows nothing of has one, and another of the same name.
	old := app.ReportedVolume{ID: "0123456789", VolumeKey: app.VolumeKey{App: "gone", Name: "data"}}
	twin := mine
	twin.ID = "9876543210"
	report(t, s, "a", old, twin)
	until(t, s, "the one is an orphan, the other a spare", func() bool {
		v := s.Volumes()
		return len(v) == 4 && v[0].App == "gone" && v[0].State == app.VolumeOrphan && v[1].Cell == "a" && v[1].State == app.VolumeSpare
	})
	for _, id := range []string{old.ID, twin.ID} {
		if err := s.RemoveVolume(ctx, id); err != nil {
			t.Error(err)
		}
	}
	if w, _ := s.Work("a"); len(w.DropVolumes) != 2 {
		t.Errorf("work %+v, want two volumes to be deleted", w)
	}
	report(t, s, "a")
	until(t, s, "they are gone", func() bool { return len(s.Volumes()) == 2 })
	if err := s.RemoveVolume(ctx, old.ID); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("remove one that isn't there: %v", err)
	}
	report(t, s, "b")
	until(t, s, "what was there is lost", func() bool { return s.Volumes()[0].State == app.VolumeLost })
	if err := s.Remove(ctx, "web", true); err != nil {
		t.Fatal(err)
	}
	report(t, s, "b")
	until(t, s, "all are gone with the app", func() bool { return len(s.Volumes()) == 0 })
}

// run is start with an end before that of the test.
func run(t *testing.T, st scheduler.Store, g *gossip) (s *scheduler.Scheduler, end func()) {
	t.Helper()
	s, err := scheduler.New(scheduler.Config{Store: st, Members: g.get, Domain: "d.test", Grace: 10 * time.Millisecond, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	return s, sync.OnceFunc(func() { cancel(); <-done })
}

func report(t *testing.T, s *scheduler.Scheduler, cell string, volumes ...app.ReportedVolume) {
	t.Helper()
	if err := s.Report(app.Report{Cell: cell, Volumes: append([]app.ReportedVolume{}, volumes...)}); err != nil {
		t.Fatal(err)
	}
}
