package node

import (
	"context"
	"errors"
	"math/rand/v2"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/cluster"
	"lattice/internal/pki"
)

const (
	lookUp    = time.Hour              // a sleeping machine's timers are late
	renewSoon = 200 * time.Millisecond // after a failure, at the least
	renewLate = time.Minute            // and at the most

	followSoon = 100 * time.Millisecond // after the brain was lost; doubles
	followLate = 3 * time.Second
)

// renew gets the cell a new certificate whenever two thirds of the life of the
// one it has are over, until ctx is done.
func (c *cell) renew(ctx context.Context) error {
	for {
		cert := c.stay.certificate().Leaf
		left := time.Until(pki.RenewAt(cert))
		if left > 0 {
			if !pause(ctx, min(left, lookUp)) {
				return nil
			}
			continue
		}
		err := c.renewNow(ctx)
		switch {
		case ctx.Err() != nil:
			return nil
		case err == nil:
			c.log.Info("got a new certificate", "until", c.stay.certificate().Leaf.NotAfter)
		case time.Now().After(cert.NotAfter):
			c.log.Error("this cell's certificate has run out: start it again with a fresh join token", "err", err)
		default:
			c.log.Warn("no new certificate yet, will try again", "err", err, "until", cert.NotAfter)
		}
		// Also after a success, lest a clock that is wrong make this loop hot.
		wait := min(max(cert.NotAfter.Sub(pki.RenewAt(cert))/10, renewSoon), renewLate)
		if !pause(ctx, wait/2+rand.N(wait/2)) {
			return nil
		}
	}
}

func (c *cell) renewNow(ctx context.Context) error {
	csr, key, err := pki.NewRequest(c.cfg.ID)
	if err != nil {
		return err
	}
	cert, err := c.client.Renew(ctx, c.cfg.ID, csr)
	if err != nil {
		return err
	}
	return c.stay.update(func(j *joined) { j.Certificate, j.Key = string(cert), string(key) })
}

// follow goes by what the brain says of gossip, and tells it so, until ctx is
// done.
func (c *cell) follow(ctx context.Context, members *cluster.Cluster) error {
	wait, out := followSoon, false
	for {
		err := c.client.Membership(ctx, c.cfg.ID, func(m api.Membership) error {
			wait, out = followSoon, false
			return c.adopt(ctx, members, m)
		})
		switch {
		case ctx.Err() != nil:
			return nil
		case errors.Is(err, app.ErrUnauthorized) && !out:
			c.log.Error("this cell is out of the cluster; what it runs goes on here until `lattice down`, without routes", "err", err)
			out = true
		default:
			c.log.Debug("lost the brain's word on gossip", "err", err)
		}
		if !pause(ctx, wait/2+rand.N(wait)) {
			return nil
		}
		wait = min(2*wait, followLate)
	}
}

// adopt has the keys on disk before it tells the brain that they are in use.
func (c *cell) adopt(ctx context.Context, members *cluster.Cluster, m api.Membership) error {
	if err := members.SetKeys(m.Ring.Keys); err != nil {
		return err
	}
	if err := c.stay.update(func(j *joined) { j.Membership = m }); err != nil {
		return err
	}
	return c.client.Confirm(ctx, c.cfg.ID, m.Ring.Revision)
}
