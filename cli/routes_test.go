package cli

import (
	"strings"

	"lattice/app"
)

// RouteStatuses has the first instance of each app as one that can't be reached.
func (b *fakeBrain) RouteStatuses() []app.RouteStatus {
	var all []app.RouteStatus
	for _, s := range b.Statuses() {
		r := app.RouteStatus{Host: s.App.Name + ".lattice.test", Apps: []string{s.App.Name}, Backends: []app.BackendStatus{}}
		for _, in := range s.Instances {
			if in.State == app.Running {
				r.Backends = append(r.Backends, app.BackendStatus{App: in.App, Index: in.Index, Instance: in.GUID, Port: 8080, Address: "10.0.0.7:60001", InFlight: in.Index, Ejected: in.Index == 0})
			}
		}
		for _, route := range s.App.Routes {
			r.Options = append(r.Options, strings.Join(route.Options.Typed(), ", "))
		}
		all = append(all, r)
	}
	return all
}
