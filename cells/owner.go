package cells

import (
	"reflect"

	"lattice/app"
)

// owner says which store an instance belongs to, and what its app is there. Both
// can change while the instance runs: when it is adopted, and when the app
// changes in a way that needs no new container.
type owner struct {
	store string
	app   app.App
}

// assign notes that the store with this ID wants the instance as as says, and
// writes it down if that is news.
func (in *instance) assign(store string, as app.Assignment) {
	in.mu.Lock()
	now := owner{store, as.App}
	news := !reflect.DeepEqual(in.owner, now)
	in.owner = now
	in.mu.Unlock()
	if news {
		in.note(func(*record) {})
	}
}

// claim notes whether the store with this ID has the instance, and reports it.
func (in *instance) claim(store string) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.view.Stray = in.owner.store != store
	return !in.view.Stray
}

// strays returns what is known of the instances that the brain doesn't know.
func (a *Agent) strays() []app.Assignment {
	a.mu.Lock()
	defer a.mu.Unlock()
	var all []app.Assignment
	for _, in := range a.instances {
		in.mu.Lock()
		if in.view.Stray {
			all = append(all, app.Assignment{ID: in.view.ID, Index: in.view.Index, App: in.owner.app, Task: in.rec.Assignment.Task})
		}
		in.mu.Unlock()
	}
	return all
}
