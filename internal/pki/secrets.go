package pki

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"lattice/app"
)

const (
	secretSize    = 24 // bytes
	gossipKeySize = 32 // AES-256
)

// A Role is what a token allows.
type Role string

// The roles.
const (
	RoleAdmin Role = "admin" // everything but to be a cell
	RoleJoin  Role = "join"  // to become a cell
)

// Secrets are what a cluster's tokens, gossip and cells are known by. A change
// is on disk when the method that made it returns. They are safe for concurrent
// use, and print as a mask.
type Secrets struct {
	path string

	write sync.Mutex // held over a change and its way to the disk; taken before mu
	now   atomic.Pointer[state]

	mu      sync.Mutex // guards what follows
	changed chan struct{}
	inside  map[string]*visit // by cell
}

// state is the file. It is replaced and never changed. It has plain strings:
// Secret would be masked.
type state struct {
	Admin  string               `json:"admin"`
	Gossip Ring                 `json:"gossip"`
	Tokens []JoinToken          `json:"tokens"`
	Cells  map[string]admission `json:"cells"` // by ID

	OldKey []byte `json:"gossip_key,omitempty"` // all there was before there were rings
}

// OpenSecrets returns the secrets kept in dir as secrets.json and makes them
// when there are none. The file is for its owner only. A damaged file is an
// error and stays as it is.
func OpenSecrets(dir string) (*Secrets, error) {
	s := &Secrets{path: filepath.Join(dir, "secrets.json"), changed: make(chan struct{}), inside: map[string]*visit{}}
	b, err := os.ReadFile(s.path)
	if errors.Is(err, fs.ErrNotExist) {
		s.now.Store(&state{})
		return s, s.change(func(st *state) error {
			*st = state{Admin: random(), Gossip: newRing(), Cells: map[string]admission{}}
			return nil
		})
	}
	if err != nil {
		return nil, fmt.Errorf("read the cluster's secrets: %w", err)
	}
	st, err := parseState(s.path, b)
	if err != nil {
		return nil, err
	}
	s.now.Store(&st)
	return s, nil
}

// parseState leaves the reason of a failure out: it might quote the file.
func parseState(path string, b []byte) (st state, err error) {
	err = json.Unmarshal(b, &st)
	if len(st.Gossip.Keys) == 0 && st.OldKey != nil {
		st.Gossip, st.OldKey = Ring{Revision: 1, Keys: [][]byte{st.OldKey}}, nil
	}
	if err != nil || !usable(st.Admin) || !st.Gossip.sound() {
		return state{}, app.Invalid("%s is damaged; restore it, or remove it and give all cells and clients new tokens", path)
	}
	if st.Cells == nil {
		st.Cells = map[string]admission{}
	}
	return st, nil
}

// Admin returns the secret of RoleAdmin.
func (s *Secrets) Admin() Secret { return Secret(s.now.Load().Admin) }

// Role returns what the bearer of token may do; if that is nothing, it is
// app.ErrUnauthorized and says why. The token may be whole or only its secret.
// How long it takes doesn't depend on how much of it is right.
func (s *Secrets) Role(token string) (Role, error) {
	st, secret := s.now.Load(), bare(token)
	if subtle.ConstantTimeCompare([]byte(secret), []byte(st.Admin)) == 1 {
		return RoleAdmin, nil
	}
	if _, err := st.usableToken(secret, time.Now()); err != nil {
		return "", err
	}
	return RoleJoin, nil
}

// bare returns the secret of a token that may be whole.
func bare(token string) string {
	if t, err := ParseToken(token); err == nil {
		return string(t.Secret)
	}
	return token
}

// Changed returns a channel that is closed at the next change of the gossip
// keys, the tokens or the cells. Take it before reading them, then wait.
func (s *Secrets) Changed() <-chan struct{} {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.changed
}

// change lets fn alter a copy of the state, and makes it the state when it is
// on disk. What fn returns, if anything, stops it.
func (s *Secrets) change(fn func(*state) error) error {
	s.write.Lock()
	defer s.write.Unlock()
	next := s.now.Load().clone()
	if err := fn(&next); err != nil {
		return err
	}
	next.tidy(time.Now())
	b, err := json.MarshalIndent(next, "", "  ")
	if err != nil {
		return fmt.Errorf("encode the cluster's secrets: %w", err)
	}
	if err := writeFile(s.path, append(b, '\n')); err != nil {
		return fmt.Errorf("keep the cluster's secrets: %w", err)
	}
	s.now.Store(&next)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.review()
	close(s.changed)
	s.changed = make(chan struct{})
	return nil
}

// clone returns a copy whose lists may be changed, though not what is in them.
func (st *state) clone() state {
	c := *st
	c.Tokens, c.Cells, c.Gossip.Keys = slices.Clone(st.Tokens), maps.Clone(st.Cells), slices.Clone(st.Gossip.Keys)
	return c
}

// tidy forgets what nobody will ask for again.
func (st *state) tidy(now time.Time) {
	st.Tokens = tidyTokens(st.Tokens, now)
	maps.DeleteFunc(st.Cells, func(_ string, a admission) bool { return now.After(a.Until.Add(rememberCell)) })
}

// String returns a mask.
func (*Secrets) String() string { return masked }

// GoString is String.
func (*Secrets) GoString() string { return masked }

// usable reports whether secret can stand in a token.
func usable(secret string) bool {
	b, err := encoding.DecodeString(secret)
	return err == nil && len(b) >= minSecretSize
}

func random() string {
	b := make([]byte, secretSize)
	rand.Read(b) // never fails
	return encoding.EncodeToString(b)
}

// A visit is a cell that is in and shows its certificate.
type visit struct {
	join  string // of its admission
	ctx   context.Context
	end   context.CancelCauseFunc
	timer *time.Timer // until its certificate runs out
}

// visit returns a context that ends when the cell isn't welcome any more under
// this admission; its cause says why.
func (s *Secrets) visit(id, join string) (context.Context, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	a, err := s.now.Load().welcome(id, join, time.Now())
	if err != nil {
		return nil, err
	}
	v := s.inside[id]
	if v == nil {
		v = &visit{join: join, timer: time.AfterFunc(time.Until(a.Until), s.expire)}
		v.ctx, v.end = context.WithCancelCause(context.Background())
		s.inside[id] = v
	}
	return v.ctx, nil
}

func (s *Secrets) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.review()
}

// review ends the visits of cells that are not welcome any more. The caller
// holds s.mu.
func (s *Secrets) review() {
	st, now := s.now.Load(), time.Now()
	for id, v := range s.inside {
		a, err := st.welcome(id, v.join, now)
		if err == nil {
			v.timer.Reset(a.Until.Sub(now) + time.Millisecond)
			continue
		}
		v.timer.Stop()
		v.end(err)
		delete(s.inside, id)
	}
}
