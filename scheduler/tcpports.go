package scheduler

import (
	"fmt"
	"slices"

	"lattice/app"
)

// A portRange is the ports that are given to TCP routes which name none.
type portRange struct{ first, last int }

// A tcpOwner is an app with one of its routes.
type tcpOwner struct {
	route app.TCPRoute
	app   string
}

// claimPorts returns the TCP routes with a port in the place of each that is 0:
// the one that such a route had before, or the first that is free. taken says
// who stands in the way of a route, "" for nobody. It is app.ErrInvalid when
// somebody has one that is asked for.
func claimPorts(routes, had []app.TCPRoute, taken func(app.TCPRoute) string, from portRange) ([]app.TCPRoute, error) {
	routes = slices.Clone(routes)
	used := map[int]bool{}
	for _, r := range routes {
		if r.External == 0 {
			continue
		}
		if who := taken(r); who != "" {
			return nil, app.Invalid("the TCP route %s can't be: port %d is %s; choose another, or auto for any that is free", r, r.External, who)
		}
		used[r.External] = true
	}
	for i := range routes {
		r := &routes[i]
		if r.External != 0 {
			continue
		}
		free := func(port int) bool { return !used[port] && taken(app.TCPRoute{External: port}) == "" }
		if at := slices.IndexFunc(had, func(h app.TCPRoute) bool { return h.Port == r.Port && free(h.External) }); at >= 0 {
			r.External = had[at].External
		} else if r.External = from.free(free); r.External == 0 {
			return nil, app.Invalid("no port from %d to %d is free for a TCP route: name another, or give the brain more with --tcp-ports", from.first, from.last)
		}
		used[r.External] = true
	}
	return routes, nil
}

// free returns the first port of which ok is true, or 0.
func (r portRange) free(ok func(port int) bool) int {
	for port := max(1, r.first); port <= r.last; port++ {
		if ok(port) {
			return port
		}
	}
	return 0
}

// withPorts gives a, in the place of was, the ports of its TCP routes. The
// caller holds s.write.
func (s *Scheduler) withPorts(a, was app.App) (app.App, error) {
	if len(a.TCPRoutes) == 0 {
		return a, nil
	}
	reserved := s.cfg.Reserved()
	others := map[int][]tcpOwner{}
	s.mu.Lock()
	for _, other := range s.apps {
		for _, r := range other.TCPRoutes {
			if other.Name != a.Name {
				others[r.External] = append(others[r.External], tcpOwner{r, other.Name})
			}
		}
	}
	s.mu.Unlock()
	taken := func(r app.TCPRoute) string {
		if who := reserved[r.External]; who != "" {
			return "where " + who + " is"
		}
		for _, o := range others[r.External] {
			if r.Clashes(o.route) {
				return fmt.Sprintf("that of a TCP route of app %q", o.app)
			}
		}
		return ""
	}
	var err error
	a.TCPRoutes, err = claimPorts(a.TCPRoutes, was.TCPRoutes, taken, portRange{s.cfg.FirstTCPPort, s.cfg.LastTCPPort})
	return a, err
}
