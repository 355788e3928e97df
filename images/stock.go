package images

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/distribution/distribution/v3"
	"github.com/distribution/distribution/v3/manifest/manifestlist"
	"github.com/distribution/distribution/v3/manifest/ocischema"
	"github.com/distribution/distribution/v3/registry/storage"
	"github.com/distribution/distribution/v3/registry/storage/driver"
	"github.com/opencontainers/go-digest"

	"lattice/app"
)

// List returns the images that are here, by name and age. The images of an
// index are not listed by themselves.
func (r *Registry) List(ctx context.Context) ([]app.StoredImage, error) {
	all, err := r.stock(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the images: %w", err)
	}
	list := []app.StoredImage{}
	for _, s := range all {
		if !s.part {
			list = append(list, s.StoredImage)
		}
	}
	slices.SortFunc(list, func(a, b app.StoredImage) int {
		return cmp.Or(strings.Compare(a.Name, b.Name), b.UsedAt.Compare(a.UsedAt), strings.Compare(a.Digest, b.Digest))
	})
	return list, nil
}

// A stocked image is one manifest.
type stocked struct {
	app.StoredImage
	repo  string
	parts []digest.Digest // of an index
	part  bool            // it belongs to an index
}

// stock reads all manifests.
func (r *Registry) stock(ctx context.Context) ([]*stocked, error) {
	repos, ok := r.store.(distribution.RepositoryEnumerator)
	if !ok {
		return nil, errors.New("the store of the registry can't be listed")
	}
	users := r.cfg.InUse()
	var all []*stocked
	err := repos.Enumerate(ctx, func(name string) error {
		found, err := r.stockOf(ctx, name, users)
		all = append(all, found...)
		return err
	})
	if notFound(err) { // nothing was ever stored
		err = nil
	}
	return all, err
}

func notFound(err error) bool {
	var gone driver.PathNotFoundError
	return errors.As(err, &gone)
}

// stockOf reads the manifests of one repository.
func (r *Registry) stockOf(ctx context.Context, name string, users map[string][]string) ([]*stocked, error) {
	repo, err := r.repository(ctx, name)
	if err != nil {
		return nil, err
	}
	ms, err := repo.Manifests(ctx)
	if err != nil {
		return nil, err
	}
	tags, err := r.tags(ctx, repo)
	if err != nil {
		return nil, err
	}
	x := fromStored(name)
	var all []*stocked
	err = ms.(distribution.ManifestEnumerator).Enumerate(ctx, func(d digest.Digest) error {
		m, err := ms.Get(ctx, d)
		if err != nil {
			return nil // a link whose manifest is gone
		}
		s := &stocked{repo: name, StoredImage: app.StoredImage{
			Name: x.name(), Digest: d.String(), Tags: tags[d], UsedBy: users[name+"@"+d.String()], Cached: x.host != "", UsedAt: r.usedAt(name, d.String()),
		}}
		s.Built = r.builtOf(name, d.String())
		r.measure(ctx, s, m)
		all = append(all, s)
		return nil
	})
	if notFound(err) {
		err = nil
	}
	join(all)
	return all, err
}

// tags returns which tags lead to which manifest.
func (r *Registry) tags(ctx context.Context, repo distribution.Repository) (map[digest.Digest][]string, error) {
	of := map[digest.Digest][]string{}
	names, err := repo.Tags(ctx).All(ctx)
	var unknown distribution.ErrRepositoryUnknown
	if errors.As(err, &unknown) {
		return of, nil
	}
	for _, n := range names {
		if d, err := repo.Tags(ctx).Get(ctx, n); err == nil {
			of[d.Digest] = append(of[d.Digest], n)
		}
	}
	return of, err
}

func (r *Registry) usedAt(name, dgst string) time.Time {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.used[name+"@"+dgst]
}

// measure finds out how large an image is and whether all of it is here.
func (r *Registry) measure(ctx context.Context, s *stocked, m distribution.Manifest) {
	switch m.(type) {
	case *manifestlist.DeserializedManifestList, *ocischema.DeserializedImageIndex:
		for _, d := range m.References() {
			s.parts = append(s.parts, d.Digest)
		}
		return
	}
	for _, d := range m.References() {
		s.Bytes += d.Size
		if _, ok := r.blobSize(ctx, s.repo, d.Digest.String()); !ok {
			s.Partial = true
		}
	}
}

// join gives an index the size of the parts that are here, and its parts its
// users.
func join(all []*stocked) {
	by := map[string]*stocked{}
	for _, s := range all {
		by[s.Digest] = s
	}
	for _, index := range all {
		for _, d := range index.parts {
			p := by[d.String()]
			if p == nil {
				continue
			}
			p.part = true
			p.UsedBy = append(p.UsedBy, index.UsedBy...)
			if p.UsedAt.After(index.UsedAt) {
				index.UsedAt = p.UsedAt
			}
			index.Bytes += p.Bytes
			index.Partial = index.Partial || p.Partial
		}
	}
	for _, index := range all { // a part is in use as long as its index
		for _, d := range index.parts {
			if p := by[d.String()]; p != nil && index.UsedAt.After(p.UsedAt) {
				p.UsedAt = index.UsedAt
			}
		}
	}
}

// A Rule says which images are to go.
type Rule struct {
	Unused time.Duration // at least that long asked for by nobody
	Own    bool          // also those that were pushed here and have a tag; without it only what can be had again, or has no tag
	Only   string        // of this name, as StoredImage has it; empty: of any
	DryRun bool
}

// Prune deletes the images that the rule names and that no app needs.
func (r *Registry) Prune(ctx context.Context, rule Rule) (app.Pruning, error) {
	if err := r.quiet(ctx); err != nil {
		return app.Pruning{}, err
	}
	defer r.sweeping.Unlock()
	p := app.Pruning{Images: []app.StoredImage{}}
	all, err := r.stock(ctx)
	if err != nil {
		return p, fmt.Errorf("look for images that nobody uses: %w", err)
	}
	for _, s := range all {
		if !goes(s, rule, time.Now()) {
			continue
		}
		if !s.part {
			p.Images = append(p.Images, s.StoredImage)
		}
		p.Bytes += s.Bytes * int64(1-min(1, len(s.parts))) // an index is counted by its parts
		if !rule.DryRun {
			if err := r.drop(ctx, s); err != nil {
				return p, fmt.Errorf("delete %s@%s: %w", s.Name, s.Digest, err)
			}
		}
	}
	if rule.DryRun || len(p.Images) == 0 {
		return p, nil
	}
	err = storage.MarkAndSweep(ctx, r.disk, r.store, storage.GCOpts{Quiet: true})
	if err != nil && !notFound(err) {
		return p, fmt.Errorf("delete the layers that nobody needs: %w", err)
	}
	return p, nil
}

// quietTime is how long Prune waits for a moment without a pull or a push.
const quietTime = 20 * time.Second

// quiet locks out pulls and pushes.
func (r *Registry) quiet(ctx context.Context) error {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.Now().Add(quietTime); !r.sweeping.TryLock(); {
		if time.Now().After(deadline) {
			return fmt.Errorf("images are being pulled or pushed all the time: try again later: %w", app.ErrUnavailable)
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
	return nil
}

// goes decides whether an image is to be deleted.
func goes(s *stocked, rule Rule, now time.Time) bool {
	return (rule.Only == "" || s.Name == rule.Only) && len(s.UsedBy) == 0 && now.Sub(s.UsedAt) >= rule.Unused && (s.Cached || len(s.Tags) == 0 || rule.Own)
}

func (r *Registry) drop(ctx context.Context, s *stocked) error {
	repo, err := r.repository(ctx, s.repo)
	if err != nil {
		return err
	}
	for _, t := range s.Tags {
		if err := repo.Tags(ctx).Untag(ctx, t); err != nil {
			return err
		}
	}
	ms, err := repo.Manifests(ctx)
	if err != nil {
		return err
	}
	r.mu.Lock()
	delete(r.used, s.repo+"@"+s.Digest)
	r.mu.Unlock()
	r.forgetBuilt(s.repo, s.Digest)
	return ms.Delete(ctx, digest.Digest(s.Digest))
}

const (
	sweepEvery = 6 * time.Hour
	lookEvery  = 10 * time.Minute // whether the disk is full
)

// Run deletes from time to time what can be had again and nobody needs.
func (r *Registry) Run(ctx context.Context) error {
	tick := time.NewTicker(lookEvery)
	defer tick.Stop()
	swept := time.Now()
	for {
		select {
		case <-ctx.Done():
			return r.Close()
		case <-tick.C:
		}
		if time.Since(swept) >= sweepEvery {
			swept = time.Now()
			r.tidy(ctx, r.cfg.Age)
		}
		for _, age := range ages(r.cfg.Age) {
			if !r.cfg.Full() {
				break
			}
			r.tidy(ctx, age)
		}
	}
}

// ages returns the steps in which a disk that is full is made less full.
func ages(usual time.Duration) (steps []time.Duration) {
	for _, age := range []time.Duration{7 * 24 * time.Hour, 24 * time.Hour, 4 * time.Hour, time.Hour, lookEvery} {
		if age < usual {
			steps = append(steps, age)
		}
	}
	return steps
}

// tidy is Prune for nobody who asks.
func (r *Registry) tidy(ctx context.Context, unused time.Duration) {
	p, err := r.Prune(ctx, Rule{Unused: unused})
	switch {
	case ctx.Err() != nil:
	case err != nil:
		r.cfg.Log.Warn("images that nobody uses are not deleted", "err", err)
	case len(p.Images) > 0:
		r.cfg.Log.Info("images deleted that nobody used", "images", len(p.Images), "bytes", p.Bytes)
	}
}
