package app

// A Move is an instance that would be better off on another cell.
type Move struct {
	App   string `json:"app"`
	Index int    `json:"index"`
	ID    string `json:"id"` // of the Placement that goes
	From  string `json:"from"`
	To    string `json:"to"`
	Why   string `json:"why"`
}

// A Rebalancing is what there is to move, and how far that is.
type Rebalancing struct {
	Running bool   `json:"running"` // instances are being moved
	Moving  int    `json:"moving"`  // that many now
	Moves   []Move `json:"moves"`   // that are left to make; never null
}

// DefaultRebalanceInFlight is how many instances move at a time when cells are
// rebalanced.
const DefaultRebalanceInFlight = 4
