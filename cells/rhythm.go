package cells

import (
	"math/rand/v2"
	"time"

	"lattice/app"
)

// When an instance is probed.
const (
	firstProbe   = 5 * time.Millisecond // after the start of its process; the pause between probes then doubles
	probesAtOnce = 64                   // on one cell, of those that have just begun
	execsAtOnce  = 8                    // of these, checks of type command, each of which starts a process
	slowProbe    = time.Second          // one that takes longer makes room for others: it only waits
)

// rampUp returns the pause before the next probe of an instance that is
// expected to be up soon, from the last one to most.
func rampUp(last, most time.Duration) time.Duration {
	if last == 0 {
		return min(firstProbe, most)
	}
	return min(2*last, most)
}

// interval is the pause between two probes of c, which is usual unless c says
// another.
func interval(c app.Check, usual time.Duration) time.Duration {
	if c.Interval > 0 {
		return time.Duration(c.Interval)
	}
	return usual
}

// misses returns how many probes in a row have to fail until c counts as failed.
func misses(c app.Check) int {
	if c.Failures > 0 {
		return c.Failures
	}
	return app.CheckFailures
}

// anywhere returns a point in the first interval, so that instances that were
// started or taken over together are not probed together for ever.
func anywhere(every time.Duration) time.Duration { return rand.N(every) }

// spread returns the interval, give or take a tenth, at which instances that got
// into step by chance get out of it.
func spread(every time.Duration) time.Duration {
	return every - every/10 + rand.N(every/5+1)
}

// startupCheck returns the check that decides when a starting instance is
// healthy, with its interval.
func startupCheck(a app.App) (app.Check, time.Duration) {
	if a.Startup != nil {
		return *a.Startup, interval(*a.Startup, app.StartupInterval)
	}
	return a.Check, app.StartupInterval
}

// standing is whether a check holds, by its last probes.
type standing struct {
	good   bool
	missed int // in a row
	limit  int // that many make good bad; one hit makes bad good
}

// note takes in a probe and reports whether good changed.
func (s *standing) note(hit bool) bool {
	if hit {
		s.missed = 0
		changed := !s.good
		s.good = true
		return changed
	}
	s.missed++
	if s.good && s.missed >= s.limit {
		s.good = false
		return true
	}
	return false
}

// checkPort returns the container port to probe.
func checkPort(c app.Check, l Lease) int {
	if c.Port != 0 {
		return c.Port
	}
	return l.Ports[0].Container
}
