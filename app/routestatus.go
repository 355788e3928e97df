package app

// A RouteStatus is a route as the brain's router has it now.
type RouteStatus struct {
	Host     string          `json:"host,omitempty"`     // "*.x.y" is a wildcard
	Path     string          `json:"path,omitempty"`     // prefix; empty: all
	External int             `json:"external,omitempty"` // port of a TCP route, which has no host
	Problem  string          `json:"problem,omitempty"`  // why the port is not open
	Apps     []string        `json:"apps"`               // that have it, by name
	Options  []string        `json:"options,omitempty"`  // as they are typed, without secrets
	Backends []BackendStatus `json:"backends"`           // by app, then index; never null. Only of healthy instances
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
}
