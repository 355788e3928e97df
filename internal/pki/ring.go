package pki

import (
	"crypto/rand"
	"log/slog"
	"slices"

	"lattice/app"
)

// A Ring is the keys that gossip is sealed with. A new key comes in three steps,
// of which each must have reached all nodes before the next one: it is
// understood, it seals, and the older keys are dropped. It prints as a mask.
type Ring struct {
	Revision uint64   `json:"revision"` // grows with each step
	Keys     [][]byte `json:"keys"`     // newest first
	Use      int      `json:"use"`      // which one seals
}

// Settled reports whether no step is left.
func (r Ring) Settled() bool { return len(r.Keys) == 1 }

// Order returns the keys as nodes want them: first the one that seals.
func (r Ring) Order() [][]byte {
	return slices.Concat(r.Keys[r.Use:r.Use+1], r.Keys[:r.Use], r.Keys[r.Use+1:])
}

// String returns a mask.
func (Ring) String() string { return masked }

// GoString is String.
func (Ring) GoString() string { return masked }

// LogValue is String.
func (Ring) LogValue() slog.Value { return slog.StringValue(masked) }

// withNewKey returns the ring after the first step.
func (r Ring) withNewKey() Ring {
	return Ring{r.Revision + 1, slices.Concat([][]byte{newKey()}, r.Keys), r.Use + 1}
}

// next returns the ring after its next step.
func (r Ring) next() Ring {
	if r.Use > 0 {
		return Ring{r.Revision + 1, r.Keys, 0}
	}
	return Ring{r.Revision + 1, r.Keys[:1], 0}
}

func (r Ring) sound() bool {
	return r.Use >= 0 && r.Use < len(r.Keys) && !slices.ContainsFunc(r.Keys, func(k []byte) bool { return len(k) != gossipKeySize })
}

func newRing() Ring { return Ring{Revision: 1, Keys: [][]byte{newKey()}} }

func newKey() []byte {
	key := make([]byte, gossipKeySize)
	rand.Read(key) // never fails
	return key
}

// Ring returns the gossip keys of now. They must not be changed.
func (s *Secrets) Ring() Ring { return s.now.Load().Gossip }

// Rotate begins to replace the gossip key; Advance goes on.
func (s *Secrets) Rotate() (Ring, error) {
	err := s.change(func(st *state) error {
		st.Gossip = st.Gossip.withNewKey()
		return nil
	})
	return s.Ring(), err
}

// Advance takes the next step of a rotation, if revision is still that of the
// ring; if not, it is app.ErrConflict.
func (s *Secrets) Advance(revision uint64) error {
	return s.change(func(st *state) error {
		if st.Gossip.Revision != revision || st.Gossip.Settled() {
			return app.ErrConflict
		}
		st.Gossip = st.Gossip.next()
		return nil
	})
}
