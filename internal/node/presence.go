package node

import (
	"context"
	"slices"
	"time"

	"lattice/app"
	"lattice/cluster"
)

// doubt is how long a node that gossip calls dead may take to object. One that
// was itself cut off calls the others dead when it is back; they hear of it and
// refute it within milliseconds, and nothing of theirs must have been moved.
const doubt = 500 * time.Millisecond

// welcome reports whether the cell may take part.
func (b *brain) welcome(cell string) bool { return b.secrets.Welcome(cell) }

// cells returns the cells gossip knows, without those that are not welcome. One
// that said goodbye counts as suspect for a while: its containers run on, and
// it may be back soon. So does one that is called dead, until its time to object
// is over.
func (b *brain) cells() ([]app.Cell, <-chan struct{}) {
	changed := b.presence.next()
	cells := cluster.Cells(b.members.Members())
	known := map[string]bool{}
	for _, c := range cells {
		known[c.ID] = true
	}
	for _, m := range b.members.Gone() {
		if time.Since(m.Since) > patience(m) {
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
	if b.crowd != nil {
		more, _ := b.crowd()
		cells = append(cells, more...)
	}
	return slices.DeleteFunc(cells, func(c app.Cell) bool { return !b.welcome(c.ID) }), changed
}

// patience returns how long a node that is gone counts as suspect.
func patience(m cluster.Member) time.Duration {
	if m.Left {
		return away
	}
	return doubt
}

// keepPresence tells of changes in who is there and who is welcome.
func (b *brain) keepPresence(ctx context.Context) error {
	for {
		moved, changed := b.members.Changed(), b.secrets.Changed()
		var crowd <-chan struct{}
		if b.crowd != nil {
			_, crowd = b.crowd()
		}
		b.presence.give()
		select {
		case <-ctx.Done():
			return nil
		case <-moved:
		case <-crowd:
		case <-changed:
		case <-b.lost():
		}
	}
}

// lost fires when the patience with a node that is gone has come to its end.
func (b *brain) lost() <-chan time.Time {
	var next <-chan time.Time
	soonest := away
	for _, m := range b.members.Gone() {
		if left := patience(m) - time.Since(m.Since); left > 0 && left <= soonest {
			soonest = left
			next = time.After(left)
		}
	}
	return next
}
