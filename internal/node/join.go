package node

import (
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/cluster"
	"lattice/internal/pki"
)

// joinTimeout is how long the brain may take to answer a cell that comes up.
const joinTimeout = 5 * time.Second

// join gets the cell into its cluster: by the certificate it has from before,
// else with its join token.
func (c *cell) join(ctx context.Context) (*stay, error) {
	s, err := openStay(c.dir("join.json"))
	if err != nil {
		return nil, err
	}
	token, ca := pki.Token{}, ""
	if c.cfg.Token != "" {
		if token, err = pki.ParseToken(string(c.cfg.Token)); err != nil {
			return nil, err
		}
		ca = hex.EncodeToString(token.CA[:])
	}
	why := s.unfit(c.cfg.ID, ca)
	if why == "" {
		err := c.comeBack(ctx, s)
		if !errors.Is(err, app.ErrUnauthorized) || ca == "" {
			return s, err
		}
		why = err.Error()
		c.log.Warn("the brain does not accept this cell's certificate, joining anew with the token", "err", err)
	}
	if ca == "" {
		return nil, app.Unauthorized("%s: give it --join and --token-file with a token that `lattice token` on the brain prints", why)
	}
	return s, c.enter(ctx, s, joined{URL: "https://" + c.cfg.Join, CAHash: ca, Cell: c.cfg.ID}, token.Secret)
}

// comeBack asks the brain how things are. While it doesn't answer, what it said
// before is good enough.
func (c *cell) comeBack(ctx context.Context, s *stay) error {
	j := s.known()
	if c.cfg.Join != "" {
		j.URL = "https://" + c.cfg.Join
	}
	client, err := api.NewClient(api.ClientConfig{URL: j.URL, CAHash: j.CAHash, Certificate: s.certificate, Timeout: joinTimeout})
	if err != nil {
		return err
	}
	defer client.Close()
	enough := errors.New("enough")
	err = client.Membership(ctx, c.cfg.ID, func(m api.Membership) error {
		j.Membership = m
		return enough
	})
	switch {
	case errors.Is(err, enough):
		return s.update(func(now *joined) { *now = j })
	case errors.Is(err, app.ErrUnavailable):
		c.log.Warn("the brain does not answer, going on with what it said before", "err", err)
		return nil
	}
	return fmt.Errorf("join the cluster: %w", err)
}

// enter joins with a token, and waits for a brain that doesn't answer.
func (c *cell) enter(ctx context.Context, s *stay, j joined, token pki.Secret) error {
	client, err := api.NewClient(api.ClientConfig{URL: j.URL, Token: string(token), CAHash: j.CAHash, Timeout: joinTimeout})
	if err != nil {
		return err
	}
	defer client.Close()
	csr, key, err := pki.NewRequest(j.Cell)
	if err != nil {
		return err
	}
	for {
		reply, err := client.Join(ctx, api.JoinRequest{Cell: j.Cell, Version: c.version, CSR: string(csr)})
		switch {
		case err == nil:
			j.Certificate, j.Key, j.Membership = reply.Certificate, string(key), reply.Membership
			return s.update(func(now *joined) { *now = j })
		case !errors.Is(err, app.ErrUnavailable):
			return fmt.Errorf("join the cluster: %w", err)
		}
		c.log.Warn("the brain does not answer, will try again", "err", err)
		if !pause(ctx, time.Second+rand.N(time.Second)) {
			return ctx.Err()
		}
	}
}

// pause waits and reports whether ctx goes on.
func pause(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-t.C:
		return true
	}
}

// gossip opens the membership of a cell that joined.
func (c *cell) gossip(j joined) (*cluster.Cluster, error) {
	meta := cluster.Meta{Version: c.version}
	describe(&meta, c.cfg)
	members, err := openGossip(c.cfg.Common, c.cfg.ID, j.Ring.Keys, j.Cluster, meta, c.log)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	if err := members.Join(ctx, j.Gossip); errors.Is(err, app.ErrExists) {
		return nil, errors.Join(err, members.Close())
	} else if err != nil {
		c.log.Warn("no other node answers yet, will try again", "err", err)
	}
	return members, nil
}
