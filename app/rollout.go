package app

import "time"

// Strategy says how an app's instances change to a new revision.
type Strategy string

// The strategies.
const (
	Rolling  Strategy = "rolling"  // new before old, a few at a time
	Recreate Strategy = "recreate" // all old ones stop before the first new one starts
	Canary   Strategy = "canary"   // like Rolling, but it waits for a person after the first instance
)

// RolloutOptions say how to change.
type RolloutOptions struct {
	Strategy    Strategy `json:"strategy,omitempty"`      // empty: Rolling
	MaxInFlight int      `json:"max_in_flight,omitempty"` // instances that change at the same time; 0: a quarter of them, at least 1
}

// RolloutState is how far a change is.
type RolloutState string

// The states of a rollout.
const (
	RolloutRunning RolloutState = "RUNNING"
	RolloutPaused  RolloutState = "PAUSED" // a canary that waits to be promoted or rolled back
	RolloutDone    RolloutState = "DONE"
	RolloutFailed  RolloutState = "FAILED" // the new revision did not come up: the one before is back
)

// A Rollout is the last change of an app to another revision.
type Rollout struct {
	RolloutOptions
	From      uint64       `json:"from"` // revision before
	To        uint64       `json:"to"`
	State     RolloutState `json:"state"`
	Reason    string       `json:"reason,omitempty"` // why it failed
	StartedAt time.Time    `json:"started_at"`
	EndedAt   time.Time    `json:"ended_at,omitzero"`
}

// A Revision is an app as it was after one change. Only what needs a new
// container makes a revision; routes and the number of instances don't.
type Revision struct {
	App   App       `json:"app"` // App.Revision is its number
	At    time.Time `json:"at"`
	Cause string    `json:"cause"` // "create", "update", "restart"
}

// A RevisionKey names a Revision.
type RevisionKey struct {
	App    string
	Number uint64
}

// A CellOrder is what a person wants of a cell; without one it just works.
type CellOrder struct {
	Cell        string    `json:"cell"`
	Draining    bool      `json:"draining"`
	MaxInFlight int       `json:"max_in_flight,omitempty"` // instances that move at the same time; 0: DefaultDrainInFlight
	At          time.Time `json:"at"`
}

// DefaultDrainInFlight is how many instances leave a draining cell at a time.
const DefaultDrainInFlight = 4

// Desired is all that a store holds.
type Desired struct {
	Apps       []App
	Placements []Placement
	Revisions  []Revision
	Orders     []CellOrder
	Tasks      []Task
	Schedules  []Schedule
	Volumes    []StoredVolume
	Features   []Feature // those that somebody changed
}
