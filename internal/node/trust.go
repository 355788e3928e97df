package node

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/internal/pki"
	"lattice/scheduler"
)

// auth is api.Auth.
type auth struct{ secrets *pki.Secrets }

func (a auth) Role(token string) (api.Role, error) {
	switch role, err := a.secrets.Role(token); {
	case err != nil:
		return "", err
	case role == pki.RoleAdmin:
		return api.RoleUser, nil
	}
	return api.RoleJoin, nil
}

func (a auth) Cell(cert *x509.Certificate) (string, context.Context, error) {
	return a.secrets.Cell(cert)
}

// admitted is api.Cells: the scheduler's cells, of which only those are heard
// that are welcome.
type admitted struct {
	*scheduler.Scheduler
	b *brain
}

// Report takes a report that overtakes the news that its cell is put out back
// again; else what the cell runs would be shown for ever.
func (a admitted) Report(r app.Report) error {
	err := a.Scheduler.Report(r)
	if err == nil && !a.b.welcome(r.Cell) {
		err = a.Scheduler.Report(app.Report{Cell: r.Cell})
	}
	return err
}

// trust is api.Trust.
type trust struct{ b *brain }

// gossipHints is how many addresses of members a cell is told.
const gossipHints = 5

func (t trust) Join(r api.JoinRequest) (api.JoinReply, error) {
	if err := t.b.vacant(r.Cell, r.Addr); err != nil {
		return api.JoinReply{}, err
	}
	cert, err := t.b.secrets.Join(t.b.ca, r.Token, r.Cell, []byte(r.CSR), t.b.cfg.CertificateLife)
	if err != nil {
		return api.JoinReply{}, err
	}
	t.b.log.Info("cell joined", "cell", r.Cell, "addr", r.Addr)
	return api.JoinReply{Certificate: string(cert), Membership: t.b.membership()}, nil
}

// vacant refuses a cell that asks from addr for the ID of another one that is
// alive: a join token is no leave to step into another cell's shoes.
func (b *brain) vacant(id, addr string) error {
	if id == b.cell {
		return app.Invalid("%s is the cell in the brain's own process: give this one another --cell-id", id)
	}
	cells, _ := b.cells()
	for _, c := range cells {
		if c.ID == id && c.State == app.CellAlive && c.Address != addr {
			return app.Invalid("a cell %s is alive at %s already: give this one another --cell-id, or stop the other one first", id, c.Address)
		}
	}
	return nil
}

func (t trust) Renew(cell string, csr []byte) ([]byte, error) {
	return t.b.secrets.Renew(t.b.ca, cell, csr, t.b.cfg.CertificateLife)
}

func (t trust) Membership(cell string) (api.Membership, error) {
	if !t.b.welcome(cell) {
		return api.Membership{}, app.Unauthorized("the cell %s is not in the cluster any more", cell)
	}
	return t.b.membership(), nil
}

func (b *brain) membership() api.Membership {
	ring := b.secrets.Ring()
	m := api.Membership{Cluster: b.label(), Domain: b.cfg.Domain, CA: string(b.ca.PEM()), Ring: api.Ring{Revision: ring.Revision, Keys: ring.Order()}}
	m.Gossip = []string{b.members.Addr()}
	for _, other := range b.members.Members() {
		if other.Address != m.Gossip[0] && len(m.Gossip) < gossipHints {
			m.Gossip = append(m.Gossip, other.Address)
		}
	}
	return m
}

// label names the cluster in gossip. It is not a secret.
func (b *brain) label() string {
	hash := b.ca.Hash()
	return hex.EncodeToString(hash[:8])
}

func (t trust) Confirm(cell string, revision uint64) { t.b.confirmed.note(cell, revision) }

func (t trust) Changed() <-chan struct{} { return t.b.secrets.Changed() }

// Revoke also begins a rotation of the gossip key, which keepKeys carries on.
func (t trust) Revoke(cell string) (api.Revocation, error) {
	if cell == t.b.cell {
		return api.Revocation{}, app.Invalid("%s is the cell in the brain's own process and can't be put out: run 'lattice brain' instead of 'lattice up' to be without it", cell)
	}
	tokens, err := t.b.secrets.Revoke(cell)
	if err != nil {
		return api.Revocation{}, err
	}
	t.b.log.Warn("cell put out of the cluster", "cell", cell)
	return api.Revocation{Cell: cell, Tokens: append([]string{}, tokens...)}, nil
}

func (t trust) Tokens() []api.TokenStatus {
	var all []api.TokenStatus
	for _, token := range t.b.secrets.Tokens() {
		all = append(all, tokenStatus(token))
	}
	return all
}

func (t trust) CreateToken(r api.TokenRequest) (api.NewToken, error) {
	token, secret, err := t.b.secrets.CreateToken(time.Duration(r.TTL), r.Uses)
	if err != nil {
		return api.NewToken{}, err
	}
	return api.NewToken{TokenStatus: tokenStatus(token), Token: pki.Token{CA: t.b.ca.Hash(), Secret: secret}.Reveal()}, nil
}

func (t trust) RevokeToken(id string) error { return t.b.secrets.RevokeToken(id) }

func tokenStatus(t pki.JoinToken) api.TokenStatus {
	return api.TokenStatus{
		ID: t.ID, State: t.State(time.Now()), CreatedAt: t.Created, ExpiresAt: t.Expires, Uses: t.Uses, Used: t.Used,
		Cells: append([]string{}, t.Cells...),
	}
}
