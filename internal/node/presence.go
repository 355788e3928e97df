package node

import (
	"context"
	"slices"
	"time"

	"lattice/app"
	"lattice/cluster"
)

// welcome reports whether the cell may take part.
func (b *brain) welcome(cell string) bool { return b.secrets.Welcome(cell) }

// cells returns the cells gossip knows, without those that are not welcome. One
// that said goodbye counts as suspect for a while: its containers run on, and
// it may be back soon.
func (b *brain) cells() ([]app.Cell, <-chan struct{}) {
	changed := b.presence.next()
	cells := cluster.Cells(b.members.Members())
	known := map[string]bool{}
	for _, c := range cells {
		known[c.ID] = true
	}
	for _, m := range b.members.Gone() {
		if !m.Left || time.Since(m.Since) > away {
			continue
		}
		for _, c := range cluster.Cells([]cluster.Member{m}) {
			if !known[c.ID] {
				known[c.ID] = true
				c.State = app.CellSuspect
				cells = append(cells, c)
			}
		}
	}
	return slices.DeleteFunc(cells, func(c app.Cell) bool { return !b.welcome(c.ID) }), changed
}

// keepPresence tells of changes in who is there and who is welcome.
func (b *brain) keepPresence(ctx context.Context) error {
	for {
		moved, changed := b.members.Changed(), b.secrets.Changed()
		b.presence.give()
		select {
		case <-ctx.Done():
			return nil
		case <-moved:
		case <-changed:
		}
	}
}
