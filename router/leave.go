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

// InFlight returns how many requests and tunnels an instance (Backend.Instance)
// has now, also when it is in the table no more.
func (r *Router) InFlight(instance string) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	var n int64
	for _, up := range r.upstreams {
		if up.instance == instance {
			n += up.inFlight.Load()
		}
	}
	for up := range r.leaving {
		if up.instance == instance {
			n += up.inFlight.Load()
		}
	}
	return int(n)
}
