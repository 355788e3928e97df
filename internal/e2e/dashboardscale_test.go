package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/web"
)

const (
	manyCells = 1000
	perMany   = 50 // instances of each
	manyApps  = 200
)

// TestDashboardOfManyCells shows the real page a made-up cluster of 1,000 cells
// and 50,000 instances, of which a few change each moment, and scrolls it. The
// limits are for a loaded machine without a graphics card; docs/benchmarks.md has
// what was measured on an idle one.
func TestDashboardOfManyCells(t *testing.T) {
	srv := httptest.NewServer(crowd())
	t.Cleanup(srv.Close) // before the browser is opened, whose end ends its streams
	b := newBrowser(t, srv.URL)
	began := time.Now()
	b.open("/")
	b.until("the map is there", "document.querySelector('.map canvas')")
	b.until("all instances are counted", fmt.Sprintf("parseInt(document.querySelector('.sum b').innerText) > %d", manyCells*perMany*9/10))
	t.Logf("from nothing to all shown: %v", time.Since(began).Round(time.Millisecond))
	const frames = `new Promise((done) => {
		const map = document.querySelector('.map'), began = performance.now();
		let n = 0, worst = 0, last = began;
		const step = (now) => {
			n++; worst = Math.max(worst, now - last); last = now;
			map.scrollTop = (map.scrollHeight - map.clientHeight) * (0.5 + 0.5 * Math.sin(now / 700));
			if (now - began < 5000) requestAnimationFrame(step); else done([n * 1000 / (now - began), worst]);
		};
		requestAnimationFrame(step);
	})`
	moving := eval[[2]float64](b, frames)
	still := eval[[2]float64](b, "new Promise((done) => { let n = 0; const began = performance.now(); const step = (now) => { n++; if (now - began < 3000) requestAnimationFrame(step); else done([n * 1000 / (now - began), 0]); }; requestAnimationFrame(step); })")
	heap := float64(b.memory()) / (1 << 20)
	t.Logf("%d cells, %d instances: %.0f frames/s while it scrolls (the longest took %.0f ms), %.0f at rest, the page's process has %.0f MiB",
		manyCells, manyCells*perMany, moving[0], moving[1], still[0], heap)
	if moving[0] < 10 || heap > 200 {
		t.Errorf("%.1f frames/s and %.0f MiB, want at least 10 (30 on an idle machine) and at most 200", moving[0], heap)
	}
	b.open("/apps")
	b.see("app-000")
	if n := eval[int](b, "document.querySelectorAll('.vrow').length"); n > 80 {
		t.Errorf("the list of %d apps has %d rows in the page", manyApps, n)
	}
	b.mustHaveNoErrors()
}

// A module of the page that does not come, or comes too late, is asked for again;
// a brain that stays away is told of.
func TestDashboardThatCameInPart(t *testing.T) {
	var broken atomic.Int32
	all := crowd()
	srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/assets/ui.js" && broken.Add(-1) >= 0 {
			panic(http.ErrAbortHandler)
		}
		all.ServeHTTP(w, r)
	}))
	srv.Config.ErrorLog = log.New(io.Discard, "", 0)
	srv.Start()
	t.Cleanup(srv.Close)
	b := newBrowser(t, srv.URL)
	broken.Store(4) // Chromium itself asks twice
	b.open("/apps")
	b.see("app-000")
	broken.Store(1000)
	b.open("/apps")
	b.see("A part of the dashboard does not come.")
	broken.Store(0)
	b.open("/apps")
	b.see("app-000")
}

// crowd serves the dashboard with a made-up state.
func crowd() http.Handler {
	mux := http.NewServeMux()
	answer := func(v any) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) { _ = json.NewEncoder(w).Encode(v) }
	}
	mux.Handle("GET /api/v1/session", answer(api.Session{Name: "admin", Role: "admin"}))
	mux.Handle("GET /api/v1/info", answer(api.Info{Domain: "example.com"}))
	mux.HandleFunc("GET /api/v1/live", func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		out := json.NewEncoder(w)
		tell := func(s api.LiveState) {
			fmt.Fprint(w, "data: ")
			_ = out.Encode(s) // who asked may have gone away
			fmt.Fprint(w, "\n")
			_ = http.NewResponseController(w).Flush()
		}
		all := wholeCrowd(tell)
		some := rand.New(rand.NewPCG(1, 2))
		for tick := time.NewTicker(200 * time.Millisecond); ; {
			select {
			case <-r.Context().Done():
				tick.Stop()
				return
			case <-tick.C:
			}
			tell(api.LiveState{Instances: crowdChange(some, all)})
		}
	})
	mux.Handle("/", web.Handler())
	return mux
}

// wholeCrowd tells the first state and returns its instances.
func wholeCrowd(tell func(api.LiveState)) []api.LiveInstance {
	first := api.LiveState{Reset: true}
	for i := range manyApps {
		first.Apps = append(first.Apps, api.LiveApp{App: app.App{Name: fmt.Sprintf("app-%03d", i), Instances: manyCells * perMany / manyApps}, URLs: []string{}})
	}
	var all []api.LiveInstance
	for i := range manyCells {
		id := fmt.Sprintf("cell-%04d", i)
		first.Cells = append(first.Cells, api.CellStatus{Running: perMany, Cell: app.Cell{ID: id, Zone: fmt.Sprintf("z%d", i%3), State: app.CellAlive, Capacity: app.Resources{MemoryMB: 16384, DiskMB: 1 << 17}}})
		for k := range perMany {
			n := i*perMany + k
			all = append(all, api.LiveInstance{ID: fmt.Sprintf("placement-%06d", n), App: first.Apps[n%manyApps].Name, Index: n / manyApps, Revision: 1, Cell: id, State: app.Running, Since: time.Now().UnixMilli(), MemoryMB: 128})
		}
	}
	tell(first)
	for rest := all; len(rest) > 0; rest = rest[1000:] {
		tell(api.LiveState{Instances: rest[:1000]})
	}
	tell(api.LiveState{Complete: true})
	return all
}

// crowdChange moves 20 instances, and makes some others crash and start.
func crowdChange(some *rand.Rand, all []api.LiveInstance) []api.LiveInstance {
	var changed []api.LiveInstance
	for i := range 60 {
		in := &all[some.IntN(len(all))]
		in.State = []app.State{app.Running, app.Claimed, app.Crashed}[i%3]
		if i < 20 {
			in.Cell, in.State = fmt.Sprintf("cell-%04d", some.IntN(manyCells)), app.Running
		}
		changed = append(changed, *in)
	}
	return changed
}
