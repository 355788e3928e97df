package app

// A FindingState says how good or bad a Finding is.
type FindingState string

// The states, from the best to the worst.
const (
	FindingOK      FindingState = "ok"
	FindingUnknown FindingState = "unknown" // it could not be looked at; Says why
	FindingWarning FindingState = "warning" // it works, but not for ever or not as well as it could
	FindingBroken  FindingState = "broken"
)

// A Finding is what came of looking at one thing of a host or a cluster.
type Finding struct {
	Check string       `json:"check"` // what was looked at, such as "kernel" or "clock of cell-1"
	State FindingState `json:"state"`
	Says  string       `json:"says"`
	Mend  string       `json:"mend,omitempty"` // what to type or do; empty: nothing has to be done
}
