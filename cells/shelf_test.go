package cells

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"testing"

	"lattice/app"
	"lattice/cells/volumes"
)

// TestOneHasAVolume: the next waits until the one before has let go, and so does a
// removal.
func TestOneHasAVolume(t *testing.T) {
	v, err := volumes.Open(t.TempDir(), t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	a := New(Config{ID: "c", Volumes: v, Log: slog.New(slog.DiscardHandler)})
	as := app.Assignment{ID: "first", Volumes: []app.AssignedVolume{{ID: "aaaaaaaa", Name: "data"}}}
	dir, err := v.Open("aaaaaaaa", app.VolumeKey{App: "db", Name: "data"}, false)
	if err != nil {
		t.Fatal(err)
	}
	a.holdVolumes(as) // as after a restart of the cell

	waits, got := make(chan bool, 1), make(chan error, 1)
	go func() { got <- a.shelf.take(t.Context(), "aaaaaaaa", "second", func() { waits <- true }) }()
	<-waits
	a.shelf.setDrop([]string{"aaaaaaaa"})
	a.dropVolumes()
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("it is deleted under its instance: %v", err)
	}
	select {
	case err := <-got:
		t.Fatalf("two have it: %v", err)
	default:
	}
	late, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.shelf.take(late, "aaaaaaaa", "third", func() {}); !errors.Is(err, context.Canceled) {
		t.Errorf("who gives up: %v", err)
	}
	a.releaseVolumes("first")
	if err := <-got; err != nil {
		t.Fatal(err)
	}
	a.dropVolumes()
	if _, err := os.Stat(dir); err != nil {
		t.Fatalf("it is deleted under its instance: %v", err)
	}
	a.releaseVolumes("second")
	a.dropVolumes()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("it is not deleted: %v", err)
	}
	if a.shelf.list() != nil {
		t.Error("it tells of volumes before it has looked")
	}
	a.listVolumes()
	if all := a.shelf.list(); all == nil || len(all) != 0 {
		t.Errorf("got %+v, want none", all)
	}
}
