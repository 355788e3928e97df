package app

// A Rehearsal is what would become of an app after a change that was not made,
// if all went well and nothing else happened meanwhile.
type Rehearsal struct {
	App     App       `json:"app"`              // as it would be stored
	Stop    []Place   `json:"stop"`             // of instances that would go
	Start   []Place   `json:"start"`            // of instances that would come
	Keep    int       `json:"keep"`             // instances that would stay as they are
	Refused []Refused `json:"refused"`          // instances that would fit nowhere
	Partly  bool      `json:"partly,omitempty"` // there would be more: the rehearsal took too long
}

// A Place is where an instance runs, or would.
type Place struct {
	Index    int    `json:"index"`
	Cell     string `json:"cell"`
	Revision uint64 `json:"revision"`
}

// Refused is an instance that fits nowhere.
type Refused struct {
	Index  int    `json:"index"`
	Reason string `json:"reason"`
}
