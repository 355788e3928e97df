package simulate_test

import (
	"encoding/xml"
	"errors"
	"io"
	"slices"
	"strings"
	"testing"

	"lattice/app"
	"lattice/scheduler"
	"lattice/scheduler/simulate"
)

// run tries a scenario and returns the stages.
func run(t *testing.T, s simulate.Scenario) []simulate.Stage {
	t.Helper()
	w, err := simulate.New(s)
	if err != nil {
		t.Fatal(err)
	}
	stages, err := w.Run("placed", s.Events)
	if err != nil {
		t.Fatal(err)
	}
	for _, st := range stages {
		t.Logf("%s: %s; memory %.3f to %.3f, stddev/mean %.4f", st.Event, st.Summary(), st.All.Memory.Min, st.All.Memory.Max, st.All.Memory.CV())
		for _, c := range st.Cells {
			u, of := c.Used, c.Capacity
			if u.MemoryMB > of.MemoryMB || u.DiskMB > of.DiskMB || u.CPUMilli > of.CPUMilli || u.Containers > of.Containers {
				t.Errorf("%s: %s is overbooked: %+v of %+v", st.Event, c.ID, u, of)
			}
		}
		if st.Below > 0 {
			t.Errorf("%s: apps had fewer instances than wanted %d times", st.Event, st.Below)
		}
	}
	return stages
}

// fresh returns how many containers each cell got beside what it had.
func fresh(st simulate.Stage, had func(id string) int) (least, most int) {
	least = 1 << 30
	for _, c := range st.Cells {
		n := c.Used.Containers - had(c.ID)
		least, most = min(least, n), max(most, n)
	}
	return least, most
}

func nothing(string) int { return 0 }

// TestColdStarts has Diego's small ones: its bar is at most 1 from the mean, and
// its result exactly even.
func TestColdStarts(t *testing.T) {
	for _, n := range [][2]int{{8, 4}, {40, 10}, {200, 20}, {800, 40}} {
		st := run(t, simulate.ColdStart(n[0], n[1]))[0]
		if least, most := fresh(st, nothing); least != most || !st.Fits() {
			t.Errorf("%d on %d: got %d to %d a cell, want exactly even", n[0], n[1], least, most)
		}
	}
}

// TestLargeColdStarts: Diego's result is 91 to 100 MB a cell, stddev/mean 0.026
// to 0.030 and 0.028 to 0.029; its bar at most 10 from the mean.
func TestLargeColdStarts(t *testing.T) {
	for times, bar := range map[int]float64{1: 0.030, 4: 0.028} {
		st := run(t, simulate.LargeColdStart(times))[0]
		if cv := st.All.Memory.CV(); !st.Fits() || cv > bar {
			t.Errorf("%d on %d: stddev/mean is %.4f, %s", 2050*times, 25*times, cv, st.Summary())
		}
	}
}

// TestImbalanced: cells that run 50 instances and some that run none, as after a
// deployment. What is new must not all go to the empty ones. Diego: 4 to 6 new
// ones a cell, and 0 to 2.
func TestImbalanced(t *testing.T) {
	for _, n := range []struct{ empty, apps, least, most int }{{5, 500, 4, 6}, {1, 100, 0, 2}} {
		st := run(t, simulate.Imbalanced(n.apps, 100, n.empty))[0]
		least, most := fresh(st, func(id string) int {
			if strings.HasPrefix(id, "full") {
				return 50
			}
			return 0
		})
		if least < n.least || most > n.most || !st.Fits() {
			t.Errorf("%d on 100 with %d empty: got %d to %d new ones a cell, want %d to %d", n.apps, n.empty, least, most, n.least, n.most)
		}
	}
}

// TestZonesAreEven: two cells in one zone, and one, with 50 instances already,
// in the other. Diego: 20 new ones in each zone.
func TestZonesAreEven(t *testing.T) {
	st := run(t, simulate.TwoZones())[0]
	if got := []int{st.Cells[0].Used.Containers, st.Cells[1].Used.Containers, st.Cells[2].Used.Containers}; !slices.Equal(got, []int{10, 10, 70}) {
		t.Errorf("got %v containers, want 10, 10, and 50+20", got)
	}
}

// TestScaleOneApp is Diego's Watters demo: one app on cells that are 78 to 80 %
// full. Diego: 8 to 8, 6 to 7, 4 to 4 new ones a cell.
func TestScaleOneApp(t *testing.T) {
	for _, n := range []struct{ cells, instances, least, most int }{{4, 20, 5, 5}, {10, 80, 8, 8}, {30, 200, 6, 7}, {100, 400, 4, 4}} {
		s, had := simulate.ScaleOneApp(n.instances, n.cells), map[string]int{}
		for _, c := range s.Cells {
			had[c.Name] = c.Running[0].Count
		}
		st := run(t, s)[0]
		if least, most := fresh(st, func(id string) int { return had[id] }); least < n.least || most > n.most || !st.Fits() {
			t.Errorf("%d on %d: got %d to %d new ones a cell, want %d to %d", n.instances, n.cells, least, most, n.least, n.most)
		}
	}
}

// TestBouldersBeforePebbles: 80 of 1 MB and 2 of 50 MB into 100 MB. Diego: 51
// are placed, a boulder among them.
func TestBouldersBeforePebbles(t *testing.T) {
	st := run(t, simulate.BouldersAndPebbles())[0]
	// The second boulder finds a pebble there: first instances come first.
	if used := st.Cells[0].Used; st.Placed != 51 || used.MemoryMB != 100 || st.Refused[0] != (simulate.Refused{App: "boulder", Count: 1, Reason: "needs 50 MiB memory and 1 MiB disk; c has 0 MiB memory free"}) {
		t.Errorf("got %d placed in %d MB, refused %+v", st.Placed, used.MemoryMB, st.Refused)
	}
}

// TestPack: cells are full from the first on, zones are within 1, and instances
// of one app are spread all the same.
func TestPack(t *testing.T) {
	st := run(t, packed(simulate.ColdStart(790, 40)))[0]
	for i := 2; i < len(st.Cells); i++ {
		if st.Cells[i].Used.Containers > st.Cells[i-2].Used.Containers { // the one before in its zone
			t.Errorf("cell %d has more than the one before", i)
		}
	}
	if d := st.Zones["z0"].Instances - st.Zones["z1"].Instances; d < -1 || d > 1 {
		t.Errorf("zones have %d and %d", st.Zones["z0"].Instances, st.Zones["z1"].Instances)
	}
	if st.Cells[0].Used.Containers != 100 || st.Cells[8].Used.Containers != 0 {
		t.Errorf("cells are not packed: %+v", st.Cells)
	}
	st = run(t, packed(simulate.Scenario{Cells: simulate.ColdStart(0, 40).Cells, Apps: []simulate.Apps{{Name: "a", Instances: 80, MemoryMB: 1}}}))[0]
	if least, most := fresh(st, nothing); least != 2 || most != 2 {
		t.Errorf("one app: %d to %d a cell, want 2", least, most)
	}
}

func packed(s simulate.Scenario) simulate.Scenario {
	s.Placement = "pack"
	return s
}

// cluster are apps of all sizes that fill memory to two thirds.
func cluster(cells int, events ...simulate.Event) simulate.Scenario {
	return simulate.Scenario{
		Cells: []simulate.Cells{{Name: "c", Count: cells, Zones: []string{"z1", "z2", "z3"}, MemoryMB: 32 << 10, CPUs: 16}},
		Apps: []simulate.Apps{
			{Name: "small", Count: cells, Instances: 20, MemoryMB: 256}, {Name: "medium", Count: cells, Instances: 6, MemoryMB: 1024, CPUs: 0.5},
			{Name: "large", Count: cells, Instances: 2, MemoryMB: 4096, CPUs: 2}, {Name: "agent", Instances: cells, MemoryMB: 128, Rules: simulate.Rules{OnePerCell: true}},
		},
		Tasks:  []simulate.Apps{{Name: "job", Count: 2 * cells, MemoryMB: 512}},
		Events: events,
	}
}

func TestLossOfCellAndZone(t *testing.T) {
	s := cluster(12, simulate.Event{LoseCell: "c-03"}, simulate.Event{Return: true}, simulate.Event{Rebalance: true}, simulate.Event{LoseZone: "z2"}, simulate.Event{Return: true})
	stages := run(t, s)
	if !stages[0].Fits() || stages[0].All.Memory.CV() > 0.02 {
		t.Errorf("at first: %s, stddev/mean %.4f", stages[0].Summary(), stages[0].All.Memory.CV())
	}
	lost := stages[1]
	if len(lost.Refused) != 1 || lost.Refused[0].App != "agent" || lost.Refused[0].Count != 1 || lost.All.Memory.CV() > 0.1 { // its zone has more to carry
		t.Errorf("without a cell: %+v; only one agent has no cell of its own then", lost.Refused)
	}
	if back := stages[2]; !back.Fits() || back.Stopped > 0 {
		t.Errorf("the cell is back: %s; only the agent moves there by itself", back.Summary())
	}
	if even := stages[3]; even.All.Memory.CV() > 0.03 || even.Started == 0 {
		t.Errorf("rebalanced: %s, stddev/mean %.4f", even.Summary(), even.All.Memory.CV())
	}
	if zone := stages[4]; zone.Refused == nil || zone.All.Memory.CV() > 0.03 || zone.Zones["z2"].Cells > 0 {
		t.Errorf("without a zone: %s, stddev/mean %.4f", zone.Summary(), zone.All.Memory.CV())
	}
	if last := stages[5]; !last.Fits() {
		t.Errorf("all back: %s", last.Summary())
	}
}

func TestHeterogeneousCells(t *testing.T) {
	st := run(t, simulate.Scenario{
		Cells: []simulate.Cells{
			{Name: "big", Count: 4, Zones: []string{"z1", "z2"}, MemoryMB: 64 << 10}, {Name: "mid", Count: 8, Zones: []string{"z1", "z2"}, MemoryMB: 16 << 10},
			{Name: "tiny", Count: 8, Zones: []string{"z1", "z2"}, MemoryMB: 4 << 10},
		},
		Apps: []simulate.Apps{{Name: "a", Count: 600, MemoryMB: 512}},
	})[0]
	if !st.Fits() || st.All.Memory.Max-st.All.Memory.Min > 0.2 {
		t.Errorf("cells are %.2f to %.2f full: %s", st.All.Memory.Min, st.All.Memory.Max, st.Summary())
	}
}

// TestRollingUpgrade empties each cell once; nothing is ever short.
func TestRollingUpgrade(t *testing.T) {
	s := cluster(9, simulate.Event{Upgrade: true})
	s.Apps = s.Apps[:3] // what must be on each cell can't leave one
	st := run(t, s)[1]
	if !st.Fits() || st.Placed != st.Wanted || st.Started < st.Wanted-st.Wanted/9 {
		t.Errorf("upgraded: %s", st.Summary())
	}
	s = cluster(9, simulate.Event{Upgrade: true})
	if st := run(t, s)[1]; len(st.Stuck) != 9 || st.Placed != st.Wanted {
		t.Errorf("with agents on all cells %d are stuck, want 9: %s", len(st.Stuck), st.Summary())
	}
}

func TestThousandCells(t *testing.T) {
	s := cluster(1000, simulate.Event{LoseCell: "c-500"})
	stages := run(t, s)
	if st := stages[0]; !st.Fits() || st.All.Memory.CV() > 0.02 || st.Placed != 29_000 {
		t.Errorf("%s, stddev/mean %.4f", st.Summary(), st.All.Memory.CV())
	}
}

func TestMixedTasks(t *testing.T) {
	st := run(t, simulate.Scenario{
		Cells: []simulate.Cells{{Name: "c", Count: 10, Zones: []string{"z1", "z2"}, MemoryMB: 2048, CPUs: 4}},
		Apps:  []simulate.Apps{{Name: "web", Count: 10, Instances: 4, MemoryMB: 256}},
		Tasks: []simulate.Apps{{Name: "build", Count: 30, MemoryMB: 512, CPUs: 1}},
	})[0]
	// 10 first instances, then the tasks, take 17,920 of 20,480 MiB; then 256 at a time fit.
	if st.Tasks != 30 || st.Placed < 18 || len(st.Refused) == 0 || st.Refused[0].Task != "" {
		t.Errorf("%s, refused %+v", st.Summary(), st.Refused)
	}
}

func TestWouldItFitIfACellDied(t *testing.T) {
	cell := func(id string) app.Cell {
		return app.Cell{ID: id, Zone: "z1", State: app.CellAlive, Capacity: app.Resources{MemoryMB: 1024, DiskMB: 1024, Containers: 10}}
	}
	status := app.Status{App: app.App{Name: "web", Instances: 3, MemoryMB: 512, Revision: 1}, Instances: []app.Instance{
		{ID: "1", App: "web", Index: 0, Cell: "a"}, {ID: "2", App: "web", Index: 1, Cell: "b"}, {ID: "3", App: "web", Index: 2, Cell: "a"},
	}}
	w := simulate.Live([]app.Cell{cell("a"), cell("b")}, []app.Status{status}, nil, scheduler.Options{})
	stages, err := w.Run("as it is", []simulate.Event{{LoseCell: "a"}})
	if err != nil || stages[0].Started > 0 || !stages[0].Fits() {
		t.Fatalf("as it is: %v, %s", err, stages[0].Summary())
	}
	if st := stages[1]; st.Placed != 2 || st.Started != 1 || len(st.Refused) != 1 || st.Refused[0].Count != 1 {
		t.Errorf("without a: %s, %+v", st.Summary(), st.Refused)
	}
	if _, err := w.Run("", []simulate.Event{{LoseCell: "x"}}); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("loss of no cell: %v", err)
	}
}

func TestBadScenarios(t *testing.T) {
	for _, s := range []simulate.Scenario{
		{Placement: "heap"}, {Cells: []simulate.Cells{{Count: 1 << 20}}}, {Apps: []simulate.Apps{{Instances: -1}}}, {Events: []simulate.Event{{}}},
		{Cells: []simulate.Cells{{Name: "c"}, {Name: "c"}}}, {Apps: []simulate.Apps{{Name: "a"}, {Name: "a"}}}, {Apps: []simulate.Apps{{Count: 1000, Instances: 100_000}}},
	} {
		if _, err := simulate.New(s); !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%+v: got %v, want ErrInvalid", s, err)
		}
	}
}

func TestSVGIsXML(t *testing.T) {
	var b strings.Builder
	if err := simulate.WriteSVG(&b, "a & b", run(t, cluster(6, simulate.Event{LoseZone: "z1"}))); err != nil {
		t.Fatal(err)
	}
	rects := 0
	for d := xml.NewDecoder(strings.NewReader(b.String())); ; {
		tok, err := d.Token()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		if e, ok := tok.(xml.StartElement); ok && e.Name.Local == "g" {
			rects++
		}
	}
	if rects != 6+4 {
		t.Errorf("%d cells are drawn, want 10", rects)
	}
}
