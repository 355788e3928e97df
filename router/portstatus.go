package router

import (
	"cmp"
	"slices"

	"lattice/app"
)

// InFlight returns how many connections an instance (Backend.Instance) has.
func (p *Ports) InFlight(instance string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, e := range p.ends {
		if key.instance == instance {
			n += e.open
		}
	}
	return n
}

// Leaving returns how many connections there are to instances that no route
// leads to any more, by Backend.Instance.
func (p *Ports) Leaving() map[string]int {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[string]int{}
	for key, e := range p.ends {
		if e.gone && e.open > 0 {
			all[key.instance] += e.open
		}
	}
	return all
}

// Problems returns why ports are not open that should be, by port.
func (p *Ports) Problems() map[int]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[int]string{}
	for number, at := range p.ports {
		if at.problem != "" {
			all[number] = at.problem
		}
	}
	return all
}

// RouteStatuses returns the routes by port.
func (p *Ports) RouteStatuses() []app.RouteStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]app.RouteStatus, 0, len(p.ports))
	for number, at := range p.ports {
		for _, r := range at.routes {
			counts := p.flows[r.flow()].now()
			s := app.RouteStatus{
				External: number, Host: r.SNI, Apps: []string{r.name}, Options: r.Options(), Problem: at.problem,
				Connections: &counts, Backends: []app.BackendStatus{},
			}
			for _, b := range r.backends {
				e := p.ends[endpoint{b.Addr, b.Instance}]
				s.Backends = append(s.Backends, b.status(int64(e.open), e.restUntil != 0))
			}
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b app.RouteStatus) int {
		return cmp.Or(cmp.Compare(a.External, b.External), cmp.Compare(a.Host, b.Host))
	})
	return all
}

// Counts returns the counts of all routes, by port, each since it is there.
func (p *Ports) Counts() []app.TCPCounts {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]app.TCPCounts, 0, len(p.flows))
	for _, f := range p.flows {
		c := f.now()
		if at := p.ports[c.External]; at != nil {
			c.Problem = at.problem
		}
		all = append(all, c)
	}
	slices.SortFunc(all, func(a, b app.TCPCounts) int {
		return cmp.Or(cmp.Compare(a.External, b.External), cmp.Compare(a.SNI, b.SNI), cmp.Compare(a.App, b.App))
	})
	return all
}

// Backends returns the instances of all routes, each once.
func (p *Ports) Backends() []app.BackendStatus {
	seen := map[endpoint]bool{}
	all := []app.BackendStatus{}
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, at := range p.ports {
		for _, r := range at.routes {
			for _, b := range r.backends {
				key := endpoint{b.Addr, b.Instance}
				if e := p.ends[key]; !seen[key] {
					seen[key] = true
					all = append(all, b.status(int64(e.open), e.restUntil != 0))
				}
			}
		}
	}
	return all
}

// A flowKey names the counts of a route.
type flowKey struct {
	external int
	sni, app string
}

func (r tcpRoute) flow() flowKey { return flowKey{r.External, r.SNI, r.name} }

// A flow is the counts of a route. Ports.mu guards it.
type flow struct {
	counts app.TCPCounts // bytes of connections that have ended
	open   map[*passage]bool
	gone   bool
}

// now returns the counts with the bytes of open connections.
func (f *flow) now() app.TCPCounts {
	c := f.counts
	for p := range f.open {
		p.look()
		c.Received += p.received
		c.Sent += p.sent
	}
	return c
}
