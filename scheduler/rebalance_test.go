package scheduler_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"lattice/app"
	"lattice/scheduler"
	"lattice/store/storetest"
)

func moves(ms []app.Move) string {
	var out []string
	for _, m := range ms {
		out = append(out, fmt.Sprintf("%s/%d %s→%s", m.App, m.Index, m.From, m.To))
	}
	return strings.Join(out, ", ")
}

func TestRebalance(t *testing.T) {
	roomy := func(id, zone string) app.Cell { return in(cell(id, 1024), zone) }
	a, b := roomy("a", "z1"), roomy("b", "z1")
	labelled := roomy("b", "z1")
	labelled.Labels = map[string]string{"gpu": "yes"}
	gpu := web(1)
	gpu.Rules.Require = map[string]string{"gpu": "yes"}
	single := web(2)
	single.Rules.OnePerCell = true
	solo := func(name string, mb int) app.App {
		return app.App{Name: name, Instances: 1, MemoryMB: mb, Revision: 1}.WithDefaults()
	}
	for _, c := range []struct {
		name  string
		apps  []app.App
		have  []scheduler.Placed
		cells []app.Cell
		want  string
	}{
		{"even already", apps(web(2)), have(on(0, "a"), on(1, "b")), cells(a, b), ""},
		{"one app on one cell", apps(web(2)), have(on(0, "a"), on(1, "a")), cells(a, b), "web/0 a→b"},
		{"a zone without any", apps(web(2)), have(on(0, "a"), on(1, "b")), cells(a, b, roomy("c", "z2")), "web/0 a→c"},
		{"apps of one instance", apps(solo("x", 512), solo("y", 256), solo("z", 256)), have(placed("x", 0, "a"), placed("y", 0, "a"), placed("z", 0, "a")), cells(a, b), "x/0 a→b"},
		{"not for little", apps(solo("x", 24), solo("y", 24)), have(placed("x", 0, "a"), placed("y", 0, "a")), cells(a, b), ""},
		{"rules first", apps(gpu), have(on(0, "a")), cells(a, labelled), "web/0 a→b"},
		{"one per cell", apps(single), have(on(0, "a"), on(1, "a")), cells(a, b), "web/0 a→b"},
		{"no room", apps(web(2)), have(on(0, "a"), on(1, "a")), cells(a, cell("b", 99)), ""},
		{"not while it changes", apps(rolling(2)), have(on(0, "a"), on(1, "a")), cells(a, b), ""},
		{"not what is ill", apps(web(2)), have(on(0, "a"), ill(on(1, "a"))), cells(a, b), ""},
		{"not while one is moving", apps(web(2)), have(replace(on(0, "a")), on(1, "a")), cells(a, b), ""},
		{"not from a draining cell, which a drain sees to", apps(web(2)), have(on(0, "a"), on(1, "a")), cells(draining(a), b), ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := moves(scheduler.Rebalance(facts(c.apps, c.have, c.cells), 0)); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestRebalanceEnds lets cells fill up at random, makes all moves, and checks
// that then none is left, and that none overbooked a cell.
func TestRebalanceEnds(t *testing.T) {
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	r := rand.New(rand.NewPCG(seed, 0))
	for round := range 60 {
		var as []app.App
		var ps []scheduler.Placed
		var cs []app.Cell
		for i := range 2 + r.IntN(10) {
			cs = append(cs, in(cell(fmt.Sprintf("c%02d", i), 2000+r.IntN(4000)), fmt.Sprint("z", r.IntN(3))))
		}
		used := map[string]int{}
		for i := range r.IntN(20) {
			a := app.App{Name: fmt.Sprint("app", i), MemoryMB: r.IntN(300), Revision: 1}
			for j := range 1 + r.IntN(6) {
				c := cs[r.IntN(1+r.IntN(len(cs)))]
				if used[c.ID] += a.MemoryMB; used[c.ID] > c.Capacity.MemoryMB {
					break
				}
				a.Instances = j + 1
				ps = append(ps, placed(a.Name, j, c.ID))
			}
			as = append(as, a)
		}
		for _, m := range scheduler.Rebalance(facts(as, ps, cs), 0) {
			i := slices.IndexFunc(ps, func(p scheduler.Placed) bool { return p.ID == m.ID && p.Cell == m.From })
			ps[i].Cell = m.To
		}
		clear(used)
		for _, p := range ps {
			a := as[slices.IndexFunc(as, func(a app.App) bool { return a.Name == p.App })]
			used[p.Cell] += a.MemoryMB
		}
		for _, c := range cs {
			if used[c.ID] > max(c.Capacity.MemoryMB, 0)+300 { // the one that overflowed above
				t.Fatalf("round %d: %s has %d of %d MiB", round, c.ID, used[c.ID], c.Capacity.MemoryMB)
			}
		}
		if left := scheduler.Rebalance(facts(as, ps, cs), 0); len(left) > 0 {
			t.Fatalf("round %d: still to move: %s", round, moves(left))
		}
	}
}

// TestRebalanceMovesNewBeforeOld lets all instances be on one of two cells and
// watches them move.
func TestRebalanceMovesNewBeforeOld(t *testing.T) {
	ctx := context.Background()
	s, _ := cluster(t, nil)
	if err := s.Drain(ctx, "a", 10); err != nil {
		t.Fatal(err)
	}
	until(t, s, "a is empty", func() bool { return placedOn(s, "web") == "b b b" })
	if err := s.Undrain(ctx, "a"); err != nil {
		t.Fatal(err)
	}
	if b := s.Balance(); len(b.Moves) != 1 || b.Running {
		t.Fatalf("to move: %+v", b)
	}
	if b, err := s.Rebalance(ctx, 0); err != nil || !b.Running || len(b.Moves) != 1 {
		t.Fatalf("rebalance: %+v, %v", b, err)
	}
	until(t, s, "spread again", func() bool {
		st, _ := s.Status("web")
		healthy := 0
		for _, in := range st.Instances {
			if in.State == app.Running {
				healthy++
			}
		}
		if healthy < 3 {
			t.Fatalf("only %d instances are healthy: %+v", healthy, st.Instances)
		}
		return !s.Balance().Running && len(st.Instances) == 3 && strings.Contains(placedOn(s, "web"), "a")
	})
	if b := s.Balance(); len(b.Moves) > 0 {
		t.Errorf("still to move: %+v", b)
	}
}

// TestCellThatJoinsGetsItsShare has instances move to a new cell by themselves.
func TestCellThatJoinsGetsItsShare(t *testing.T) {
	g := newGossip(cell("a", 2048))
	s := startWith(t, scheduler.Config{Store: storetest.Open(t), Members: g.get, Rebalance: true})
	o := &obedient{sick: map[string]bool{}}
	for _, id := range []string{"a", "b"} {
		o.follow(t, s, id)
	}
	if _, err := s.Create(context.Background(), web(4)); err != nil {
		t.Fatal(err)
	}
	until(t, s, "four run", func() bool { return revisions(s, "web") == "1 1 1 1" })
	g.set(cell("a", 2048), cell("b", 2048))
	until(t, s, "two are on the new cell", func() bool {
		on := placedOn(s, "web")
		return len(strings.Fields(on)) == 4 && strings.Count(on, "b") == 2
	})
}
