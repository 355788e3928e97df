package app

import "strings"

// A RouteStatus is a route as the brain's router has it now. Requests and
// connections are those of all routers.
type RouteStatus struct {
	Host     string          `json:"host,omitempty"`     // "*.x.y" is a wildcard; of a TCP route, its name in TLS
	Path     string          `json:"path,omitempty"`     // prefix; empty: all
	External int             `json:"external,omitempty"` // port of a TCP route; 0: it is for HTTP
	Problem  string          `json:"problem,omitempty"`  // why the port is not open
	Apps     []string        `json:"apps"`               // that have it, by name
	Options  []string        `json:"options,omitempty"`  // as they are typed, without secrets
	Backends []BackendStatus `json:"backends"`           // by app, then index; never null. Only of healthy instances

	Connections *TCPCounts `json:"connections,omitempty"` // of a TCP route
}

// A BackendStatus is one port of an instance that a route leads to.
type BackendStatus struct {
	App      string `json:"app"`
	Index    int    `json:"index"`
	Instance string `json:"instance"` // the container's GUID
	Port     int    `json:"port"`     // of the container
	Address  string `json:"address"`  // where the router connects to
	InFlight int    `json:"in_flight"`
	Ejected  bool   `json:"ejected,omitempty"` // passed over because it could not be reached

	EjectedBy []string `json:"ejected_by,omitempty"` // cells whose routers pass it over
}

// AddTCP adds what the router of a cell has counted, if it is of the same TCP route.
func (r *RouteStatus) AddTCP(cell string, c TCPCounts) {
	if r.External == 0 || r.External != c.External || r.Host != c.SNI || len(r.Apps) != 1 || r.Apps[0] != c.App {
		return
	}
	if c.Problem != "" {
		r.Problem = strings.TrimPrefix(r.Problem+"; on "+cell+": "+c.Problem, "; ")
	}
	if sum := r.Connections; sum != nil {
		sum.Open += c.Open
		sum.Total += c.Total
		sum.Failed += c.Failed
		sum.Received += c.Received
		sum.Sent += c.Sent
	}
}
