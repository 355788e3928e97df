package cli

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"lattice/api"
	"lattice/app"
)

// fakeImages is a registry that knows one private one, which opens with the
// password s3cret.
type fakeImages struct {
	mu      sync.Mutex // guards what follows
	known   []app.Registry
	allowed []string
}

// Features are those of a brain where nobody disabled one, until SetFeature.
func (b *fakeBrain) Features() []app.Feature {
	b.mu.Lock()
	defer b.mu.Unlock()
	all := app.Features()
	if b.noImages {
		all[0].Enabled, all[0].ChangedAt, all[0].ChangedBy = false, time.Now().Add(-3*time.Minute-time.Second), "ann"
	}
	return all
}

func (b *fakeBrain) SetFeature(_ context.Context, name string, enabled bool) (app.Feature, error) {
	if name != app.FeatureDockerImages {
		return app.Feature{}, fmt.Errorf("feature %q %w", name, app.ErrNotFound)
	}
	b.mu.Lock()
	b.noImages = !enabled
	b.mu.Unlock()
	return b.Features()[0], nil
}

func (f *fakeImages) Registries() []app.Registry {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.known)
}

func (f *fakeImages) PutRegistry(_ context.Context, r app.Registry, check bool) error {
	if check && r.Username != "" && r.Password != "s3cret" {
		return fmt.Errorf("registry %s does not let the user %s in: %w", r.Host, r.Username, app.ErrImage)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	r.Password = ""
	f.known = append(slices.DeleteFunc(f.known, func(k app.Registry) bool { return k.Host == r.Host }), r)
	slices.SortFunc(f.known, func(a, b app.Registry) int { return cmp.Compare(a.Host, b.Host) })
	return nil
}

func (f *fakeImages) RemoveRegistry(_ context.Context, host string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	n := len(f.known)
	if f.known = slices.DeleteFunc(f.known, func(k app.Registry) bool { return k.Host == host }); len(f.known) == n {
		return fmt.Errorf("registry %s: %w", host, app.ErrNotFound)
	}
	return nil
}

func (f *fakeImages) Allowed() []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.allowed
}

func (f *fakeImages) SetAllowed(_ context.Context, patterns []string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.allowed = patterns
	return nil
}

// stored is what the registry has.
func (f *fakeImages) stored() []app.StoredImage {
	return []app.StoredImage{
		{Name: "cluster/web", Digest: "sha256:" + strings.Repeat("a", 64), Tags: []string{"1"}, Bytes: 10 << 20, UsedAt: time.Now().Add(-3*time.Hour - time.Minute), UsedBy: []string{"web"}, Cells: []string{"cell-1", "cell-2", "cell-3", "cell-4", "cell-5"}},
		{Name: "nginx", Digest: "sha256:" + strings.Repeat("b", 64), Bytes: 60 << 20, Cached: true},
	}
}

func (f *fakeImages) Images(context.Context) ([]app.StoredImage, error) { return f.stored(), nil }

func (f *fakeImages) Prune(context.Context, api.PruneRequest) (app.Pruning, error) {
	return app.Pruning{Images: f.stored()[1:], Bytes: 60 << 20, Cells: []string{"cell-1", "cell-2"}}, nil
}

// mayPull returns why an image can't be had.
func mayPull(ctx context.Context, image string) error {
	l := app.LoginOf(ctx)
	if !strings.HasPrefix(image, "private.lan/") || l == (app.Login{Username: "me", Password: "s3cret"}) {
		return nil
	}
	return fmt.Errorf("image %s: registry private.lan does not let the user %q have it: %w", image, l.Username, app.ErrImage)
}
