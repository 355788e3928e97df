package cluster

import (
	"context"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"lattice/app"
)

const (
	reuniteEvery = time.Second      // at first, and whenever somebody is lost
	reuniteMax   = 10 * time.Second // when nobody answers
)

// reunite looks for lost nodes until ctx is done: memberlist itself gives a dead
// node up after half a minute, so that two halves of a split network would
// never meet again.
func (c *Cluster) reunite(ctx context.Context) {
	pause := reuniteEvery
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.roster.wake:
			pause = reuniteEvery
		case <-time.After(jitter(pause)):
		}
		addrs := c.wanted()
		if len(addrs) == 0 {
			continue
		}
		if err := c.contact(ctx, addrs); err != nil {
			c.log.Debug("no lost node answers yet", "err", err)
			pause = min(2*pause, reuniteMax)
			continue
		}
		pause = reuniteEvery
	}
}

// wanted returns the addresses to try now: of a node that said it moved, at
// once; when alone, all that are known; else now and then one of a node that
// died, such that all nodes together try each dead one about once a round.
func (c *Cluster) wanted() []string {
	died, claimed := c.roster.lost()
	others := len(c.roster.others())
	switch {
	case others == 0:
		return unique(append(claimed, c.roster.peers()...))
	case len(died) > 0 && rand.IntN(others+1) < len(died):
		return unique(append(claimed, died[rand.IntN(len(died))]))
	}
	return unique(claimed)
}

// doubt asks suspect members again until ctx is done, because memberlist tells
// nobody that a suspicion is over. One that lasted longer than memberlist takes
// to declare a node dead has been refuted by others.
func (c *Cluster) doubt(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case <-c.roster.unsure:
		}
		for c.doubted(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-time.After(probeEvery):
			}
		}
	}
}

// doubted asks each suspect member once and reports whether there was one.
func (c *Cluster) doubted(ctx context.Context) bool {
	others := c.roster.others()
	limit := suspicionLimit(len(others) + 1)
	doubts := false
	for _, m := range others {
		if m.State != app.CellSuspect || ctx.Err() != nil {
			continue
		}
		doubts = true
		if time.Since(m.Since) > limit || c.alive(m.Name, m.Address) {
			c.roster.heard(m.Name)
		}
	}
	return doubts
}

// suspicionLimit is the longest that memberlist suspects a node, and a second.
func suspicionLimit(nodes int) time.Duration {
	scale := max(1, math.Log10(float64(nodes)))
	return time.Duration(suspicionMult*suspicionMax*scale*float64(probeEvery)) + time.Second
}

// announce logs who comes and goes and hands out the addresses worth
// remembering, until ctx is done.
func (c *Cluster) announce(ctx context.Context) {
	var saved []string
	before := map[string]app.CellState{c.name: app.CellAlive}
	for {
		changed := c.Changed()
		before = c.logChanges(before)
		if peers := c.roster.peers(); c.savePeers != nil && !slices.Equal(peers, saved) {
			if err := c.savePeers(peers); err != nil {
				c.log.Warn("addresses of the other nodes can't be saved; after a restart they may not be found", "err", err)
			}
			saved = peers
		}
		select {
		case <-ctx.Done():
			return
		case <-changed:
		}
	}
}

func (c *Cluster) logChanges(before map[string]app.CellState) map[string]app.CellState {
	now := map[string]app.CellState{}
	for _, m := range c.Members() {
		now[m.Name] = m.State
		switch was := before[m.Name]; {
		case was == "":
			c.log.Info("node joined", "host", m.Name, "addr", m.Address)
		case was != m.State && m.State == app.CellSuspect:
			c.log.Warn("node doesn't answer", "host", m.Name, "addr", m.Address)
		case was != m.State:
			c.log.Info("node answers again", "host", m.Name, "addr", m.Address)
		}
	}
	for _, m := range c.Gone() {
		switch {
		case before[m.Name] == "":
		case m.Left:
			c.log.Info("node left", "host", m.Name, "addr", m.Address)
		default:
			c.log.Warn("node died", "host", m.Name, "addr", m.Address)
		}
	}
	return now
}

// jitter returns d, give or take half of it, so that nodes don't act in step.
func jitter(d time.Duration) time.Duration {
	return d/2 + rand.N(d)
}
