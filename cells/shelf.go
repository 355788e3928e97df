package cells

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"lattice/app"
)

// shelf knows which instance has which named volume: one at a time.
type shelf struct {
	poke chan struct{} // something is to be done, or to be looked at

	mu     sync.Mutex // guards what follows
	holder map[string]string
	freed  chan struct{} // closed when a volume is let go of
	drop   []string      // that a person wants deleted
	all    []app.ReportedVolume
	known  bool                 // all was read
	sized  map[string]time.Time // when each was last measured
}

func newShelf() *shelf {
	return &shelf{poke: make(chan struct{}, 1), holder: map[string]string{}, freed: make(chan struct{}), sized: map[string]time.Time{}}
}

func (s *shelf) look() {
	select {
	case s.poke <- struct{}{}:
	default:
	}
}

// setDrop says which volumes shall be deleted as soon as nobody has them.
func (s *shelf) setDrop(ids []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !slices.Equal(s.drop, ids) {
		s.drop = ids
		s.look()
	}
}

// take waits until no other has the volume.
func (s *shelf) take(ctx context.Context, id, who string, waiting func()) error {
	for told := false; ; {
		s.mu.Lock()
		has := s.holder[id]
		if has == "" || has == who {
			s.holder[id] = who
			s.mu.Unlock()
			return nil
		}
		freed := s.freed
		s.mu.Unlock()
		if !told {
			told = true
			waiting()
		}
		select {
		case <-freed:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// release lets go of all that an instance has.
func (s *shelf) release(who string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.holder)
	for id, has := range s.holder {
		if has == who {
			delete(s.holder, id)
		}
	}
	if len(s.holder) != n {
		close(s.freed)
		s.freed = make(chan struct{})
		s.look()
	}
}

// list returns what is reported; nil: nothing is known.
func (s *shelf) list() []app.ReportedVolume {
	s.mu.Lock()
	defer s.mu.Unlock()
	if !s.known {
		return nil
	}
	return append([]app.ReportedVolume{}, s.all...)
}

// takeVolumes returns where the volumes of the instance are, by their place in the
// container, so that one in another comes after it. It waits until no other
// instance has them: the one before may still be stopping.
func (in *instance) takeVolumes(ctx context.Context) ([]Mount, error) {
	as := in.rec.Assignment
	volumes := slices.Clone(as.App.Volumes)
	slices.SortFunc(volumes, func(a, b app.Volume) int { return strings.Compare(a.Path, b.Path) })
	var mounts []Mount
	for _, v := range volumes {
		dir, err := "", error(nil)
		if v.Named() {
			dir, err = in.openVolume(ctx, v.Source)
		} else {
			dir, err = in.agent.cfg.Volumes.Mount(ctx, v, as.ID)
		}
		if err != nil {
			return nil, err
		}
		mounts = append(mounts, Mount{Dir: dir, Path: v.Path, ReadOnly: v.ReadOnly, Shared: !v.Named()})
	}
	if len(as.Volumes) > 0 {
		in.agent.shelf.look()
	}
	return mounts, nil
}

func (in *instance) openVolume(ctx context.Context, name string) (dir string, err error) {
	as := in.rec.Assignment
	key := app.VolumeKey{App: as.App.Name, Name: name, Index: as.Index}
	i := slices.IndexFunc(as.Volumes, func(v app.AssignedVolume) bool { return v.Name == name })
	if i < 0 || !app.ValidVolumeID(as.Volumes[i].ID) || !key.Valid() {
		return "", fmt.Errorf("the brain does not say which folder is volume %s: it is of an older version", key)
	}
	err = in.agent.shelf.take(ctx, as.Volumes[i].ID, as.ID, func() {
		in.show(func(v *app.Instance) {
			v.Reason, v.Cause = fmt.Sprintf("waits until the instance before has let go of volume %s", key), ""
		})
	})
	if err != nil {
		return "", err
	}
	dir, err = in.agent.cfg.Volumes.Open(as.Volumes[i].ID, key, as.Volumes[i].Made)
	if errors.Is(err, app.ErrNotFound) {
		return "", fmt.Errorf("volume %s is no more on cell %s, though it was: bring its folder back (docs/volumes.md), or start with an empty one: ltc stop %s, ltc volumes remove %s, ltc start %s", key, in.agent.cfg.ID, key.App, key, key.App)
	}
	return dir, err
}

// holdVolumes notes what an instance has that a former process started.
func (a *Agent) holdVolumes(as app.Assignment) {
	a.shelf.mu.Lock()
	defer a.shelf.mu.Unlock()
	for _, v := range as.Volumes {
		a.shelf.holder[v.ID] = as.ID
	}
	for _, v := range as.App.Volumes {
		if !v.Named() {
			a.cfg.Volumes.Hold(v, as.ID)
		}
	}
}

// releaseVolumes lets others have what an instance had whose container is gone.
func (a *Agent) releaseVolumes(placement string) {
	a.shelf.release(placement)
	if err := a.cfg.Volumes.Release(placement); err != nil {
		a.cfg.Log.Warn("a volume is still mounted", "err", err)
	}
}

// How often volumes are looked at though nothing changed, and measured.
const (
	volumesEvery = 5 * time.Second
	sizeEvery    = time.Minute
)

// keepVolumes deletes the volumes that nobody wants any more and knows which there
// are, and how large.
func (a *Agent) keepVolumes(ctx context.Context) {
	tick := time.NewTicker(volumesEvery)
	defer tick.Stop()
	for {
		a.dropVolumes()
		a.listVolumes()
		a.sizeVolumes(ctx)
		select {
		case <-ctx.Done():
			return
		case <-a.shelf.poke:
		case <-tick.C:
		}
	}
}

func (a *Agent) dropVolumes() {
	const us = "removal" // no placement has that ID
	s := a.shelf
	s.mu.Lock()
	drop := slices.Clone(s.drop)
	s.mu.Unlock()
	for _, id := range drop {
		s.mu.Lock()
		has := s.holder[id]
		if has == "" {
			s.holder[id] = us
		}
		s.mu.Unlock()
		if has != "" {
			continue // it is deleted when the instance has ended
		}
		if err := a.cfg.Volumes.Remove(id); err != nil {
			a.cfg.Log.Error("volume not deleted, will try again", "volume", id, "err", err)
		}
		s.release(us)
	}
}

func (a *Agent) listVolumes() {
	all, err := a.cfg.Volumes.List()
	if err != nil {
		a.cfg.Log.Error("volumes not known", "err", err)
		return
	}
	s := a.shelf
	s.mu.Lock()
	defer s.mu.Unlock()
	before := map[string]int64{}
	for _, v := range s.all {
		before[v.ID] = v.Bytes
	}
	for i := range all {
		all[i].Bytes = before[all[i].ID]
	}
	if !s.known || !slices.Equal(all, s.all) {
		s.all, s.known = all, true
		a.changed()
	}
}

// sizeVolumes measures those that were not for a while.
func (a *Agent) sizeVolumes(ctx context.Context) {
	s := a.shelf
	for _, v := range s.list() {
		s.mu.Lock()
		due := time.Since(s.sized[v.ID]) >= sizeEvery
		s.mu.Unlock()
		if !due {
			continue
		}
		walk, cancel := context.WithTimeout(ctx, diskWalk)
		size, err := a.cfg.Volumes.Size(walk, v)
		cancel()
		s.mu.Lock()
		s.sized[v.ID] = time.Now()
		if i := slices.IndexFunc(s.all, func(o app.ReportedVolume) bool { return o.ID == v.ID }); i >= 0 && err == nil {
			s.all[i].Bytes = size
		}
		s.mu.Unlock()
		if ctx.Err() != nil {
			return
		}
	}
}
