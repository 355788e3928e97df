package router

import "lattice/app"

// RouteStatuses returns all routes of the table by host and path.
func (r *Router) RouteStatuses() []app.RouteStatus {
	routes := r.table.Load().Routes()
	all := make([]app.RouteStatus, len(routes))
	for i, route := range routes {
		all[i] = app.RouteStatus{Host: route.Host, Path: route.Path, Apps: route.Apps, Backends: make([]app.BackendStatus, len(route.Backends))}
		if route.policy != nil {
			all[i].Options = route.policy.options.Typed()
		}
		ups := *route.ups.Load()
		for n, b := range route.Backends {
			all[i].Backends[n] = b.status(ups[n].inFlight.Load(), ups[n].restUntil.Load() != 0)
		}
	}
	return all
}

func (b *Backend) status(open int64, ejected bool) app.BackendStatus {
	return app.BackendStatus{App: b.App, Index: b.Index, Instance: b.Instance, Port: b.Port, Address: b.Addr, InFlight: int(open), Ejected: ejected}
}
