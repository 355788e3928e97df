package router_test

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"lattice/app"
	"lattice/router"
)

// TestBuilderMakesWhatBuildMakes changes apps at random, and swaps each table
// into a router that then must know exactly the instances in it.
func TestBuilderMakesWhatBuildMakes(t *testing.T) {
	seed := uint64(time.Now().UnixNano())
	t.Logf("seed %d", seed)
	rnd := rand.New(rand.NewPCG(seed, 1))
	local := func(cell string) bool { return cell == "c0" }
	b := router.NewBuilder("lab", local)
	r := router.New(router.Options{})
	apps := map[string]app.Status{}
	for round := range 3000 {
		for range 1 + rnd.IntN(3) {
			name := fmt.Sprintf("app%d", rnd.IntN(8))
			if rnd.IntN(5) == 0 {
				delete(apps, name)
				b.Remove(name)
				continue
			}
			s := randomApp(rnd, name)
			apps[name] = s
			b.Set(&s)
		}
		var all []app.Status
		for _, s := range apps {
			all = append(all, s)
		}
		if rnd.IntN(10) == 0 {
			all = slices.DeleteFunc(all, func(s app.Status) bool {
				gone := rnd.IntN(2) == 0
				if gone {
					delete(apps, s.App.Name)
				}
				return gone
			})
			b.Sync(all)
		}
		got, want := b.Table(), router.Build(all, "lab", local)
		if render(got) != render(want) {
			t.Fatalf("round %d:\n got %s\nwant %s", round, render(got), render(want))
		}
		for _, route := range got.Routes() {
			host := route.Host
			if host[0] == '*' {
				host = "some" + host[1:]
			}
			a, b := got.Lookup(host, route.Path+"/x"), want.Lookup(host, route.Path+"/x")
			if a == nil || a.Host != b.Host || a.Path != b.Path || !slices.Equal(a.Apps, b.Apps) {
				t.Fatalf("round %d: %s leads to %v, want %v", round, host, a, b)
			}
		}
		if rnd.IntN(4) > 0 { // else the router misses one
			r.Swap(got)
			knows(t, r, got)
		}
	}
}

// knows checks that the router has a count for each instance of the table and
// for no other.
func knows(t *testing.T, r *router.Router, table *router.Table) {
	t.Helper()
	want := map[router.Backend]bool{}
	for _, route := range table.Routes() {
		for _, b := range route.Backends {
			want[*b] = true
		}
	}
	for _, b := range r.Stats().Backends {
		if !want[b.Backend] {
			t.Fatalf("%v is there once too often, or not in the table", b.Backend)
		}
		delete(want, b.Backend)
	}
	if len(want) > 0 {
		t.Fatalf("not known: %v", want)
	}
	if n := r.Upstreams(); n != len(r.Stats().Backends) {
		t.Fatalf("%d upstreams are kept for %d instances", n, len(r.Stats().Backends))
	}
}

func randomApp(rnd *rand.Rand, name string) app.Status {
	s := app.Status{App: app.App{Name: name, NoRoutes: rnd.IntN(10) == 0, Ports: []int{8080}}}
	hosts, paths := []string{"a", "b", "*", "*.x", "a.org"}, []string{"", "/", "/p", "/p/q"}
	for range rnd.IntN(4) {
		s.App.Routes = append(s.App.Routes, app.Route{
			Host: hosts[rnd.IntN(len(hosts))], Path: paths[rnd.IntN(len(paths))], Port: []int{0, 8080, 9090}[rnd.IntN(3)],
		})
	}
	for i := range rnd.IntN(4) {
		in := app.Instance{
			ID: fmt.Sprint(name, i), GUID: fmt.Sprint(name, i, rnd.IntN(2)), App: name, Index: i, Cell: fmt.Sprintf("c%d", rnd.IntN(3)),
			State: app.Running, IP: "10.0.0.1", Host: "h", Unready: rnd.IntN(5) == 0,
		}
		for p := range 1 + rnd.IntN(2) {
			in.Ports = append(in.Ports, app.PortPair{Container: 8080 + 1010*p, Host: 60000 + 10*i + p})
		}
		s.Instances = append(s.Instances, in)
	}
	return s
}

// TestRoundRobinGoesOnWhenARouteChanges checks that a route that is made anew
// keeps whose turn it is.
func TestRoundRobinGoesOnWhenARouteChanges(t *testing.T) {
	a, c := backend(t, "a", nil), backend(t, "c", nil)
	b := router.NewBuilder("lab", nil)
	two := instances("web", addr(a), addr(c))
	b.Set(&two)
	r, client := routing(t, b.Table())
	order := ""
	for i := range 10 {
		_, body := get(t, client, "http://web.lab/")
		order += body
		two.Instances[0].Revision = uint64(i + 1)
		two.Instances[1].Ports = append(two.Instances[1].Ports, app.PortPair{Container: 100 + i, Host: 1})
		b.Set(&two)
		r.Swap(b.Table())
	}
	if order != "acacacacac" {
		t.Errorf("the turns were %s", order)
	}
}

// TestOneChangeAmongMany holds the promise of a millisecond.
func TestOneChangeAmongMany(t *testing.T) {
	const n = 100_000
	ss := many(n)
	b := router.NewBuilder("lab", nil)
	b.Sync(ss)
	r := router.New(router.Options{})
	r.Swap(b.Table())
	var took []time.Duration
	for i := range 101 {
		s := &ss[i*997%n]
		s.Instances[0].GUID += "x"
		start := time.Now()
		b.Set(s)
		r.Swap(b.Table())
		took = append(took, time.Since(start))
	}
	slices.Sort(took)
	t.Logf("one change among %d: median %v, worst %v", n, took[50], took[100])
	if took[50] > time.Millisecond && !raced {
		t.Errorf("one change among %d took %v, want at most 1 ms", n, took[50])
	}
	start := time.Now()
	b.Sync(ss)
	t.Logf("Sync of %d apps without a change: %v", n, time.Since(start))
	if got := render(b.Table()); got != render(router.Build(ss, "lab", nil)) {
		t.Error("the table is not what Build makes")
	}
}
