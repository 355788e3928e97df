package pki

import (
	"crypto/sha256"
	"crypto/subtle"
	"encoding/hex"
	"fmt"
	"slices"
	"time"

	"lattice/app"
)

const (
	rememberToken = 7 * 24 * time.Hour // after its end, so that a refusal can say why
	maxTokens     = 1000               // that can be used
	maxEnded      = 200                // that are remembered
	maxTokenLife  = 365 * 24 * time.Hour
	maxTokenCells = 1000 // that one token lets in
)

// A JoinToken is what is kept of a token with which cells join. The token
// itself can't be found out from it.
type JoinToken struct {
	ID      string    `json:"id"` // the beginning of Hash in hexadecimal
	Hash    []byte    `json:"hash"`
	Created time.Time `json:"created_at"`
	Expires time.Time `json:"expires_at"`
	Uses    int       `json:"uses"` // allowed; 0: any number
	Used    int       `json:"used"`
	Cells   []string  `json:"cells"` // that joined with it
	Revoked time.Time `json:"revoked_at,omitzero"`
}

// State says in a word or two whether the token can be used: "valid", "expired",
// "used up" or "revoked".
func (t JoinToken) State(now time.Time) string {
	switch {
	case !t.Revoked.IsZero():
		return "revoked"
	case !now.Before(t.Expires):
		return "expired"
	case t.Uses > 0 && t.Used >= t.Uses:
		return "used up"
	}
	return "valid"
}

// refusal says why the token can't be used, or is nil.
func (t JoinToken) refusal(now time.Time) error {
	why := ""
	switch t.State(now) {
	case "valid":
		return nil
	case "revoked":
		why = "was revoked on " + stamp(t.Revoked)
	case "expired":
		why = "expired on " + stamp(t.Expires)
	case "used up":
		why = fmt.Sprintf("has been used %d times, as often as it may", t.Used)
	}
	return app.Unauthorized("the join token %s %s; `lattice token` on the brain makes another one", t.ID, why)
}

// ended returns when the token ended at the latest.
func (t JoinToken) ended() time.Time {
	if !t.Revoked.IsZero() {
		return t.Revoked
	}
	return t.Expires
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// Tokens returns the join tokens that can be used, and those that ended lately,
// oldest first.
func (s *Secrets) Tokens() []JoinToken { return slices.Clone(s.now.Load().Tokens) }

// CreateToken makes a join token that lives for ttl and lets in as many cells
// as uses says, 0 meaning any number. The secret is returned this once.
func (s *Secrets) CreateToken(ttl time.Duration, uses int) (JoinToken, Secret, error) {
	switch {
	case ttl < time.Second || ttl > maxTokenLife:
		return JoinToken{}, "", app.Invalid("a join token can't live for %s: give it a time from 1s to %s", ttl, maxTokenLife)
	case uses < 0 || uses > maxTokenCells:
		return JoinToken{}, "", app.Invalid("a join token can't have %d uses: give it 1 to %d, or 0 for any number", uses, maxTokenCells)
	}
	secret, now := random(), time.Now().UTC()
	hash := sha256.Sum256([]byte(secret))
	t := JoinToken{ID: hex.EncodeToString(hash[:4]), Hash: hash[:], Created: now, Expires: now.Add(ttl), Uses: uses, Cells: []string{}}
	err := s.change(func(st *state) error {
		if slices.ContainsFunc(st.Tokens, func(o JoinToken) bool { return o.ID == t.ID }) {
			return app.ErrConflict
		}
		valid := slices.DeleteFunc(slices.Clone(st.Tokens), func(o JoinToken) bool { return o.State(now) != "valid" })
		if len(valid) >= maxTokens {
			return app.Invalid("there are %d join tokens, which is the most there may be: revoke some with `lattice token revoke`", len(valid))
		}
		st.Tokens = append(st.Tokens, t)
		return nil
	})
	return t, Secret(secret), err
}

// RevokeToken makes a token useless. What joined with it stays.
func (s *Secrets) RevokeToken(id string) error {
	return s.change(func(st *state) error {
		i := slices.IndexFunc(st.Tokens, func(t JoinToken) bool { return t.ID == id })
		if i < 0 {
			return fmt.Errorf("join token %q %w", id, app.ErrNotFound)
		}
		st.revokeToken(i, time.Now())
		return nil
	})
}

func (st *state) revokeToken(i int, now time.Time) {
	if st.Tokens[i].Revoked.IsZero() {
		st.Tokens[i].Revoked = now.UTC()
	}
}

// usableToken returns the index of the token with this secret. If there is
// none that can be used it is app.ErrUnauthorized. It looks at all of them.
func (st *state) usableToken(secret string, now time.Time) (int, error) {
	hash, found := sha256.Sum256([]byte(secret)), -1
	for i, t := range st.Tokens {
		if subtle.ConstantTimeCompare(hash[:], t.Hash) == 1 {
			found = i
		}
	}
	if found < 0 {
		return 0, app.Unauthorized("the token is not known here")
	}
	return found, st.Tokens[found].refusal(now)
}

// spend uses the token with this secret for a cell.
func (st *state) spend(secret, cell string, now time.Time) error {
	i, err := st.usableToken(secret, now)
	if err != nil {
		return err
	}
	t := &st.Tokens[i]
	if !slices.Contains(t.Cells, cell) {
		if len(t.Cells) >= maxTokenCells {
			return app.Unauthorized("the join token %s has let in %d cells, the most that one may; `lattice token` on the brain makes another one", t.ID, len(t.Cells))
		}
		t.Cells = append(slices.Clone(t.Cells), cell)
	}
	t.Used++
	return nil
}

// tidyTokens forgets tokens that ended long ago, and the oldest of too many.
func tidyTokens(all []JoinToken, now time.Time) []JoinToken {
	ended := 0
	for _, t := range all {
		if t.State(now) != "valid" {
			ended++
		}
	}
	return slices.DeleteFunc(all, func(t JoinToken) bool {
		old := t.State(now) != "valid" && (ended > maxEnded || now.Sub(t.ended()) > rememberToken)
		if old {
			ended--
		}
		return old
	})
}
