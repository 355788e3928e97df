package router

// see keeps an eye on upstreams that have left the table while they still have
// requests. r.mu must be held.
func (r *Router) see(gone []*upstream) {
	if r.leaving == nil {
		r.leaving = map[*upstream]bool{}
	}
	for _, up := range gone {
		r.leaving[up] = true
	}
	for up := range r.leaving {
		if up.inFlight.Load() == 0 {
			delete(r.leaving, up)
		}
	}
}

// Leaving returns how many requests and tunnels there are of instances that are
// in the table no more, by Backend.Instance.
func (r *Router) Leaving() map[string]int {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := map[string]int{}
	for up := range r.leaving {
		if n := up.inFlight.Load(); n > 0 {
			all[up.of.Instance] += int(n)
		} else {
			delete(r.leaving, up)
		}
	}
	return all
}

// InFlight returns how many requests and tunnels an instance (Backend.Instance)
// has now, also when it is in the table no more.
func (r *Router) InFlight(instance string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var n int64
	for _, up := range r.upstreams {
		if up.of.Instance == instance {
			n += up.inFlight.Load()
		}
	}
	for up := range r.leaving {
		if up.of.Instance == instance {
			n += up.inFlight.Load()
		}
	}
	return int(n)
}
