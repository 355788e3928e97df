package cluster

import (
	"encoding/json"
	"fmt"

	"github.com/hashicorp/memberlist"

	"lattice/app"
)

// Meta is what a node tells the others of itself. It must fit into 512 bytes,
// which leaves about 350 for the labels.
type Meta struct {
	API      string            // "host:port" of the brain's API; empty: not a brain
	Cell     string            // ID of the cell; empty: runs no containers
	Zone     string            // of the cell
	Labels   map[string]string // of the cell; not to be changed once given away
	Version  string
	Capacity app.Resources // of the cell
	Trusting bool          // the cell runs privileged apps
	Router   bool          // the cell is a router, too

	leaving bool // the node is about to go on its own will
}

// wireMeta is Meta as JSON with short names: compact, and a node of another
// version reads what it knows of it.
type wireMeta struct {
	API        string            `json:"a,omitempty"`
	Cell       string            `json:"i,omitempty"`
	Zone       string            `json:"z,omitempty"`
	Labels     map[string]string `json:"l,omitempty"`
	Version    string            `json:"v,omitempty"`
	MemoryMB   int               `json:"m,omitempty"`
	DiskMB     int               `json:"d,omitempty"`
	Containers int               `json:"c,omitempty"`
	CPUMilli   int               `json:"p,omitempty"`
	Trusting   bool              `json:"t,omitempty"`
	Router     bool              `json:"r,omitempty"`
	Leaving    bool              `json:"x,omitempty"`
}

func (m Meta) encode() ([]byte, error) {
	w := wireMeta{
		API: m.API, Cell: m.Cell, Zone: m.Zone, Labels: m.Labels, Version: m.Version,
		MemoryMB: m.Capacity.MemoryMB, DiskMB: m.Capacity.DiskMB, Containers: m.Capacity.Containers, CPUMilli: m.Capacity.CPUMilli,
		Router:   m.Router,
		Trusting: m.Trusting,
		Leaving:  true, // counted even when not set, so that a node that could join can leave
	}
	b, err := json.Marshal(w)
	if err != nil {
		return nil, fmt.Errorf("encode meta: %w", err)
	}
	if over := len(b) - memberlist.MetaMaxSize; over > 0 {
		return nil, m.tooLong(over)
	}
	if m.leaving {
		return b, nil
	}
	w.Leaving = false
	return json.Marshal(w)
}

// tooLong names the label that costs most.
func (m Meta) tooLong(over int) error {
	var worst string
	for k := range m.Labels {
		size := func(k string) int { return len(k) + len(m.Labels[k]) }
		if worst == "" || size(k) > size(worst) || size(k) == size(worst) && k < worst {
			worst = k
		}
	}
	if worst == "" {
		return app.Invalid("the cell's id, zone and version together are %d bytes too long for gossip; shorten them", over)
	}
	return app.Invalid("the cell's labels are %d bytes too long for gossip; shorten or drop label %q, the longest one", over, worst)
}

func decodeMeta(b []byte) (Meta, error) {
	if len(b) == 0 {
		return Meta{}, nil
	}
	var w wireMeta
	if err := json.Unmarshal(b, &w); err != nil {
		return Meta{}, fmt.Errorf("decode meta: %w", err)
	}
	return Meta{
		API: w.API, Cell: w.Cell, Zone: w.Zone, Labels: w.Labels, Version: w.Version,
		Capacity: app.Resources{
			MemoryMB: max(0, w.MemoryMB), DiskMB: max(0, w.DiskMB), Containers: max(0, w.Containers), CPUMilli: max(0, w.CPUMilli),
		},
		Router:   w.Router,
		Trusting: w.Trusting,
		leaving:  w.Leaving,
	}, nil
}
