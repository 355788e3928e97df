package router

import (
	"cmp"
	"maps"
	"slices"

	"lattice/app"
)

// Counts returns the counts so far, those of an app since the table has a route
// of it, with all instances in the table. They are read one after the other, so
// they need not fit together to the last request.
func (r *Router) Counts() app.RouterCounts {
	c := &r.count
	all := app.RouterCounts{
		Requests: c.requests.Load(), Unrouted: c.unrouted.Load(), Retries: c.retries.Load(), Unreachable: c.unreachable.Load(),
		Ejections: c.ejections.Load(), Aborted: c.aborted.Load(), Connections: c.clients.Load(), Routes: r.table.Load().count,
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	all.Apps = make(map[string]app.AppCounts, len(r.traffic))
	for name, t := range r.traffic {
		all.Apps[name] = t.counts()
	}
	all.Backends = make([]app.BackendStatus, 0, len(r.upstreams))
	for _, up := range r.upstreams {
		all.Backends = append(all.Backends, up.of.status(up.inFlight.Load(), up.restUntil.Load() != 0))
	}
	slices.SortFunc(all.Backends, compareBackends)
	return all
}

func compareBackends(a, b app.BackendStatus) int {
	return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Address, b.Address))
}

func (t *traffic) counts() app.AppCounts {
	c := app.AppCounts{Buckets: make([]uint64, len(t.buckets)), Took: float64(t.took.Load()) / 1e9}
	for i := range t.codes {
		c.Codes[i] = t.codes[i].Load()
	}
	for i := range t.buckets {
		c.Buckets[i] = t.buckets[i].Load()
	}
	return c
}

// Telling returns c without the apps and instances of which there is nothing to
// tell.
func Telling(c app.RouterCounts) app.RouterCounts {
	c.Apps = maps.Clone(c.Apps)
	maps.DeleteFunc(c.Apps, func(_ string, a app.AppCounts) bool { return a.Codes == [6]uint64{} })
	c.Backends = slices.DeleteFunc(slices.Clone(c.Backends), func(b app.BackendStatus) bool { return b.InFlight == 0 && !b.Ejected })
	return c
}
