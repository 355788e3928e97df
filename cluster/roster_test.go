package cluster

import (
	"testing"
	"testing/synctest"
	"time"

	"lattice/app"
)

// A probe that began before a node came back tells nothing of it when it fails.
func TestLateSuspicion(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newRoster("a", nil)
		is := func(want app.CellState) {
			t.Helper()
			if got := r.others()[0].State; got != want {
				t.Errorf("it is %s, want %s", got, want)
			}
		}
		r.joined(Member{Name: "b"})
		r.left("b")
		r.joined(Member{Name: "b"})
		time.Sleep(probeEvery - time.Millisecond)
		r.suspect("b")
		is(app.CellAlive)
		time.Sleep(time.Millisecond)
		r.suspect("b")
		is(app.CellSuspect)
		r.heard("b")
		r.suspect("b")
		is(app.CellAlive)
	})
}
