package app

import "slices"

// Validate returns nil if a rollout can go as o says, else ErrInvalid.
func (o RolloutOptions) Validate() error {
	var p problems
	if !slices.Contains([]Strategy{"", Rolling, Recreate, Canary}, o.Strategy) {
		p.add("the strategy %s does not exist: it can be %s, %s or %s", quote(string(o.Strategy)), Rolling, Recreate, Canary)
	}
	p.inFlight(o.MaxInFlight)
	return p.err()
}

// ValidInFlight returns nil if n instances may change or move at the same
// time, else ErrInvalid. 0 is what is usual.
func ValidInFlight(n int) error {
	var p problems
	p.inFlight(n)
	return p.err()
}

func (p *problems) inFlight(n int) {
	if n < 0 || n > MaxInstances {
		p.add("%d instances at the same time: it can be 1 to %d, or 0 for what is usual", n, MaxInstances)
	}
}
