package scheduler

import (
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"lattice/app"
)

// adoption gathers what brings strays back under management.
type adoption struct {
	strays map[string]app.Assignment // by placement
	apps   map[string]app.App        // adopted ones, by name, at their newest revision
	tasks  []app.Task

	revisions  []app.Revision
	placements []app.Placement
	taken      []app.Instance
	err        error
}

// take adopts one stray; exists says that the store has an app or a task of its
// name.
func (a *adoption) take(in app.Instance, exists bool) {
	stray, known := a.strays[in.ID]
	spec := stray.App
	switch {
	case exists:
		if !errors.Is(a.err, app.ErrExists) {
			a.err = fmt.Errorf("app or task %q %w: discard its strays, or remove the app or delete the task and adopt again", in.App, app.ErrExists)
		}
		return
	case !known:
		a.err = errors.Join(a.err, fmt.Errorf("%s/%d: its cell does not know its spec: %w", in.App, in.Index, app.ErrNotFound))
		return
	case in.Task != nil:
		a.takeTask(in, stray)
		return
	}
	spec.Rollout, spec.Stopped, spec.Held = nil, false, ""
	if !slices.ContainsFunc(a.revisions, func(r app.Revision) bool { return r.App.Name == spec.Name && r.App.Revision == spec.Revision }) {
		a.revisions = append(a.revisions, app.Revision{App: spec, At: time.Now().UTC(), Cause: "adopted"})
	}
	instances := max(in.Index+1, spec.Instances, a.apps[in.App].Instances)
	if newest, ok := a.apps[in.App]; ok && newest.Revision > spec.Revision {
		spec = newest
	}
	spec.Instances = instances
	a.apps[in.App] = spec
	a.placements = append(a.placements, app.Placement{ID: in.ID, App: in.App, Index: in.Index, Cell: in.Cell, Revision: in.Revision, At: time.Now().UTC()})
	a.taken = append(a.taken, in)
}

// takeTask adopts the attempt of a task, as its last one.
func (a *adoption) takeTask(in app.Instance, stray app.Assignment) {
	now := time.Now().UTC()
	t := app.Task{Name: stray.App.Name, Spec: stray.App}
	if stray.Task != nil {
		t.TaskOptions = stray.Task.TaskOptions
	}
	t = t.WithDefaults()
	t.State, t.CreatedAt = app.Claimed, now
	t.Attempts = []app.Attempt{{ID: in.ID, Cell: in.Cell, At: now}}
	a.tasks = append(a.tasks, t)
	a.taken = append(a.taken, in)
}

func (a *adoption) change() app.Change {
	return app.Change{PutTasks: a.tasks, PutApps: slices.Collect(maps.Values(a.apps)), PutRevisions: a.revisions, PutPlacements: a.placements}
}
