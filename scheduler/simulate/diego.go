package simulate

import (
	"fmt"
	"math/rand/v2"
)

// What follows is the scenarios of the simulation of Diego's auction. Its cells have 100 MB of
// memory and of disk and 100 containers, in two zones.

func diegoCells(name string, count, running int) Cells {
	c := Cells{Name: name, Count: count, Zones: []string{"z0", "z1"}, MemoryMB: 100, DiskMB: 100, Containers: 100, CPUs: 1}
	if running > 0 {
		c.Running = []Apps{{Count: running, MemoryMB: 1, DiskMB: 1}}
	}
	return c
}

func singles(name string, count, mb int) Apps {
	return Apps{Name: name, Count: count, MemoryMB: mb, DiskMB: 1}
}

func multiple(name string, instances, mb int) Apps {
	return Apps{Name: name, Instances: instances, MemoryMB: mb, DiskMB: 1}
}

// ColdStart is apps of one instance and empty cells.
func ColdStart(apps, cells int) Scenario {
	return Scenario{Cells: []Cells{diegoCells("c", cells, 0)}, Apps: []Apps{singles("a", apps, 1)}}
}

// LargeColdStart is 25 cells and 2,050 instances of 1, 2 and 4 MB, times so many:
// of each size one half alone, the other in four apps of as many instances as
// chance has it, which is always the same.
func LargeColdStart(times int) Scenario {
	r := rand.New(rand.NewPCG(1, 2))
	s := Scenario{Cells: []Cells{diegoCells("c", 25*times, 0)}}
	for _, kind := range []struct{ count, mb int }{{1800, 1}, {200, 2}, {50, 4}} {
		half, share := times*kind.count/2, make([]int, 4)
		for range half {
			share[r.IntN(len(share))]++
		}
		s.Apps = append(s.Apps, singles(fmt.Sprintf("single-%d", kind.mb), half, kind.mb))
		for i, n := range share {
			s.Apps = append(s.Apps, multiple(fmt.Sprintf("multiple-%d-%d", kind.mb, i), n, kind.mb))
		}
	}
	return s
}

// Imbalanced is apps of one instance and cells that have 50 instances each, but
// for some that are empty, as in a deployment.
func Imbalanced(apps, cells, empty int) Scenario {
	return Scenario{Cells: []Cells{diegoCells("full", cells-empty, 50), diegoCells("empty", empty, 0)}, Apps: []Apps{singles("new", apps, 1)}}
}

// TwoZones is an app of 40 instances, two empty cells in one zone, and one in
// another that has 50 instances already.
func TwoZones() Scenario {
	a, b := diegoCells("a", 2, 0), diegoCells("b", 1, 50)
	a.Zones, b.Zones = []string{"z0"}, []string{"z1"}
	return Scenario{Cells: []Cells{a, b}, Apps: []Apps{multiple("red", 40, 1)}}
}

// ScaleOneApp is one app and cells that are 78 to 80 % full: the Watters demo.
func ScaleOneApp(instances, cells int) Scenario {
	r := rand.New(rand.NewPCG(1, 2))
	s := Scenario{Apps: []Apps{multiple("red", instances, 1)}}
	for i := range cells {
		c := diegoCells(numbered("c", i, cells), 1, 78+r.IntN(3))
		c.Zones = c.Zones[i%2 : i%2+1]
		s.Cells = append(s.Cells, c)
	}
	return s
}

// BouldersAndPebbles is 80 instances of 1 MB and two of 50 MB, and one cell.
func BouldersAndPebbles() Scenario {
	return Scenario{Cells: []Cells{diegoCells("c", 1, 0)}, Apps: []Apps{multiple("pebble", 80, 1), multiple("boulder", 2, 50)}}
}
