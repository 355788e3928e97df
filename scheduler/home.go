package scheduler

import (
	"fmt"
	"maps"
	"slices"

	"lattice/app"
)

// SetVolumes says which cells have the named volumes that there are.
func (p *Planner) SetVolumes(at map[app.VolumeKey]string) {
	was := p.volumes
	p.volumes = maps.Clone(at)
	for _, m := range []map[app.VolumeKey]string{was, at} {
		for key := range m {
			if g := p.groups[key.App]; g != nil && was[key] != at[key] {
				p.restless[g.name] = g
			}
		}
	}
}

// home returns a volume of an instance, or task, that a cell has; the instance
// can't be anywhere else. bound is false if there is none.
func (p *Planner) home(spec *app.App, index int) (key app.VolumeKey, bound bool) {
	if len(p.volumes) == 0 {
		return key, false
	}
	for _, v := range spec.Volumes {
		key = app.VolumeKey{App: spec.Name, Name: v.Source, Index: index}
		if _, there := p.volumes[key]; v.Named() && there {
			return key, true
		}
	}
	return key, false
}

// atHome returns the cell that has the instance's volumes, if it can go there.
func (p *Planner) atHome(w wish, home app.VolumeKey) (*host, refusal) {
	cell := p.volumes[home]
	for _, v := range w.spec.NamedVolumes() {
		key := app.VolumeKey{App: home.App, Name: v.Source, Index: home.Index}
		if other, there := p.volumes[key]; there && other != cell {
			return nil, refusal{reason: fmt.Sprintf("its volume %s is on cell %s and %s on cell %s: move one to the other, or take one of them away from the app", home, cell, key, other)}
		}
	}
	h := p.fleet.byID[cell]
	switch {
	case h == nil || h.State == app.CellDead:
		return nil, gone(home, cell)
	case h.State == app.CellSuspect:
		return nil, refusal{reason: fmt.Sprintf("its volume %s is on cell %s, which does not answer: it waits for the cell", home, cell)}
	case h.Draining:
		return nil, refusal{reason: fmt.Sprintf("its volume %s is on cell %s, which is draining, and stays there: 'ltc cell undrain %s' lets it go on, docs/volumes.md says how to move a volume", home, cell, cell)}
	case p.fleet.at(h, w.old, p.yielded(w, h)):
		return h, refusal{}
	}
	if most := p.fleet.MaxStartsPerCell; most > 0 && h.starting >= most {
		return nil, refusal{true, fmt.Sprintf("waits for its turn: %s starting on cell %s, which has its volume %s", count(h.starting, "instance is", "instances are"), cell, home)}
	}
	return nil, refusal{reason: fmt.Sprintf("its volume %s is on cell %s and nowhere else: %s", home, cell, p.fleet.survey(w.spec, []*host{h}))}
}

// gone is for an instance whose volume is on a cell that is not there.
func gone(home app.VolumeKey, cell string) refusal {
	return refusal{reason: fmt.Sprintf("its volume %s is on cell %s, which is gone: it waits until the cell is back; 'ltc volumes remove %s' gives the volume up, and lets it start elsewhere with an empty one", home, cell, home)}
}

// holds reports whether a placement on a cell that is not there stays, as its
// volume is there, and says why nothing runs.
func (p *Planner) holds(g *group, x *Placed) bool {
	if x.Index >= g.app.Wanted() {
		return false
	}
	home, bound := p.home(p.target(g, x.Index), x.Index)
	if !bound || p.volumes[home] != x.Cell {
		return false
	}
	g.calm = false
	p.d.Refused = append(p.d.Refused, Refusal{App: g.name, Index: x.Index, Reason: gone(home, x.Cell).reason})
	return true
}

// shares reports whether instances of both must not run at the same time, as they
// would have the same volume.
func shares(a, b *app.App) bool {
	return a != nil && slices.ContainsFunc(a.NamedVolumes(), func(v app.Volume) bool {
		return slices.ContainsFunc(b.NamedVolumes(), func(o app.Volume) bool { return o.Source == v.Source })
	})
}

// succeeds reports whether x counts as changing, as it most likely took the place
// of one that had to stop before.
func (g *group) succeeds(x *Placed, spec *app.App) bool {
	r := g.app.Rollout
	return len(spec.NamedVolumes()) > 0 && (x.Starting || r != nil && !ended(r))
}

// yields takes the instance away that has the volume of its successor, and reports
// whether that may be started: not before the requests of the former have ended.
func (p *Planner) yields(w wish) bool {
	w.group.calm = false
	if x := w.before; x.Health == Healthy && x.Busy {
		p.d.Retired = append(p.d.Retired, x.Placement)
		return false
	}
	p.d.Stop = append(p.d.Stop, w.before.Placement)
	return true
}

// yielded is the room on h that the instance has whose place another takes.
func (p *Planner) yielded(w wish, h *host) room {
	if w.before == nil || w.before.Cell != h.ID {
		return room{}
	}
	return toRoom(needs(p.spec(w.group, w.before.Revision)))
}

// more is what an instance takes on h beyond what the one has whose place it takes.
func (p *Planner) more(w wish, h *host) app.Resources {
	need, has := needs(w.spec), p.yielded(w, h)
	return app.Resources{
		MemoryMB: max(0, need.MemoryMB-int(has.memory)), DiskMB: max(0, need.DiskMB-int(has.disk)),
		CPUMilli: max(0, need.CPUMilli-int(has.cpu)), Containers: need.Containers - int(has.slots),
	}
}

// makeVolumes notes that the volumes of a placement are where it is.
func (f *Facts) makeVolumes(p app.Placement) {
	spec := f.Revisions[app.RevisionKey{App: p.App, Number: p.Revision}]
	if spec == nil {
		return
	}
	for _, v := range spec.NamedVolumes() {
		if key := (app.VolumeKey{App: p.App, Name: v.Source, Index: p.Index}); f.Volumes != nil && f.Volumes[key] == "" {
			f.Volumes[key] = p.Cell
		}
	}
}
