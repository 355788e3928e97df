// Command scheduler measures scheduler.Plan: the scenarios of Diego's auction
// simulation beside what Diego's own code makes of them, and large clusters from
// nothing. Everything runs on one core, and processor time is what counts. The
// last line it prints is one JSON object.
//
// Diego's figures were measured once, on a machine of the same kind, with its
// own simulation; its times are of its scheduling alone, without its debug log.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"runtime"
	"syscall"
	"text/tabwriter"
	"time"

	"lattice/app"
	"lattice/scheduler"
	"lattice/scheduler/simulate"
)

func main() {
	log.SetFlags(0)
	runs := flag.Int("runs", 7, "how often each is planned; the best counts, since other work on the machine only adds")
	flag.Parse()
	runtime.GOMAXPROCS(1)
	if err := bench(*runs); err != nil {
		log.Fatal("bench-scheduler: ", err)
	}
}

// result is the last line.
type result struct {
	Place8200  float64 `json:"place_8200_ms"`
	CV8200     float64 `json:"cv_8200"`
	Place250k  float64 `json:"place_250k_s"`
	CostRatio  float64 `json:"cost_ratio_5000_to_100"`
	AllocsEach float64 `json:"allocs_per_placement"`
	AllocsMore float64 `json:"allocs_per_further_placement"`
	Unchanged  float64 `json:"unchanged_250k_ms"`
	OneMore    float64 `json:"one_app_changed_250k_ms"`
}

func bench(runs int) error {
	var r result
	if err := scenarios(runs, &r); err != nil {
		return err
	}
	fmt.Println()
	if err := clusters(runs, &r); err != nil {
		return err
	}
	fmt.Println()
	changes(runs, &r)
	return json.NewEncoder(os.Stdout).Encode(r)
}

// reference is a scenario of Diego's simulation and what it has in the log of
// Diego's own run.
type reference struct {
	name     string
	scenario simulate.Scenario
	spread   string
	took     string
}

func references() []reference {
	return []reference{
		{"8 on 4", simulate.ColdStart(8, 4), "2 each", "<1 ms"},
		{"40 on 10", simulate.ColdStart(40, 10), "4 each", "2-7 ms"},
		{"200 on 20", simulate.ColdStart(200, 20), "10 each", "8-42 ms"},
		{"800 on 40", simulate.ColdStart(800, 40), "20 each", "85-165 ms"},
		{"2,050 on 25, mixed", simulate.LargeColdStart(1), "cv 0.026-0.030", "160 ms"},
		{"8,200 on 100, mixed", simulate.LargeColdStart(4), "cv 0.028-0.029", "2,300-2,500 ms"},
		{"500 on 100, 5 empty", simulate.Imbalanced(500, 100, 5), "4-6 new a cell", "150 ms"},
		{"100 on 100, 1 empty", simulate.Imbalanced(100, 100, 1), "0-2 new a cell", "60 ms"},
		{"40 in two zones", simulate.TwoZones(), "20 a zone", "<1 ms"},
		{"one app to 80 on 10", simulate.ScaleOneApp(80, 10), "8 new a cell", "4 ms"},
		{"one app to 200 on 30", simulate.ScaleOneApp(200, 30), "6-7 new a cell", "33 ms"},
		{"one app to 400 on 100", simulate.ScaleOneApp(400, 100), "4 new a cell", "125 ms"},
		{"boulders and pebbles", simulate.BouldersAndPebbles(), "51 placed, 31 refused", "<1 ms"},
	}
}

func scenarios(runs int, r *result) error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', 0)
	fmt.Fprintln(t, "scenario\tplaced\tDiego\tours\tDiego took\tours took")
	for _, ref := range references() {
		st, took, err := try(ref.scenario, runs)
		if err != nil {
			return err
		}
		if ref.name == "8,200 on 100, mixed" {
			r.Place8200, r.CV8200 = ms(took), st.All.Memory.CV()
		}
		fmt.Fprintf(t, "%s\t%d/%d\t%s\t%s\t%s\t%.1f ms\n", ref.name, st.Placed, st.Wanted, ref.spread, spread(ref.scenario, st), ref.took, ms(took))
	}
	return t.Flush()
}

// try returns how a scenario comes out, and the shortest time of its plan.
func try(s simulate.Scenario, runs int) (simulate.Stage, time.Duration, error) {
	w, err := simulate.New(s)
	if err != nil {
		return simulate.Stage{}, 0, err
	}
	f := w.Facts()
	took, _ := plan(f, runs)
	stages, err := w.Run("", nil)
	if err != nil {
		return simulate.Stage{}, 0, err
	}
	return stages[0], took, nil
}

// spread says how many new instances the cells got, and how even memory is.
func spread(s simulate.Scenario, st simulate.Stage) string {
	had := map[string]int{}
	for _, c := range s.Cells {
		for _, run := range c.Running {
			had[c.Name] = run.Count
		}
	}
	least, most := 1<<30, 0
	for _, c := range st.Cells {
		name := c.ID
		if _, known := had[name]; !known {
			for i := len(name) - 1; i > 0; i-- { // cells of a kind are numbered
				if name[i] == '-' {
					name = name[:i]
					break
				}
			}
		}
		n := c.Used.Containers - had[name]
		least, most = min(least, n), max(most, n)
	}
	return fmt.Sprintf("%d-%d new a cell, cv %.4f", least, most, st.All.Memory.CV())
}

// clusters plans large clusters from nothing.
func clusters(runs int, r *result) error {
	t := tabwriter.NewWriter(os.Stdout, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(t, "cells\tinstances\ttook\tplacements/s\teach\tallocations each\t")
	cost := map[int]float64{}
	for _, n := range []struct{ cells, apps, each int }{{100, 5000, 10}, {1000, 5000, 10}, {5000, 5000, 10}, {5000, 25_000, 10}, {1000, 25_000, 10}, {1000, 12_500, 20}} {
		f, all := empty(n.cells, n.apps, n.each), n.apps*n.each
		if placed := len(scheduler.Plan(f).Start); placed != all {
			return fmt.Errorf("%d of %d instances were placed", placed, all)
		}
		took, mallocs := plan(f, runs)
		each, allocs := float64(took.Nanoseconds())/float64(all), float64(mallocs)/float64(all)
		fmt.Fprintf(t, "%d\t%d\t%.1f ms\t%.0f\t%.2f µs\t%.2f\t\n", n.cells, all, ms(took), 1e9/each, each/1000, allocs)
		switch {
		case n.each == 20:
			r.AllocsMore = max(0, 2*allocs-r.AllocsEach) // twice as many of half as many apps
		case all == 250_000 && n.cells == 1000:
			r.Place250k, r.AllocsEach = took.Seconds(), allocs
		case all == 50_000: // the same for each
			cost[n.cells] = each
		}
	}
	r.CostRatio = cost[5000] / cost[100]
	return t.Flush()
}

// plan returns the least processor time of a plan, and what it allocated.
func plan(f scheduler.Facts, runs int) (best time.Duration, mallocs uint64) {
	for i := range runs {
		runtime.GC()
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		start := processor()
		scheduler.Plan(f)
		took := processor() - start
		runtime.ReadMemStats(&after)
		if i == 0 || took < best {
			best = took
		}
		mallocs = after.Mallocs - before.Mallocs
	}
	return best, mallocs
}

// processor returns the processor time of this process: on a machine of its own
// that is the time that passes.
func processor() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		log.Fatal("bench-scheduler: ", err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// empty is apps to be placed on cells that run nothing.
func empty(cells, apps, each int) scheduler.Facts {
	var f scheduler.Facts
	for i := range cells {
		f.Cells = append(f.Cells, app.Cell{ID: fmt.Sprintf("cell-%05d", i), Zone: fmt.Sprint("z", i%3), State: app.CellAlive,
			Capacity: app.Resources{MemoryMB: 256 << 10, DiskMB: 1 << 20, Containers: 600, CPUMilli: 64_000}})
	}
	for i := range apps {
		f.Apps = append(f.Apps, app.App{Name: fmt.Sprintf("app-%05d", i), Instances: each, MemoryMB: 128 << (i % 3), DiskMB: 100, Revision: 1})
	}
	return f
}

// changes measures the plans of a Planner that knows 250,000 instances on 1,000
// cells, when nothing has changed and when one app has.
func changes(runs int, r *result) {
	f := empty(1000, 25_000, 10)
	d := scheduler.Plan(f)
	placed := map[string][]scheduler.Placed{}
	for i, p := range d.Start {
		p.ID = fmt.Sprint(i)
		placed[p.App] = append(placed[p.App], scheduler.Placed{Placement: p, Health: scheduler.Healthy, Busy: true})
	}
	p := scheduler.NewPlanner(f.Options, nil)
	p.SetCells(f.Cells, nil)
	for i := range f.Apps {
		p.SetApp(f.Apps[i].Name, &f.Apps[i], placed[f.Apps[i].Name])
	}
	p.Plan(nil)
	best := func(do func()) float64 {
		least := 0.0
		for i := range 10 * runs {
			start := time.Now() // too short for processor
			do()
			p.Plan(nil)
			if took := ms(time.Since(start)); i == 0 || took < least {
				least = took
			}
		}
		return least
	}
	r.Unchanged = best(func() {})
	one := f.Apps[7]
	r.OneMore = best(func() {
		one.Instances = 11 // one is missing, every time
		p.SetApp(one.Name, &one, placed[one.Name])
	})
	fmt.Printf("250,000 instances placed already: a plan takes %.3f ms when nothing has changed, %.3f ms when one app lacks an instance\n", r.Unchanged, r.OneMore)
}

func ms(d time.Duration) float64 { return float64(d.Nanoseconds()) / 1e6 }
