package router

import (
	"cmp"
	"net"
	"slices"
	"strconv"

	"lattice/app"
)

// Build returns the table for these apps. Behind a route are the instances
// that are healthy, ready and not on their way out, at most one of each index. An app
// without such an instance keeps its routes, with nothing behind them. When
// several apps have the same host and path, the instances of all serve it.
//
// domain is appended to hosts without a dot. local tells whether a cell is on
// this host, where its containers can be reached at their own addresses; nil
// means none is. Build reads only its arguments, and their order doesn't matter.
func Build(statuses []app.Status, domain string, local func(cell string) bool) *Table {
	if local == nil {
		local = func(string) bool { return false }
	}
	order := make([]*app.Status, len(statuses))
	for i := range statuses {
		order[i] = &statuses[i]
	}
	slices.SortStableFunc(order, func(a, b *app.Status) int { return cmp.Compare(a.App.Name, b.App.Name) })

	d := fresh()
	for _, s := range order {
		for _, w := range ways(s, domain, local) {
			d.join(s.App.Name, &w)
		}
	}
	return d.Table
}

// ways returns what an app adds to routes, at most one way a route.
func ways(s *app.Status, domain string, local func(cell string) bool) []way {
	pool := candidates(s.Instances, local)
	rs := rules(s, domain)
	all := make([]way, 0, len(rs))
	for _, rule := range rs {
		at := slices.IndexFunc(all, func(w way) bool { return w.host == rule.host && w.path == rule.path })
		if at < 0 {
			at = len(all)
			all = append(all, way{rule.host, rule.path, rule.options, make([]*Backend, 0, len(pool))})
		}
		for i := range pool {
			if b := pool[i].backend(rule.port); b != nil && !slices.Contains(all[at].backends, b) {
				all[at].backends = append(all[at].backends, b)
			}
		}
	}
	return all
}

// A candidate is an instance that may be routed to, with the backends made for
// it so far, one a port.
type candidate struct {
	*app.Instance
	local    bool
	backends []*Backend // parallel to Ports; nil: not made yet
}

// candidates returns the instances that may be routed to, by index. Of two with the same
// index the newer revision is taken, then the one that has run longer.
func candidates(all []app.Instance, local func(cell string) bool) []candidate {
	pool := make([]candidate, 0, len(all))
	for i := range all {
		in := &all[i]
		if in.State != app.Running || in.Unready || in.Draining || in.Stopping || in.Stray {
			continue
		}
		pool = append(pool, candidate{Instance: in, local: in.IP != "" && local(in.Cell)})
	}
	slices.SortFunc(pool, func(a, b candidate) int {
		return cmp.Or(
			cmp.Compare(a.Index, b.Index),
			cmp.Compare(b.Revision, a.Revision),
			a.Since.Compare(b.Since),
			cmp.Compare(a.ID, b.ID),
			cmp.Compare(a.GUID, b.GUID),
		)
	})
	return slices.CompactFunc(pool, func(a, b candidate) bool { return a.Index == b.Index })
}

// backend returns the candidate's backend for a container port, 0 being the
// primary one; nil when the instance has no such port or no address.
func (c *candidate) backend(port int) *Backend {
	at := 0
	if port != 0 {
		at = slices.IndexFunc(c.Ports, func(p app.PortPair) bool { return p.Container == port })
	}
	if at < 0 || at >= len(c.Ports) {
		return nil
	}
	if c.backends == nil {
		c.backends = make([]*Backend, len(c.Ports))
	}
	if c.backends[at] == nil {
		addr := c.address(c.Ports[at])
		if addr == "" {
			return nil
		}
		c.backends[at] = &Backend{App: c.App, Index: c.Index, Instance: cmp.Or(c.GUID, c.ID), Addr: addr, Port: c.Ports[at].Container}
	}
	return c.backends[at]
}

// address returns where this host reaches the port, or "" if it can't.
func (c *candidate) address(p app.PortPair) string {
	if c.local {
		return net.JoinHostPort(c.IP, strconv.Itoa(p.Container))
	}
	if c.Host == "" || p.Host == 0 {
		return ""
	}
	return net.JoinHostPort(c.Host, strconv.Itoa(p.Host))
}
