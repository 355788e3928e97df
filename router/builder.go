package router

import (
	"encoding/binary"
	"encoding/json"
	"hash/maphash"
	"reflect"
	"slices"
	"sync/atomic"

	"lattice/app"
)

// A Builder makes a table from the one before, in a time that goes by what has
// changed and not by the number of routes. Its tables are those that Build
// makes of the same apps. It is not safe for concurrent use.
type Builder struct {
	domain string
	local  func(cell string) bool
	seed   maphash.Seed

	table *Table // the last one given out
	next  *draft // what has changed since; nil: nothing
	dirty map[place]bool
	apps  map[string]*entry
	round uint64 // of Sync
}

// A place is where a route is.
type place struct{ host, path string }

// An entry is one app as the table has it.
type entry struct {
	print uint64 // of all that ways goes by
	ways  []way
	round uint64
}

// NewBuilder returns a Builder without apps. domain and local are as for Build.
func NewBuilder(domain string, local func(cell string) bool) *Builder {
	if local == nil {
		local = func(string) bool { return false }
	}
	return &Builder{
		domain: domain, local: local, seed: maphash.MakeSeed(),
		table: newTable(), dirty: make(map[place]bool), apps: make(map[string]*entry),
	}
}

// Table returns the table of the apps so far; the same one if nothing has changed.
func (b *Builder) Table() *Table {
	if b.next == nil {
		return b.table
	}
	t := b.next.Table
	for at := range b.dirty {
		if was := b.table.same(at.host, at.path); was != nil {
			t.removed = append(t.removed, was)
		}
		if is := t.same(at.host, at.path); is != nil {
			t.added = append(t.added, is)
		}
	}
	b.table, b.next = t, nil
	clear(b.dirty)
	return t
}

// Sync makes statuses all the apps there are. It looks at each of them, but
// does no more for those that are as they were.
func (b *Builder) Sync(statuses []app.Status) {
	b.round++
	for i := range statuses {
		b.Set(&statuses[i])
		b.apps[statuses[i].App.Name].round = b.round
	}
	if len(b.apps) == len(statuses) {
		return
	}
	for name, e := range b.apps {
		if e.round != b.round {
			b.Remove(name)
		}
	}
}

// Set adds an app, or changes it.
func (b *Builder) Set(s *app.Status) {
	print := b.print(s)
	e := b.apps[s.App.Name]
	if e == nil {
		e = &entry{}
		b.apps[s.App.Name] = e
	} else if e.print == print {
		return
	}
	was := e.ways
	e.print, e.ways = print, ways(s, b.domain, b.local)
	b.change(s.App.Name, was, e.ways)
}

// Remove takes an app out; one that isn't there is no error.
func (b *Builder) Remove(name string) {
	if e := b.apps[name]; e != nil {
		was := e.ways
		delete(b.apps, name)
		b.change(name, was, nil)
	}
}

// change makes the routes anew that an app had or has, unless they stay as
// they are.
func (b *Builder) change(name string, was, is []way) {
	for i := range was {
		if find(is, was[i].host, was[i].path) == nil {
			b.remake(was[i].host, was[i].path, name)
		}
	}
	for i := range is {
		old := find(was, is[i].host, is[i].path)
		if old == nil || !reflect.DeepEqual(old.options, is[i].options) || !slices.EqualFunc(old.backends, is[i].backends, func(a, b *Backend) bool { return *a == *b }) {
			b.remake(is[i].host, is[i].path, name)
		}
	}
}

func find(all []way, host, path string) *way {
	for i := range all {
		if all[i].host == host && all[i].path == path {
			return &all[i]
		}
	}
	return nil
}

// remake makes one route anew; name is the app that may have come or gone.
func (b *Builder) remake(host, path, name string) {
	if b.next == nil {
		d := follow(b.table)
		b.next = &d
	}
	b.dirty[place{host, path}] = true
	r := &Route{Host: host, Path: path, turn: new(atomic.Uint64)}
	names := []string{name}
	was := b.next.same(host, path)
	if was != nil {
		r.turn = was.turn
		names = slices.Clone(was.Apps)
		if at, found := slices.BinarySearch(names, name); !found {
			names = slices.Insert(names, at, name)
		}
	}
	for _, n := range names {
		if e := b.apps[n]; e != nil {
			if w := find(e.ways, host, path); w != nil {
				r.add(n, w)
			}
		}
	}
	if was != nil {
		r.policy = r.policy.succeeding(was.policy)
	}
	if len(r.Apps) > 0 {
		b.next.put(r)
	} else if was != nil {
		b.next.remove(host, path)
	}
}

// print returns a number that changes when anything changes that ways goes by.
func (b *Builder) print(s *app.Status) uint64 {
	h := printer{buf: make([]byte, 0, 512)}
	h.number(len(s.App.Ports))
	for _, p := range s.App.Ports {
		h.number(p)
	}
	h.flag(s.App.NoRoutes)
	h.number(len(s.App.Routes))
	for _, r := range s.App.Routes {
		h.text(r.Host)
		h.text(r.Path)
		h.number(r.Port)
		h.options(r.Options)
	}
	for i := range s.Instances {
		h.instance(&s.Instances[i])
	}
	return maphash.Bytes(b.seed, h.buf)
}

// A printer writes values so that different ones never look the same.
type printer struct{ buf []byte }

func (h *printer) number(n int) { h.buf = binary.AppendVarint(h.buf, int64(n)) }

func (h *printer) text(s string) {
	h.number(len(s))
	h.buf = append(h.buf, s...)
}

func (h *printer) flag(b bool) {
	if b {
		h.buf = append(h.buf, 1)
	} else {
		h.buf = append(h.buf, 0)
	}
}

func (h *printer) options(o *app.RouteOptions) {
	if o == nil {
		h.text("")
		return
	}
	text, _ := json.Marshal(o) // it has nothing that can't be
	h.text(string(text))
}

func (h *printer) instance(in *app.Instance) {
	h.flag(in.State == app.Running)
	for _, b := range []bool{in.Unready, in.Draining, in.Stopping, in.Stray} {
		h.flag(b)
	}
	for _, s := range []string{in.ID, in.App, in.GUID, in.Cell, in.IP, in.Host} {
		h.text(s)
	}
	h.number(in.Index)
	h.buf = binary.AppendUvarint(h.buf, in.Revision)
	h.buf = binary.AppendVarint(h.buf, in.Since.UnixNano())
	h.number(len(in.Ports))
	for _, p := range in.Ports {
		h.number(p.Container)
		h.number(p.Host)
	}
}
