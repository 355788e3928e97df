package node

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"lattice/api"
	"lattice/app"
)

// keyStep is how long a step of a rotation waits for the cells. One that misses
// it gets the keys when it is back: it asks the API for them, not gossip.
const keyStep = 10 * time.Second

// keyRetry is how long after a failure to write a step it is tried again.
const keyRetry = 5 * time.Second

// confirmations are the revisions of the gossip keys that cells go by.
type confirmations struct {
	signal
	mu sync.Mutex // guards by
	by map[string]uint64
}

func (c *confirmations) note(cell string, revision uint64) {
	c.mu.Lock()
	if c.by == nil {
		c.by = map[string]uint64{}
	}
	c.by[cell] = revision
	c.mu.Unlock()
	c.give()
}

func (c *confirmations) of(cell string) uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[cell]
}

// keepKeys goes by the gossip keys, and carries on a rotation step by step,
// until ctx is done. A rotation that a former process began rests until the
// cells had time to come: one that isn't seen yet can't be waited for.
func (b *brain) keepKeys(ctx context.Context) error {
	if ring := b.secrets.Ring(); !ring.Settled() && !pause(ctx, keyStep) {
		return nil
	}
	for {
		changed := b.secrets.Changed()
		ring := b.secrets.Ring()
		if err := b.members.SetKeys(ring.Order()); err != nil {
			return err
		}
		if !ring.Settled() {
			err := b.carryOn(ctx, ring.Revision, changed)
			switch {
			case ctx.Err() != nil:
				return nil
			case err != nil:
				b.log.Error("the gossip key can't be rotated, will try again", "err", err)
				pause(ctx, keyRetry)
			}
			continue
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		}
	}
}

// carryOn takes the next step of a rotation when the cells have made this one,
// unless something else changes before that.
func (b *brain) carryOn(ctx context.Context, revision uint64, changed <-chan struct{}) error {
	limit := time.NewTimer(keyStep)
	defer limit.Stop()
	for {
		confirmed, moved := b.confirmed.next(), b.presence.next()
		missing := b.without(revision)
		if len(missing) == 0 {
			return b.step(revision)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-changed:
			return nil
		case <-limit.C:
			b.log.Warn("cells have not taken over the gossip keys in time, they will get them when they answer", "cells", missing)
			return b.step(revision)
		case <-confirmed:
		case <-moved:
		}
	}
}

// step takes the next step; that somebody else was quicker is fine.
func (b *brain) step(revision uint64) error {
	if err := b.secrets.Advance(revision); err != nil && !errors.Is(err, app.ErrConflict) {
		return err
	}
	return nil
}

// without returns the cells that are there and don't go by the keys of that
// revision yet.
func (b *brain) without(revision uint64) []string {
	cells, _ := b.cells()
	var missing []string
	for _, c := range cells {
		if c.ID != b.cell && b.confirmed.of(c.ID) < revision {
			missing = append(missing, c.ID)
		}
	}
	return missing
}

// RotateGossip returns when the new key is the only one here. If ctx ends
// before, the rotation goes on all the same.
func (t trust) RotateGossip(ctx context.Context) (api.Rotation, error) {
	began := time.Now()
	if _, err := t.b.secrets.Rotate(); err != nil {
		return api.Rotation{}, err
	}
	t.b.log.Info("rotating the gossip key")
	for {
		changed := t.b.secrets.Changed()
		if ring := t.b.secrets.Ring(); ring.Settled() {
			return t.b.rotation(ring.Revision-1, time.Since(began)), nil // the last step is nobody's to wait for
		}
		select {
		case <-ctx.Done():
			return api.Rotation{}, ctx.Err()
		case <-changed:
		}
	}
}

func (b *brain) rotation(revision uint64, took time.Duration) api.Rotation {
	r := api.Rotation{Cells: []string{}, Missing: append([]string{}, b.without(revision)...), Took: app.Duration(took.Round(time.Millisecond))}
	cells, _ := b.cells()
	for _, c := range cells {
		if !slices.Contains(r.Missing, c.ID) {
			r.Cells = append(r.Cells, c.ID)
		}
	}
	return r
}
