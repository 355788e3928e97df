package router

import (
	"cmp"
	"slices"
	"sync/atomic"
)

// Stats are counts since the router was made, but for InFlight.
type Stats struct {
	Requests    uint64    // that came in
	Codes       [6]uint64 // answers by class: Codes[2] are 2xx; Codes[4] has no ClientGone; Codes[0] is unused
	ClientGone  uint64    // the client went before an answer came
	Aborted     uint64    // an answer broke off: its instance died or its client went
	Retries     uint64    // tries after a request's first
	Unreachable uint64    // tries for which no connection could be made
	Ejections   uint64    // instances that were passed over from then on
	Backends    []BackendStats
}

// BackendStats are the numbers of one instance in the current table.
type BackendStats struct {
	Backend
	InFlight int64 // requests and tunnels that it has now
	Resting  bool  // passed over because it could not be reached
}

type counters struct {
	requests, unrouted, clientGone, aborted, retries, unreachable, ejections atomic.Uint64

	clients atomic.Int64 // connections that are open

	codes [6]atomic.Uint64
}

// answered counts an answer by its status.
func (c *counters) answered(code int) {
	if code == statusClientGone {
		c.clientGone.Add(1)
		return
	}
	if class := code / 100; class < len(c.codes) {
		c.codes[class].Add(1)
	}
}

// Stats returns the counts so far. They are read one after the other, so they
// need not fit together to the last request. Backends are sorted by app, index
// and address.
func (r *Router) Stats() Stats {
	s := Stats{
		Requests:    r.count.requests.Load(),
		ClientGone:  r.count.clientGone.Load(),
		Aborted:     r.count.aborted.Load(),
		Retries:     r.count.retries.Load(),
		Unreachable: r.count.unreachable.Load(),
		Ejections:   r.count.ejections.Load(),
	}
	for i := range s.Codes {
		s.Codes[i] = r.count.codes[i].Load()
	}
	seen := make(map[*upstream]bool)
	s.Backends = []BackendStats{}
	for _, route := range r.table.Load().Routes() {
		for i, up := range *route.ups.Load() {
			if !seen[up] {
				seen[up] = true
				s.Backends = append(s.Backends, BackendStats{*route.Backends[i], up.inFlight.Load(), up.restUntil.Load() != 0})
			}
		}
	}
	slices.SortFunc(s.Backends, func(a, b BackendStats) int {
		return cmp.Or(cmp.Compare(a.App, b.App), cmp.Compare(a.Index, b.Index), cmp.Compare(a.Addr, b.Addr))
	})
	return s
}
