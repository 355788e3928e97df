package pki

import (
	"context"
	"crypto/x509"
	"fmt"
	"slices"
	"time"

	"lattice/app"
)

// rememberCell is how long after its certificate a cell is remembered, so that
// a refusal can say why.
const rememberCell = 30 * 24 * time.Hour

// An admission is the leave of one cell to take part. It begins with a join and
// is what its certificates refer to, so that it ends for all of them at once.
type admission struct {
	Join    string    `json:"join"` // random, in all certificates of this admission and in no others
	At      time.Time `json:"at"`
	Until   time.Time `json:"until"` // end of the latest certificate
	Revoked time.Time `json:"revoked_at,omitzero"`
}

// welcome returns the admission of the cell. If it has none, or another one
// than join, or if it ended, that is app.ErrUnauthorized and says so.
func (st *state) welcome(id, join string, now time.Time) (admission, error) {
	a, known := st.Cells[id]
	const again = "it can join anew with a fresh token, which `lattice token` on the brain makes"
	switch {
	case !known:
		return a, app.Unauthorized("the brain does not know the cell %s: %s", id, again)
	case !a.Revoked.IsZero():
		return a, app.Unauthorized("the cell %s was put out of the cluster on %s: %s", id, stamp(a.Revoked), again)
	case a.Join != join:
		return a, app.Unauthorized("another machine has joined as the cell %s since: stop one of them, or give this one another --cell-id and a fresh token", id)
	case !now.Before(a.Until):
		return a, app.Unauthorized("the certificate of the cell %s ran out on %s: %s", id, stamp(a.Until), again)
	}
	return a, nil
}

// Welcome reports whether the cell may take part.
func (s *Secrets) Welcome(id string) bool {
	st := s.now.Load()
	_, err := st.welcome(id, st.Cells[id].Join, time.Now())
	return err == nil
}

// Cell returns the ID of the cell that shows the certificate, which must have
// been verified against the CA, and a context that ends when the cell isn't
// welcome any more; its cause says why. A cell that isn't is app.ErrUnauthorized.
func (s *Secrets) Cell(cert *x509.Certificate) (id string, in context.Context, err error) {
	id, join, ok := identityOf(cert)
	if !ok {
		return "", nil, app.Unauthorized("this certificate is not one of a cell")
	}
	in, err = s.visit(id, join)
	return id, in, err
}

// Join spends a use of the join token and lets the cell in. It returns the
// certificate that the cell asked for, in PEM, with the given life. Whoever was
// in under this ID before is out.
func (s *Secrets) Join(ca *CA, token, cell string, csr []byte, life time.Duration) ([]byte, error) {
	return s.admit(ca, cell, csr, life, func(st *state, now time.Time) error { return st.spend(bare(token), cell, now) })
}

// Admit is Join without a token, for the cell in the brain's own process.
func (s *Secrets) Admit(ca *CA, cell string, csr []byte, life time.Duration) ([]byte, error) {
	return s.admit(ca, cell, csr, life, func(*state, time.Time) error { return nil })
}

func (s *Secrets) admit(ca *CA, cell string, csr []byte, life time.Duration, may func(*state, time.Time) error) ([]byte, error) {
	now, join := time.Now().UTC(), random()
	cert, until, err := ca.cell(csr, cell, join, life)
	if err != nil {
		return nil, err
	}
	err = s.change(func(st *state) error {
		if err := may(st, now); err != nil {
			return err
		}
		st.Cells[cell] = admission{Join: join, At: now, Until: until}
		return nil
	})
	return cert, err
}

// Renew returns a further certificate for a cell that is welcome.
func (s *Secrets) Renew(ca *CA, cell string, csr []byte, life time.Duration) ([]byte, error) {
	join := s.now.Load().Cells[cell].Join
	cert, until, err := ca.cell(csr, cell, join, life)
	if err != nil {
		return nil, err
	}
	err = s.change(func(st *state) error {
		a, err := st.welcome(cell, join, time.Now())
		if err != nil {
			return err
		}
		a.Until = until
		st.Cells[cell] = a
		return nil
	})
	return cert, err
}

// Revoke puts a cell out, with all its certificates, revokes the tokens it
// joined with, and begins to rotate the gossip key. It returns the IDs of the
// tokens that were of use until then.
func (s *Secrets) Revoke(cell string) (tokens []string, err error) {
	err = s.change(func(st *state) error {
		a, known := st.Cells[cell]
		if !known {
			return fmt.Errorf("cell %q %w", cell, app.ErrNotFound)
		}
		now := time.Now().UTC()
		if a.Revoked.IsZero() {
			a.Revoked = now
		}
		st.Cells[cell] = a
		for i, t := range st.Tokens {
			if t.State(now) == "valid" && slices.Contains(t.Cells, cell) {
				st.revokeToken(i, now)
				tokens = append(tokens, t.ID)
			}
		}
		st.Gossip = st.Gossip.withNewKey()
		return nil
	})
	return tokens, err
}
