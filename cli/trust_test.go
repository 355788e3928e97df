package cli

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"lattice/api"
	"lattice/app"
)

// A fakeTrust has one old token and the cells c1 and c2.
type fakeTrust struct {
	api.Trust // what no command calls
	*fakeBrain

	mu     sync.Mutex
	tokens []api.TokenStatus
}

func newFakeTrust(b *fakeBrain) *fakeTrust {
	old := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	return &fakeTrust{fakeBrain: b, tokens: []api.TokenStatus{
		{ID: "0ld0ld00", State: "used up", CreatedAt: old, ExpiresAt: old.Add(time.Hour), Uses: 2, Used: 2, Cells: []string{"c1", "c2"}},
	}}
}

func (f *fakeTrust) Changed() <-chan struct{} { return f.fakeBrain.Changed() }

func (f *fakeTrust) Tokens() []api.TokenStatus {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.tokens)
}

func (f *fakeTrust) CreateToken(r api.TokenRequest) (api.NewToken, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := time.Now()
	t := api.TokenStatus{ID: fmt.Sprintf("f%07d", len(f.tokens)), State: "valid", CreatedAt: now, ExpiresAt: now.Add(time.Duration(r.TTL)), Uses: r.Uses}
	f.tokens = append(f.tokens, t)
	return api.NewToken{TokenStatus: t, Token: "lat1.hash.secret"}, nil
}

func (f *fakeTrust) RevokeToken(id string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	i := slices.IndexFunc(f.tokens, func(t api.TokenStatus) bool { return t.ID == id })
	if i < 0 {
		return fmt.Errorf("join token %q %w", id, app.ErrNotFound)
	}
	f.tokens[i].State = "revoked"
	return nil
}

func (f *fakeTrust) Revoke(cell string) (api.Revocation, error) {
	if cell != "c1" && cell != "c2" {
		return api.Revocation{}, fmt.Errorf("cell %q %w", cell, app.ErrNotFound)
	}
	return api.Revocation{Cell: cell, Tokens: []string{"0ld0ld00"}}, nil
}

func (f *fakeTrust) RotateGossip(context.Context) (api.Rotation, error) {
	return api.Rotation{Cells: []string{"c1"}, Missing: []string{"c2"}, Took: app.Duration(1234 * time.Millisecond)}, nil
}
