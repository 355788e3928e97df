package router

import (
	"hash/maphash"
	"maps"
	"slices"
	"strings"
	"sync/atomic"

	"lattice/app"
)

// A draft is a table that is being made. What it has from another table it
// copies before it changes it.
type draft struct {
	*Table
	own map[*map[string]*site]bool // parts that nobody else has
}

// fresh returns the draft of a table made from nothing.
func fresh() draft { return draft{newTable(), make(map[*map[string]*site]bool)} }

// follow returns the draft of a table made from t.
func follow(t *Table) draft {
	next := &Table{
		seed: t.seed, exact: slices.Clone(t.exact), wild: slices.Clone(t.wild), count: t.count,
		self: new(origin), from: t.self,
	}
	return draft{next, make(map[*map[string]*site]bool)}
}

// put makes r the route with its host and path.
func (d *draft) put(r *Route) {
	part, key := d.part(r.Host)
	s := d.site((*part)[key])
	(*part)[key] = s
	if s.at(r.Path) == nil {
		d.count++
	}
	if r.Path == "" {
		s.root = r
		return
	}
	if s.paths == nil {
		s.paths = make(map[string]*Route, 1)
	}
	s.paths[r.Path] = r
	s.longest = max(s.longest, len(r.Path))
}

// remove takes a route out that is there.
func (d *draft) remove(host, path string) {
	part, key := d.part(host)
	s := d.site((*part)[key])
	(*part)[key] = s
	d.count--
	if path == "" {
		s.root = nil
	} else {
		delete(s.paths, path)
		s.longest = 0
		for p := range s.paths {
			s.longest = max(s.longest, len(p))
		}
	}
	if s.root == nil && len(s.paths) == 0 {
		delete(*part, key)
	}
}

// part returns the part that host belongs in, fit to be changed, and its key there.
func (d *draft) part(host string) (*map[string]*site, string) {
	h := d.exact
	key, wild := strings.CutPrefix(host, "*.")
	if wild {
		if d.wild == nil {
			d.wild = make(hosts, parts)
		}
		h = d.wild
	}
	part := &h[maphash.String(d.seed, key)%parts]
	if !d.own[part] {
		d.own[part] = true
		if *part = maps.Clone(*part); *part == nil {
			*part = make(map[string]*site, 1)
		}
	}
	return part, key
}

// site returns s if it may be changed, else a copy; nil is an empty one.
func (d *draft) site(s *site) *site {
	switch {
	case s == nil:
		return &site{of: d.self}
	case s.of == d.self:
		return s
	}
	return &site{s.root, maps.Clone(s.paths), s.longest, d.self}
}

// A way is what one app adds to the route with this host and path.
type way struct {
	host, path string
	options    *app.RouteOptions
	backends   []*Backend
}

// join adds a way of an app whose name comes after those of all others that
// have the route.
func (d *draft) join(name string, w *way) {
	r := d.same(w.host, w.path)
	if r == nil {
		r = &Route{Host: w.host, Path: w.path, turn: new(atomic.Uint64)}
		d.put(r)
	}
	r.add(name, w)
}

// add adds what an app has for the route. The first options there are count.
func (r *Route) add(name string, w *way) {
	r.Apps = append(r.Apps, name)
	r.Backends = append(r.Backends, w.backends...)
	if r.policy == nil {
		r.policy = newPolicy(w.options)
	}
}
