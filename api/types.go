package api

import "lattice/app"

// Info is what a brain says of itself.
type Info struct {
	Version   string `json:"version"`
	Domain    string `json:"domain"`              // apps are at NAME.Domain
	RouterURL string `json:"router_url"`          // http://DOMAIN[:PORT]
	HTTPSURL  string `json:"https_url,omitempty"` // https://DOMAIN[:PORT]; empty: there is none
	AppsCA    string `json:"apps_ca,omitempty"`   // PEM; what to trust for https to hosts under Domain
	Cluster   string `json:"cluster"`             // ID of the store
	SSH       *SSH   `json:"ssh,omitempty"`
}

// SSH is the port for plain SSH, where there is one.
type SSH struct {
	Port        int    `json:"port"`
	HostKey     string `json:"host_key"`    // as in a known_hosts file, without the host
	Fingerprint string `json:"fingerprint"` // of it: SHA256:…
}

// CellStatus is a cell with what runs on it.
type CellStatus struct {
	app.Cell
	Running int `json:"running"` // instances in RUNNING
	Claimed int `json:"claimed"` // instances placed here and not yet running
}

// A ScaleRequest asks for a number of instances.
type ScaleRequest struct {
	Instances *int `json:"instances"` // must be there
}

// An UpdateRequest asks that an app become App.
type UpdateRequest struct {
	App                app.App `json:"app"` // whole, with the Revision that the caller saw
	app.RolloutOptions         // of what needs new containers
	Pull               bool    `json:"pull,omitempty"` // ask the registry again what the image's tag stands for
}

// A RollbackRequest asks for an earlier revision.
type RollbackRequest struct {
	Revision uint64 `json:"revision"` // 0: the one before the current
}

// A RestartRequest asks for a new container.
type RestartRequest struct {
	Index *int `json:"index,omitempty"` // of the instance; nil: all, a few at a time
}

// A DrainRequest asks that a cell be emptied.
type DrainRequest struct {
	MaxInFlight int `json:"max_in_flight,omitempty"` // instances that move at the same time; 0: app.DefaultDrainInFlight
}

// A StraysRequest says which strays are meant.
type StraysRequest struct {
	App string `json:"app"` // their app; empty: all
}

// LogOptions say which log lines are wanted.
type LogOptions struct {
	Lines  int  // newest lines that are already there; -1: all that are kept
	Follow bool // go on with the lines that come
}

const (
	maxBody     = 1 << 20  // of a user's request
	maxCellBody = 16 << 20 // of a cell's request
)
