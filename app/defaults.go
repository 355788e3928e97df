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
// and DiskMB 0 are no limit, and a check's Interval and Failures 0 are what is
// usual for it. Ports and Routes stay empty, since only the image
// and the cluster's domain can fill them.
func (a App) WithDefaults() App {
	a.Command = slices.Clone(a.Command)
	a.Args = slices.Clone(a.Args)
	a.Env = maps.Clone(a.Env)
	a.Ports = slices.Clone(a.Ports)
	a.Routes = slices.Clone(a.Routes)
	a.TCPRoutes = slices.Clone(a.TCPRoutes)
	a.Volumes = normalVolumes(a.Volumes)
	for i, r := range a.Routes {
		a.Routes[i].Host = strings.ToLower(r.Host)
		a.Routes[i].Options = r.Options.copy()
	}
	if a.CPUWeight == 0 {
		a.CPUWeight = DefaultCPUWeight
	}
	a.Rules = a.Rules.normal()
	fill(&a.StartTimeout, DefaultStartTimeout)
	fill(&a.StopGrace, DefaultStopGrace)
	a.Check = a.Check.withDefaults()
	a.Startup = a.Startup.copy()
	a.Readiness = a.Readiness.copy()
	return a
}

// copy returns a copy with its defaults filled in; of nil nil.
func (c *Check) copy() *Check {
	if c == nil {
		return nil
	}
	filled := c.withDefaults()
	return &filled
}

func (c Check) withDefaults() Check {
	fill(&c.Timeout, DefaultCheckTimeout)
	if c.Type == "" {
		c.Type = CheckPort
	}
	if c.Type == CheckHTTP && c.Path == "" {
		c.Path = "/"
	}
	return c
}

func fill(d *Duration, to time.Duration) {
	if *d == 0 {
		*d = Duration(to)
	}
}
