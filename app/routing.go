package app

// A Routing tells the router of a cell what has changed since the last one. The
// first of a stream is Whole.
type Routing struct {
	Version uint64   `json:"version"`          // grows; the router says which one it goes by
	Whole   bool     `json:"whole,omitempty"`  // there are no other apps than these
	Domain  string   `json:"domain,omitempty"` // of the cluster; with Whole
	Apps    []Routed `json:"apps,omitempty"`   // that are new or not as they were
	Gone    []string `json:"gone,omitempty"`   // names
}

// A Routed is what routers go by of an app. It has no other secrets than the
// hashes of basic auth.
type Routed struct {
	Name      string     `json:"name"`
	Ports     []int      `json:"ports,omitempty"`
	Routes    []Route    `json:"routes,omitempty"`
	NoRoutes  bool       `json:"no_routes,omitempty"`
	TCPRoutes []TCPRoute `json:"tcp_routes,omitempty"`
	Instances []Instance `json:"instances,omitempty"`
}

// Routed returns what routers go by of s.
func (s Status) Routed() Routed {
	r := Routed{Name: s.App.Name, Ports: s.App.Ports, Routes: s.App.Routes, NoRoutes: s.App.NoRoutes, TCPRoutes: s.App.TCPRoutes}
	for _, in := range s.Instances {
		if in.Cell == "" {
			continue
		}
		r.Instances = append(r.Instances, Instance{
			ID: in.ID, App: in.App, Index: in.Index, Revision: in.Revision, GUID: in.GUID, Cell: in.Cell,
			State: in.State, Since: in.Since, Unready: in.Unready, Draining: in.Draining, Stopping: in.Stopping, Stray: in.Stray,
			IP: in.IP, Host: in.Host, Ports: in.Ports,
		})
	}
	return r
}

// Status is the opposite of Status.Routed, as far as routers go by it.
func (r Routed) Status() Status {
	return Status{
		App:       App{Name: r.Name, Ports: r.Ports, Routes: r.Routes, NoRoutes: r.NoRoutes, TCPRoutes: r.TCPRoutes},
		Instances: r.Instances,
	}
}

// Here returns r as the cell knows it better than the brain: those of its
// instances that it has are as it has them now, the others of them are gone. It
// has no say in which are on their way out.
func (r Routed) Here(cell string, has map[string]Instance) Routed {
	all := make([]Instance, 0, len(r.Instances))
	for _, in := range r.Instances {
		if in.Cell != cell {
			all = append(all, in)
			continue
		}
		now, ok := has[in.ID]
		if !ok {
			continue
		}
		now.Draining, now.Stopping, now.Stray = in.Draining, now.Stopping || in.Stopping, in.Stray
		all = append(all, now)
	}
	r.Instances = all
	return r
}

// A RouterReport is what the router of a cell tells of itself.
type RouterReport struct {
	Cell    string         `json:"cell"`
	Version uint64         `json:"version"`           // of the Routing that it goes by; 0: of none since it started
	Leaving map[string]int `json:"leaving,omitempty"` // open requests of instances that it leads to no more, by GUID
	Counts  *RouterCounts  `json:"counts,omitempty"`  // nil: as told before
}

// RouterCounts are a router's counts since it started, but for what is now.
type RouterCounts struct {
	Requests    uint64 `json:"requests"`    // that came in
	Unrouted    uint64 `json:"unrouted"`    // that fit no route or were malformed
	Retries     uint64 `json:"retries"`     // tries after a request's first
	Unreachable uint64 `json:"unreachable"` // tries for which no connection could be made
	Ejections   uint64 `json:"ejections"`   // instances that were passed over from then on
	Aborted     uint64 `json:"aborted"`     // answers that broke off
	Connections int64  `json:"connections"` // of clients, now
	Routes      int    `json:"routes"`      // now, without those for TCP

	Apps     map[string]AppCounts `json:"apps,omitempty"`     // those that have a route
	Backends []BackendStatus      `json:"backends,omitempty"` // that have requests or connections now, or are passed over
	TCP      []TCPCounts          `json:"tcp,omitempty"`      // by port
}

// AppCounts are the requests of an app.
type AppCounts struct {
	Codes   [6]uint64 `json:"codes"`   // by class of the answer's status; 0: the client went away
	Buckets []uint64  `json:"buckets"` // of the histogram of durations
	Took    float64   `json:"took"`    // seconds, all together
}

// TCPCounts are the connections of a TCP route.
type TCPCounts struct {
	External int    `json:"external"`
	SNI      string `json:"sni,omitempty"`
	App      string `json:"app"`
	Problem  string `json:"problem,omitempty"` // why the port is not open
	Open     int    `json:"open"`              // now
	Total    uint64 `json:"total"`
	Failed   uint64 `json:"failed"`   // no instance took them, or there were too many
	Received uint64 `json:"received"` // bytes from clients
	Sent     uint64 `json:"sent"`     // bytes to clients
}
