package app

import (
	"maps"
	"slices"
	"strings"
	"time"
)

// WithDefaults returns a copy of a in which everything that may be left out
// is filled in and host names are in lower case. It shares no memory with a.
//
// A zero that means something stays: Instances 0 is a stopped app, MemoryMB 0
// and DiskMB 0 are no limit. Ports and Routes stay empty, since only the image
// and the cluster's domain can fill them.
func (a App) WithDefaults() App {
	a.Command = slices.Clone(a.Command)
	a.Env = maps.Clone(a.Env)
	a.Ports = slices.Clone(a.Ports)
	a.Routes = slices.Clone(a.Routes)
	for i, r := range a.Routes {
		a.Routes[i].Host = strings.ToLower(r.Host)
	}
	if a.CPUWeight == 0 {
		a.CPUWeight = DefaultCPUWeight
	}
	fill(&a.StartTimeout, DefaultStartTimeout)
	fill(&a.StopGrace, DefaultStopGrace)
	fill(&a.Check.Timeout, DefaultCheckTimeout)
	if a.Check.Type == "" {
		a.Check.Type = CheckPort
	}
	if a.Check.Type == CheckHTTP && a.Check.Path == "" {
		a.Check.Path = "/"
	}
	return a
}

func fill(d *Duration, to time.Duration) {
	if *d == 0 {
		*d = Duration(to)
	}
}
