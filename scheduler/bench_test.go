package scheduler_test

import (
	"fmt"
	"testing"

	"lattice/app"
	"lattice/scheduler"
)

func BenchmarkPlan(b *testing.B) {
	for _, n := range []struct{ cells, apps, each int }{{100, 820, 10}, {1000, 25_000, 10}, {5000, 12_500, 20}} {
		b.Run(fmt.Sprintf("%d-on-%d", n.apps*n.each, n.cells), func(b *testing.B) {
			f := empty(n.cells, n.apps, n.each)
			b.ReportAllocs()
			for b.Loop() {
				if d := scheduler.Plan(f); len(d.Start) != n.apps*n.each {
					b.Fatal(len(d.Start))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*n.apps*n.each), "ns/placement")
		})
	}
}

// empty is apps to be placed on cells that run nothing.
func empty(cells, apps, each int) scheduler.Facts {
	var f scheduler.Facts
	for i := range cells {
		f.Cells = append(f.Cells, in(cell(fmt.Sprintf("c%04d", i), 1<<20), fmt.Sprint("z", i%2)))
		f.Cells[i].Capacity.Containers = 1000
	}
	for i := range apps {
		f.Apps = append(f.Apps, app.App{Name: fmt.Sprint("app", i), Instances: each, MemoryMB: 1 << (i % 3), Revision: 1})
	}
	return f
}
