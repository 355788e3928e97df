// Package simulate tries scheduler.Plan on clusters that don't exist: what
// would go where, what would fit if a cell or a zone died, how a rolling upgrade
// of all cells goes. Instances are healthy as soon as they are placed; nothing
// runs and no time passes.
package simulate

import (
	"cmp"
	"fmt"
	"slices"

	"lattice/app"
	"lattice/scheduler"
)

// Bounds of a scenario, so that one from elsewhere can't fill the memory.
const (
	maxCells     = 20_000
	maxInstances = 1_000_000
	maxEvents    = 1000
)

// A Scenario says what to try.
type Scenario struct {
	Name             string  `json:"name,omitempty" yaml:"name,omitempty"`
	Placement        string  `json:"placement,omitempty" yaml:"placement,omitempty"` // spread or pack; empty: spread
	MaxStarts        int     `json:"max_starts,omitempty" yaml:"max_starts,omitempty"`
	MaxStartsPerCell int     `json:"max_starts_per_cell,omitempty" yaml:"max_starts_per_cell,omitempty"`
	Cells            []Cells `json:"cells,omitempty" yaml:"cells,omitempty"`
	Apps             []Apps  `json:"apps,omitempty" yaml:"apps,omitempty"`
	Tasks            []Apps  `json:"tasks,omitempty" yaml:"tasks,omitempty"` // Instances counts nothing
	Events           []Event `json:"events,omitempty" yaml:"events,omitempty"`
}

// Cells are some cells that are alike.
type Cells struct {
	Name       string            `json:"name,omitempty" yaml:"name,omitempty"`             // empty: cell; of several, numbers are appended
	Count      int               `json:"count,omitempty" yaml:"count,omitempty"`           // 0: 1
	Zones      []string          `json:"zones,omitempty" yaml:"zones,omitempty"`           // in turns; empty: z1
	MemoryMB   int               `json:"memory_mb" yaml:"memory_mb"`                       // of each
	DiskMB     int               `json:"disk_mb,omitempty" yaml:"disk_mb,omitempty"`       // 0: 10 times the memory
	CPUs       int               `json:"cpus,omitempty" yaml:"cpus,omitempty"`             // 0: one for each 4 GiB
	Containers int               `json:"containers,omitempty" yaml:"containers,omitempty"` // 0: 250
	Labels     map[string]string `json:"labels,omitempty" yaml:"labels,omitempty"`
	Running    []Apps            `json:"running,omitempty" yaml:"running,omitempty"` // what each of them runs already
}

// Apps are some apps that are alike.
type Apps struct {
	Name      string  `json:"name,omitempty" yaml:"name,omitempty"` // of several, numbers are appended
	Count     int     `json:"count,omitempty" yaml:"count,omitempty"`
	Instances int     `json:"instances,omitempty" yaml:"instances,omitempty"` // of each; 0: 1
	MemoryMB  int     `json:"memory_mb,omitempty" yaml:"memory_mb,omitempty"`
	DiskMB    int     `json:"disk_mb,omitempty" yaml:"disk_mb,omitempty"`
	CPUs      float64 `json:"cpus,omitempty" yaml:"cpus,omitempty"` // that cells keep free for it
	Rules     Rules   `json:"rules,omitempty" yaml:"rules,omitempty"`
}

// Rules is app.Rules.
type Rules struct {
	Require    map[string]string `json:"require,omitempty" yaml:"require,omitempty"`
	Prefer     map[string]string `json:"prefer,omitempty" yaml:"prefer,omitempty"`
	Zones      []string          `json:"zones,omitempty" yaml:"zones,omitempty"`
	Avoid      []string          `json:"avoid,omitempty" yaml:"avoid,omitempty"`
	OnePerCell bool              `json:"one_per_cell,omitempty" yaml:"one_per_cell,omitempty"`
}

// An Event is one thing that happens when all before it has settled. Exactly
// one field is set.
type Event struct {
	LoseCell   string `json:"lose_cell,omitempty" yaml:"lose_cell,omitempty"`
	LoseZone   string `json:"lose_zone,omitempty" yaml:"lose_zone,omitempty"`
	Return     bool   `json:"return,omitempty" yaml:"return,omitempty"`   // all that were lost come back, empty
	Upgrade    bool   `json:"upgrade,omitempty" yaml:"upgrade,omitempty"` // cell after cell is drained, goes, and comes back
	Rebalance  bool   `json:"rebalance,omitempty" yaml:"rebalance,omitempty"`
	AddCells   *Cells `json:"add_cells,omitempty" yaml:"add_cells,omitempty"`
	AddApps    *Apps  `json:"add_apps,omitempty" yaml:"add_apps,omitempty"`
	AddTasks   *Apps  `json:"add_tasks,omitempty" yaml:"add_tasks,omitempty"`
	Scale      *Scale `json:"scale,omitempty" yaml:"scale,omitempty"`
	RemoveApps string `json:"remove_apps,omitempty" yaml:"remove_apps,omitempty"` // one name, or what names begin with and *
}

// Scale sets the number of an app's instances.
type Scale struct {
	App       string `json:"app" yaml:"app"` // as Event.RemoveApps
	Instances int    `json:"instances" yaml:"instances"`
}

func (e Event) String() string {
	switch {
	case e.LoseCell != "":
		return "lose cell " + e.LoseCell
	case e.LoseZone != "":
		return "lose zone " + e.LoseZone
	case e.Return:
		return "the lost cells come back"
	case e.Upgrade:
		return "upgrade all cells, one by one"
	case e.Rebalance:
		return "rebalance"
	case e.AddCells != nil:
		return fmt.Sprintf("add %d cells", max(1, e.AddCells.Count))
	case e.AddApps != nil:
		return fmt.Sprintf("add %d apps", max(1, e.AddApps.Count))
	case e.AddTasks != nil:
		return fmt.Sprintf("add %d tasks", max(1, e.AddTasks.Count))
	case e.Scale != nil:
		return fmt.Sprintf("scale %s to %d", e.Scale.App, e.Scale.Instances)
	case e.RemoveApps != "":
		return "remove " + e.RemoveApps
	}
	return "nothing"
}

// Validate returns nil if s can be tried, else app.ErrInvalid.
func (s Scenario) Validate() error {
	cells, instances := 0, 0
	for _, c := range s.Cells {
		cells += max(1, c.Count)
		for _, r := range c.Running {
			instances += max(1, c.Count) * max(1, r.Count) * max(1, r.Instances)
		}
		if c.Count < 0 || c.MemoryMB < 0 || c.DiskMB < 0 || c.CPUs < 0 || c.Containers < 0 || c.Count > maxCells {
			return app.Invalid("cells %q: no number can be below 0, and at most %d cells are possible", cmp.Or(c.Name, "cell"), maxCells)
		}
	}
	for _, a := range slices.Concat(s.Apps, s.Tasks) {
		instances += max(1, a.Count) * max(1, a.Instances)
		if a.Count < 0 || a.Instances < 0 || a.MemoryMB < 0 || a.DiskMB < 0 || a.CPUs < 0 || a.Count > maxInstances || a.Instances > maxInstances {
			return app.Invalid("app %q: no number can be below 0 or very large", cmp.Or(a.Name, "app"))
		}
	}
	switch {
	case s.Placement != "" && s.Placement != "spread" && s.Placement != "pack":
		return app.Invalid("placement %q: it is spread or pack", s.Placement)
	case cells > maxCells:
		return app.Invalid("%d cells: at most %d are possible", cells, maxCells)
	case instances > maxInstances:
		return app.Invalid("%d instances: at most %d are possible", instances, maxInstances)
	case len(s.Events) > maxEvents:
		return app.Invalid("%d events: at most %d are possible", len(s.Events), maxEvents)
	}
	for i, e := range s.Events {
		if e == (Event{}) {
			return app.Invalid("event %d says nothing: name one of lose_cell, lose_zone, return, upgrade, rebalance, add_cells, add_apps, add_tasks, scale, remove_apps", i+1)
		}
	}
	return nil
}

// Options are those of the scheduler.
func (s Scenario) Options() scheduler.Options {
	return scheduler.Options{Pack: s.Placement == "pack", MaxStarts: s.MaxStarts, MaxStartsPerCell: s.MaxStartsPerCell}
}

// list returns the cells, without what they run.
func (c Cells) list() []app.Cell {
	const mbPerCPU = 4096
	var all []app.Cell
	for i := range max(1, c.Count) {
		zone := "z1"
		if len(c.Zones) > 0 {
			zone = c.Zones[i%len(c.Zones)]
		}
		all = append(all, app.Cell{
			ID: numbered(cmp.Or(c.Name, "cell"), i, c.Count), Zone: zone, Labels: c.Labels, State: app.CellAlive,
			Capacity: app.Resources{
				MemoryMB: c.MemoryMB, DiskMB: cmp.Or(c.DiskMB, 10*c.MemoryMB), Containers: cmp.Or(c.Containers, 250),
				CPUMilli: 1000 * cmp.Or(c.CPUs, max(1, c.MemoryMB/mbPerCPU)),
			},
		})
	}
	return all
}

// list returns the apps.
func (a Apps) list(name string) []app.App {
	var all []app.App
	for i := range max(1, a.Count) {
		all = append(all, app.App{
			Name: numbered(cmp.Or(a.Name, name), i, a.Count), Instances: max(1, a.Instances), MemoryMB: a.MemoryMB, DiskMB: a.DiskMB,
			CPUMilli: int(a.CPUs*1000 + 0.5), Rules: app.Rules(a.Rules), Revision: 1,
		})
	}
	return all
}

// numbered returns names whose order is that of their numbers.
func numbered(name string, i, of int) string {
	if of < 2 {
		return name
	}
	return fmt.Sprintf("%s-%0*d", name, len(fmt.Sprint(of-1)), i)
}
