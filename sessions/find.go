package sessions

import (
	"cmp"
	"fmt"
	"slices"

	"lattice/app"
)

// Find returns where the instance of an app is: the one of that index or, for
// app.NoIndex, the first that runs.
func Find(st app.Status, index int) (app.SessionPlace, error) {
	name := st.App.Name
	if index != app.NoIndex && !slices.ContainsFunc(st.Instances, func(in app.Instance) bool { return in.Index == index }) {
		return app.SessionPlace{}, fmt.Errorf("instance %s/%d does not exist: %w", name, index, there(st))
	}
	why := error(nil)
	all := slices.Clone(st.Instances)
	slices.SortStableFunc(all, func(a, b app.Instance) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), cmp.Compare(a.Index, b.Index))
	})
	for _, in := range all {
		if index != app.NoIndex && in.Index != index {
			continue
		}
		if in.GUID != "" && !in.Stopping && (in.State == app.Running || in.State == app.Claimed) {
			return app.SessionPlace{App: name, Index: in.Index, Cell: in.Cell, ID: in.ID, GUID: in.GUID}, nil
		}
		if why == nil {
			why = notRunning(fmt.Sprintf("%s/%d", name, in.Index), in)
		}
	}
	if why == nil {
		why = fmt.Errorf("%s has no instances: scale or start it first: %w", name, app.ErrConflict)
	}
	return app.SessionPlace{}, why
}

// rank puts those first that a person most likely means.
func rank(in app.Instance) int {
	switch {
	case in.State == app.Running && !in.Draining:
		return 0
	case in.State == app.Running:
		return 1
	case in.GUID != "":
		return 2
	}
	return 3
}

func there(st app.Status) error {
	if len(st.Instances) == 0 {
		return fmt.Errorf("%s has no instances: %w", st.App.Name, app.ErrNotFound)
	}
	most := slices.MaxFunc(st.Instances, func(a, b app.Instance) int { return a.Index - b.Index }).Index
	if most == 0 {
		return fmt.Errorf("%s has only instance 0: %w", st.App.Name, app.ErrNotFound)
	}
	return fmt.Errorf("%s has instances 0 to %d: %w", st.App.Name, most, app.ErrNotFound)
}

func notRunning(name string, in app.Instance) error {
	if in.Reason != "" {
		return fmt.Errorf("%s does not run, it is %s (%s): %w", name, in.State, in.Reason, app.ErrConflict)
	}
	return fmt.Errorf("%s does not run, it is %s: %w", name, in.State, app.ErrConflict)
}

// FindTask returns where the task runs.
func FindTask(t app.Task) (app.SessionPlace, error) {
	if t.Run == nil || t.Run.GUID == "" || t.State == app.Completed {
		return app.SessionPlace{}, fmt.Errorf("the task %s does not run, it is %s: %w", t.Name, t.State, app.ErrConflict)
	}
	return app.SessionPlace{App: t.Name, Task: true, Index: app.NoIndex, Cell: t.Run.Cell, ID: t.Run.ID, GUID: t.Run.GUID}, nil
}
