package scheduler

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

// homes returns which cell has each volume that counts. The caller holds s.mu.
func (s *Scheduler) homes() map[app.VolumeKey]string {
	at := make(map[app.VolumeKey]string, len(s.volumes))
	for _, v := range s.volumes {
		if !v.Removing {
			at[v.VolumeKey] = v.Cell
		}
	}
	return at
}

// adoptVolumes makes c part of the state in memory. The caller holds s.mu.
func (s *Scheduler) adoptVolumes(c app.Change) {
	for _, id := range c.DeleteVolumes {
		s.announceWork(s.volumes[id].Cell)
		delete(s.volumes, id)
		s.book.volumes = true
	}
	for _, v := range c.PutVolumes {
		s.announceWork(s.volumes[v.ID].Cell)
		s.announceWork(v.Cell)
		s.volumes[v.ID] = v
		s.book.volumes = true
		s.book.heard = s.book.heard || v.Removing // the cell may not have it: then it has nothing new to tell
	}
}

// makeVolumes writes into c where the named volumes are that an instance, or a
// task, gets for the first time; at says where the others are.
func makeVolumes(c *app.Change, at map[app.VolumeKey]string, spec *app.App, index int, cell string) (events []app.Event) {
	if len(spec.Volumes) == 0 {
		return nil
	}
	for _, v := range spec.NamedVolumes() {
		key := app.VolumeKey{App: spec.Name, Name: v.Source, Index: index}
		if at[key] == "" {
			c.PutVolumes = append(c.PutVolumes, app.StoredVolume{ID: app.NewGUID(), VolumeKey: key, Cell: cell, CreatedAt: time.Now().UTC()})
			events = append(events, volumeEvent(app.VolumeCreated, key, cell, "volume %s is on cell %s from now on", key, cell))
		}
	}
	return events
}

// makeAllVolumes is makeVolumes for all that is about to be placed.
func (s *Scheduler) makeAllVolumes(c *app.Change, placed []app.Placement) (events []app.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	at := s.homes()
	for _, p := range placed {
		if spec := s.specs[app.RevisionKey{App: p.App, Number: p.Revision}]; spec != nil {
			events = append(events, makeVolumes(c, at, spec, p.Index, p.Cell)...)
		}
	}
	return events
}

func volumeEvent(kind string, key app.VolumeKey, cell, format string, args ...any) app.Event {
	return app.Event{Kind: kind, App: key.App, Index: key.Index, Cell: cell, Message: fmt.Sprintf(format, args...)}
}

// assigned returns the named volumes of an instance as its cell is told of them.
// The caller holds s.mu.
func (s *Scheduler) assigned(spec *app.App, index int) (all []app.AssignedVolume) {
	named := spec.NamedVolumes()
	if len(named) == 0 {
		return nil
	}
	for _, v := range s.volumes {
		if v.App == spec.Name && v.Index == index && !v.Removing && slices.ContainsFunc(named, func(n app.Volume) bool { return n.Source == v.Name }) {
			all = append(all, app.AssignedVolume{ID: v.ID, Name: v.Name, Made: v.Made})
		}
	}
	slices.SortFunc(all, func(a, b app.AssignedVolume) int { return strings.Compare(a.Name, b.Name) })
	return all
}

// dropped returns the volumes that a cell shall delete. The caller holds s.mu.
func (s *Scheduler) dropped(cell string) (ids []string) {
	for id, v := range s.volumes {
		if v.Removing && v.Cell == cell {
			ids = append(ids, id)
		}
	}
	slices.Sort(ids)
	return ids
}

// hearVolumes notes that a cell tells something new of its volumes. The caller
// holds s.mu.
func (s *Scheduler) hearVolumes(before, after app.Report) {
	same := func(a, b app.ReportedVolume) bool { return a.ID == b.ID && a.VolumeKey == b.VolumeKey }
	if after.Volumes != nil && (before.Volumes == nil || !slices.EqualFunc(before.Volumes, after.Volumes, same)) {
		s.book.heard = true
		s.plan()
	}
}

// settleVolumes writes what cells have told of their volumes. The caller holds
// s.write.
func (s *Scheduler) settleVolumes() error {
	s.mu.Lock()
	var c app.Change
	var events []app.Event
	if s.book.heard {
		s.book.heard = false
		for _, cell := range slices.Sorted(maps.Keys(s.reports)) { // what one has no more another may have
			events = append(events, s.heardVolumes(s.reports[cell], &c)...)
		}
	}
	s.mu.Unlock()
	if err := s.commit(c); err != nil {
		s.mu.Lock()
		s.book.heard = true
		s.mu.Unlock()
		return err
	}
	for _, e := range events {
		s.cfg.Log.Info(e.Kind, "app", e.App, "cell", e.Cell, "reason", e.Message)
		s.cfg.Emit(e)
	}
	return nil
}

// heardVolumes puts into c what a report makes of what is known: volumes are
// there, are deleted, have been brought from another cell, or are ours though the
// store didn't know them. The caller holds s.mu.
func (s *Scheduler) heardVolumes(r app.Report, c *app.Change) (events []app.Event) {
	if r.Volumes == nil {
		return nil
	}
	at, there := s.homes(), map[string]bool{}
	for _, v := range c.PutVolumes {
		at[v.VolumeKey] = v.Cell
	}
	for _, v := range r.Volumes {
		there[v.ID] = true
		known, ok := s.volumes[v.ID]
		switch {
		case !v.Valid() || !app.ValidVolumeID(v.ID):
		case !ok && at[v.VolumeKey] == "":
			at[v.VolumeKey] = r.Cell
			c.PutVolumes = append(c.PutVolumes, app.StoredVolume{ID: v.ID, VolumeKey: v.VolumeKey, Cell: r.Cell, CreatedAt: time.Now().UTC(), Made: true})
			events = append(events, volumeEvent(app.VolumeCreated, v.VolumeKey, r.Cell, "volume %s was found on cell %s", v.VolumeKey, r.Cell))
		case ok && known.Cell == r.Cell && !known.Made:
			known.Made = true
			c.PutVolumes = append(c.PutVolumes, known)
		case ok && known.Cell != r.Cell && known.VolumeKey == v.VolumeKey && !known.Removing && !s.shows(known):
			events = append(events, volumeEvent(app.VolumeMoved, v.VolumeKey, r.Cell, "volume %s was brought from cell %s to cell %s", v.VolumeKey, known.Cell, r.Cell))
			known.Cell, known.Made = r.Cell, true
			c.PutVolumes = append(c.PutVolumes, known)
		}
	}
	for id, v := range s.volumes {
		if v.Cell == r.Cell && v.Removing && !there[id] {
			c.DeleteVolumes = append(c.DeleteVolumes, id)
		}
	}
	return events
}

// shows reports whether the cell that a volume is known to be on has it, or may
// have: it does not tell. The caller holds s.mu.
func (s *Scheduler) shows(v app.StoredVolume) bool {
	r, heard := s.reports[v.Cell]
	if !heard {
		c, seen := s.seen[v.Cell]
		return seen && c.State != app.CellDead
	}
	return r.Volumes == nil || slices.ContainsFunc(r.Volumes, func(o app.ReportedVolume) bool { return o.ID == v.ID })
}

// Volumes returns all named volumes, by app, name and index.
func (s *Scheduler) Volumes() []app.VolumeStatus {
	s.mu.Lock()
	defer s.mu.Unlock()
	told := map[string]map[string]app.ReportedVolume{} // by ID and cell
	for cell, r := range s.reports {
		for _, v := range r.Volumes {
			if !v.Valid() {
				continue
			}
			if told[v.ID] == nil {
				told[v.ID] = map[string]app.ReportedVolume{}
			}
			told[v.ID][cell] = v
		}
	}
	all := make([]app.VolumeStatus, 0, len(s.volumes))
	for id, v := range s.volumes {
		st := app.VolumeStatus{StoredVolume: v, State: s.volumeState(v), Bytes: told[id][v.Cell].Bytes, Away: s.away(v.Cell), Dir: volumeDir(v.ID, v.VolumeKey)}
		delete(told[id], v.Cell)
		all = append(all, st)
	}
	for id, cells := range told {
		for cell, v := range cells {
			all = append(all, app.VolumeStatus{StoredVolume: app.StoredVolume{ID: id, VolumeKey: v.VolumeKey, Cell: cell, Made: true},
				State: app.VolumeSpare, Bytes: v.Bytes, Dir: volumeDir(id, v.VolumeKey)})
		}
	}
	slices.SortFunc(all, func(a, b app.VolumeStatus) int {
		if c := a.Compare(b.VolumeKey); c != 0 {
			return c
		}
		return strings.Compare(a.Cell+a.ID, b.Cell+b.ID)
	})
	return all
}

func volumeDir(id string, k app.VolumeKey) string { return "cell/volumes/" + app.VolumeDir(id, k) }

func (s *Scheduler) away(cell string) bool {
	c, seen := s.seen[cell]
	return !seen || c.State == app.CellDead
}

// volumeState returns what a volume that is in the store is good for. The caller
// holds s.mu.
func (s *Scheduler) volumeState(v app.StoredVolume) app.VolumeState {
	_, heard := s.reports[v.Cell]
	switch {
	case v.Removing:
		return app.VolumeRemoving
	case v.Made && heard && !s.shows(v):
		return app.VolumeLost
	case s.user(v) != "":
		return app.VolumeInUse
	}
	if a, ok := s.apps[v.App]; ok && hasVolume(&a, v.Name) {
		return app.VolumeKept
	}
	if t, ok := s.tasks.all[v.App]; ok && hasVolume(&t.Spec, v.Name) {
		return app.VolumeKept
	}
	return app.VolumeOrphan
}

func hasVolume(a *app.App, name string) bool {
	return slices.ContainsFunc(a.Volumes, func(v app.Volume) bool { return v.Source == name })
}

// user says who has a volume on a cell that is there; "" if nobody. The caller
// holds s.mu.
func (s *Scheduler) user(v app.StoredVolume) string {
	if s.away(v.Cell) {
		return ""
	}
	for p := range s.placementsOf(v.App) {
		if p.Index != v.Index || p.Cell != v.Cell {
			continue
		}
		if spec := s.specOf(p); hasVolume(&spec, v.Name) {
			return fmt.Sprintf("instance %d of app %s", p.Index, p.App)
		}
	}
	for key := range s.book.toldOf[v.App] {
		in := s.book.told[key]
		_, placed := s.placements[in.ID]
		if in.Cell == v.Cell && in.Index == v.Index && in.State != app.Completed && !placed && in.Task == nil {
			return fmt.Sprintf("%s/%d, which is still stopping", in.App, in.Index)
		}
	}
	if t, ok := s.tasks.all[v.App]; ok && hasVolume(&t.Spec, v.Name) && t.Current() != nil {
		return "task " + v.App
	}
	return ""
}

// RemoveVolume has a cell delete a volume with all that is in it; nothing belongs
// to it any more when RemoveVolume returns. It is app.ErrNotFound when there is
// none of that ID, and app.ErrConflict when an instance has it. One that is being
// removed already, from a cell that is gone, is forgotten.
func (s *Scheduler) RemoveVolume(ctx context.Context, id string) error {
	s.write.Lock()
	defer s.write.Unlock()
	s.mu.Lock()
	v, ok := s.volumes[id]
	if !ok {
		v, ok = s.spare(id)
	}
	user, away := s.user(v), s.away(v.Cell)
	s.mu.Unlock()
	switch {
	case !ok:
		return fmt.Errorf("volume %q %w", id, app.ErrNotFound)
	case user != "" && !v.Removing:
		return conflict{fmt.Sprintf("volume %s is in use by %s: stop it first, or scale it down", v.VolumeKey, user)}
	}
	c := app.Change{PutVolumes: []app.StoredVolume{v}}
	if v.Removing && away {
		c = app.Change{DeleteVolumes: []string{id}}
	}
	c.PutVolumes = removing(c.PutVolumes)
	e := volumeEvent(app.VolumeRemoved, v.VolumeKey, v.Cell, "volume %s is deleted from cell %s", v.VolumeKey, v.Cell)
	e.Actor = app.ActorOf(ctx)
	if err := s.commit(c); err != nil {
		return err
	}
	s.cfg.Emit(e)
	s.plan()
	return nil
}

// conflict is app.ErrConflict and prints as its sentence only.
type conflict struct{ sentence string }

func (e conflict) Error() string        { return e.sentence }
func (e conflict) Is(target error) bool { return target == app.ErrConflict }

func removing(all []app.StoredVolume) []app.StoredVolume {
	for i := range all {
		all[i].Removing = true
	}
	return all
}

// spare finds a volume that only a cell knows. The caller holds s.mu.
func (s *Scheduler) spare(id string) (app.StoredVolume, bool) {
	for cell, r := range s.reports {
		for _, v := range r.Volumes {
			if v.ID == id && v.Valid() && app.ValidVolumeID(id) {
				return app.StoredVolume{ID: id, VolumeKey: v.VolumeKey, Cell: cell, CreatedAt: time.Now().UTC(), Made: true}, true
			}
		}
	}
	return app.StoredVolume{}, false
}

// volumesOf returns the volumes of an app, or task. The caller holds s.mu.
func (s *Scheduler) volumesOf(name string) (all []app.StoredVolume) {
	for _, v := range s.volumes {
		if v.App == name && !v.Removing {
			all = append(all, v)
		}
	}
	return all
}
