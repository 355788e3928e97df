package cluster

import (
	"cmp"
	"slices"
	"time"

	"lattice/app"
)

// A Member is a node as this node sees it.
type Member struct {
	Name    string
	Address string // "ip:port" of its gossip
	Host    string // the ip alone
	Meta    Meta
	State   app.CellState
	Since   time.Time // of State, by this node's clock
	Left    bool      // of a CellDead one: it said goodbye; false: it died
}

// Members returns the nodes that are there, this one included, by name. They
// are CellAlive or CellSuspect. CellSuspect means that this node's own probe
// failed; whether the node is dead is settled within seconds.
func (c *Cluster) Members() []Member { return c.roster.members() }

// Gone returns the nodes that left or died in the last day, the latest first;
// all are CellDead. Beyond 256 the oldest are forgotten.
func (c *Cluster) Gone() []Member { return c.roster.departed() }

// Changed returns a channel that is closed at the next change of what Members
// and Gone return. Take it before reading them, so that no change is missed.
func (c *Cluster) Changed() <-chan struct{} { return c.roster.changes() }

// Cells returns the cells among members, by ID. When two members claim one ID,
// as after a cell moved to another node, the one that is most alive counts, of
// equal ones the latest.
func Cells(members []Member) []app.Cell {
	best := map[string]Member{}
	for _, m := range members {
		if m.Meta.Cell == "" {
			continue
		}
		old, ok := best[m.Meta.Cell]
		if !ok || cmp.Or(cmp.Compare(liveliness(m), liveliness(old)), m.Since.Compare(old.Since)) > 0 {
			best[m.Meta.Cell] = m
		}
	}
	cells := make([]app.Cell, 0, len(best))
	for id, m := range best {
		cells = append(cells, app.Cell{
			ID: id, Zone: m.Meta.Zone, Labels: m.Meta.Labels, Address: m.Host,
			State: m.State, Version: m.Meta.Version, Capacity: m.Meta.Capacity, Trusting: m.Meta.Trusting, Router: m.Meta.Router,
		})
	}
	slices.SortFunc(cells, func(a, b app.Cell) int { return cmp.Compare(a.ID, b.ID) })
	return cells
}

func liveliness(m Member) int {
	return slices.Index([]app.CellState{app.CellDead, app.CellSuspect, app.CellAlive}, m.State)
}
