package scheduler

import (
	"iter"
	"slices"

	"lattice/app"
)

// A book finds what is placed and what is reported by app and by cell, and notes
// what has changed, so that nothing needs to look at everything. Scheduler.mu
// guards it.
type book struct {
	ofApp  map[string]map[string]bool // IDs of placements, by app
	onCell map[string]map[string]bool // and by cell

	told   map[sight]*app.Instance   // what is reported
	toldOf map[string]map[sight]bool // by app

	stale   map[string]bool // apps of which the planner doesn't know how they are
	leaving map[string]bool // cells of which it doesn't know what is leaving
	uses    map[string]use  // by cell, as last counted; without those that have changed since
	images  bool            // it doesn't know where images are
	volumes bool            // nor where volumes are
	heard   bool            // cells have told of their volumes what may not be written down yet
	feeds   []*Feed
}

// A sight is what a cell tells of one instance.
type sight struct{ cell, id string }

func newBook() book {
	return book{ofApp: map[string]map[string]bool{}, onCell: map[string]map[string]bool{}, told: map[sight]*app.Instance{},
		toldOf: map[string]map[sight]bool{}, stale: map[string]bool{}, leaving: map[string]bool{}, uses: map[string]use{}}
}

// enter adds to one of the sets in m.
func enter[K comparable](m map[string]map[K]bool, of string, key K) {
	if m[of] == nil {
		m[of] = map[K]bool{}
	}
	m[of][key] = true
}

// strike takes away what enter added.
func strike[K comparable](m map[string]map[K]bool, of string, key K) {
	if delete(m[of], key); len(m[of]) == 0 {
		delete(m, of)
	}
}

// place adds a placement, or changes it.
func (s *Scheduler) place(p app.Placement) {
	s.placements[p.ID] = p
	enter(s.book.ofApp, p.App, p.ID)
	enter(s.book.onCell, p.Cell, p.ID)
	s.touch(p.App)
}

// unplace takes a placement away.
func (s *Scheduler) unplace(id string) {
	p := s.placements[id]
	delete(s.placements, id)
	strike(s.book.ofApp, p.App, id)
	strike(s.book.onCell, p.Cell, id)
	s.touch(p.App)
}

// placementsOf returns an app's placements.
func (s *Scheduler) placementsOf(name string) iter.Seq[app.Placement] {
	return s.placementsIn(s.book.ofApp[name])
}

// placementsOn returns a cell's placements.
func (s *Scheduler) placementsOn(cell string) iter.Seq[app.Placement] {
	return s.placementsIn(s.book.onCell[cell])
}

func (s *Scheduler) placementsIn(ids map[string]bool) iter.Seq[app.Placement] {
	return func(yield func(app.Placement) bool) {
		for id := range ids {
			if !yield(s.placements[id]) {
				return
			}
		}
	}
}

// hear takes over what a cell reports instead of what it reported before, and
// says whether that matters to a plan.
func (s *Scheduler) hear(before, after app.Report) (matters bool) {
	for i := range after.Instances {
		is := &after.Instances[i]
		key := sight{after.Cell, is.ID}
		was := s.book.told[key]
		switch {
		case was == nil || !samePlan(*was, *is):
			matters = true
			s.touch(is.App)
		case !sameWay(was, is):
			s.show(is.App)
		}
		s.book.told[key] = is
		enter(s.book.toldOf, is.App, key)
	}
	for i := range before.Instances {
		was := &before.Instances[i]
		if key := (sight{before.Cell, was.ID}); s.book.told[key] == was {
			matters = true
			delete(s.book.told, key)
			strike(s.book.toldOf, was.App, key)
			s.touch(was.App)
		}
	}
	s.book.images = s.book.images || !slices.Equal(before.Images, after.Images)
	if matters {
		s.stir(after.Cell)
	}
	return matters
}

// samePlan compares what a plan goes by.
func samePlan(a, b app.Instance) bool {
	return a.ID == b.ID && a.State == b.State && a.Unready == b.Unready && a.Stopping == b.Stopping && a.Crashes == b.Crashes && a.Stray == b.Stray
}

// sameWay compares what else a router goes by.
func sameWay(a, b *app.Instance) bool {
	return a.GUID == b.GUID && a.IP == b.IP && a.Host == b.Host && a.Since.Equal(b.Since) && slices.Equal(a.Ports, b.Ports)
}

// sighted returns what the cell of a placement tells of it.
func (s *Scheduler) sighted(p app.Placement) (app.Instance, bool) {
	in := s.book.told[sight{p.Cell, p.ID}]
	if in == nil || in.Stray {
		return app.Instance{}, false
	}
	return *in, true
}

// touch notes that an app, or what runs of it, is not as it was.
func (s *Scheduler) touch(name string) {
	s.book.stale[name] = true
	s.show(name)
}

// stir notes that what is on a cell is not as it was.
func (s *Scheduler) stir(cell string) {
	s.book.leaving[cell] = true
	delete(s.book.uses, cell)
}

// show notes that the Status of an app is not as it was, in a way that routers
// go by.
func (s *Scheduler) show(name string) {
	for _, f := range s.book.feeds {
		f.names[name] = true
	}
}

// A Feed tells which apps have changed in a way that routers go by.
type Feed struct {
	s     *Scheduler
	names map[string]bool
}

// NewFeed returns a Feed that has yet to tell of all apps.
func (s *Scheduler) NewFeed() *Feed {
	s.mu.Lock()
	defer s.mu.Unlock()
	f := &Feed{s: s, names: map[string]bool{}}
	for name := range s.apps {
		f.names[name] = true
	}
	s.book.feeds = append(s.book.feeds, f)
	return f
}

// Close ends f.
func (f *Feed) Close() {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	f.s.book.feeds = slices.DeleteFunc(f.s.book.feeds, func(o *Feed) bool { return o == f })
}

// Next returns the apps that have changed since it was last called, and the
// names of those that are gone.
func (f *Feed) Next() (changed []app.Status, gone []string) {
	f.s.mu.Lock()
	defer f.s.mu.Unlock()
	for name := range f.names {
		if a, ok := f.s.apps[name]; ok {
			changed = append(changed, app.Status{App: a, Instances: f.s.instances(name)})
		} else {
			gone = append(gone, name)
		}
	}
	clear(f.names)
	return changed, gone
}
