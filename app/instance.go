package app

import "time"

// State of an instance.
type State string

// The states, in the order of an instance's life.
const (
	Unclaimed State = "UNCLAIMED" // no cell yet
	Claimed   State = "CLAIMED"   // on a cell, starting
	Running   State = "RUNNING"   // healthy, routable
	Crashed   State = "CRASHED"   // waiting for its restart
)

// Cause is what kind of thing Instance.Reason tells of, where somebody has to
// know it without reading.
type Cause string

// The causes; "" is any other.
const (
	CauseImage   Cause = "image"   // the image can't be had
	CauseCommand Cause = "command" // the start command doesn't exist or can't be run
	CauseRoom    Cause = "room"    // no cell has room for it
	CauseTurn    Cause = "turn"    // it waits until fewer others are starting
)

// A Placement is the decision that a cell runs an instance.
type Placement struct {
	ID       string    `json:"id"` // unique for ever; a new decision has a new ID
	App      string    `json:"app"`
	Index    int       `json:"index"`
	Cell     string    `json:"cell"`
	Revision uint64    `json:"revision"`          // of the App that it runs
	Replace  bool      `json:"replace,omitempty"` // somebody wants a new container in its place
	At       time.Time `json:"at"`
}

// An Assignment is a Placement as its cell sees it: with the whole App.
type Assignment struct {
	ID    string `json:"id"` // of the Placement
	Index int    `json:"index"`
	App   App    `json:"app"`

	Task *TaskOrder `json:"task,omitempty"` // it is an attempt of the task App.Name; nil: an instance of an app

	Volumes []AssignedVolume `json:"volumes,omitempty"` // the named ones of App.Volumes
}

// Work is everything one cell shall run. A cell compares it with what runs; a
// lost or doubled Work does no harm.
type Work struct {
	Store    string       `json:"store"`    // ID of the brain's store; a cell stops only what this store assigned to it
	Revision uint64       `json:"revision"` // grows while the brain runs
	Domain   string       `json:"domain"`   // of the cluster, for VCAP_APPLICATION
	Assigned []Assignment `json:"assigned"`
	Tasks    []Assignment `json:"tasks,omitempty"`   // attempts of tasks; apart, as a cell that knows no tasks must not run them as apps
	Discard  []string     `json:"discard,omitempty"` // IDs of strays that a person wants stopped

	DropVolumes []string `json:"drop_volumes,omitempty"` // IDs of volumes that a person wants deleted

	Prune *PruneOrder `json:"prune,omitempty"` // the last that a person gave; nil: none lately
}

// A PruneOrder has cells delete images that nothing needs. Each is followed once.
type PruneOrder struct {
	At     time.Time `json:"at"`
	Unused Duration  `json:"unused"` // at least that long
}

// An Instance is one running copy of an app, as its cell reports it; the brain
// adds the ones that have no cell.
type Instance struct {
	ID       string `json:"id,omitempty"` // of the Placement; empty while Unclaimed
	App      string `json:"app"`
	Index    int    `json:"index"`
	Revision uint64 `json:"revision"`
	GUID     string `json:"guid,omitempty"` // of the container, fresh for each
	Cell     string `json:"cell,omitempty"`

	State    State     `json:"state"`
	Since    time.Time `json:"since"`              // of State
	Unready  bool      `json:"unready,omitempty"`  // Running, but its readiness check fails: not routed
	Draining bool      `json:"draining,omitempty"` // Running and no longer routed: its open requests may end, then it is stopped
	Stopping bool      `json:"stopping,omitempty"` // on its way out: not routed, not counted
	Stray    bool      `json:"stray,omitempty"`    // runs, but this brain's store doesn't know it
	Crashes  int       `json:"crashes"`            // since it last ran for CrashReset
	Reason   string    `json:"reason,omitempty"`   // of the last crash, or what holds it back now
	Cause    Cause     `json:"cause,omitempty"`    // of Reason
	RetryAt  time.Time `json:"retry_at,omitzero"`  // of a Crashed one
	Pull     *Pull     `json:"pull,omitempty"`     // while the image is pulled

	MemoryMB int `json:"memory_mb,omitempty"` // its limits, in MiB; 0: none
	DiskMB   int `json:"disk_mb,omitempty"`

	IP    string     `json:"ip,omitempty"`    // of the container, reachable from its cell only
	Host  string     `json:"host,omitempty"`  // of the cell, where Ports[i].Host can be reached
	Ports []PortPair `json:"ports,omitempty"` // the first is the primary

	MemoryBytes int64   `json:"memory_bytes,omitempty"` // in use
	CPUPercent  float64 `json:"cpu_percent,omitempty"`  // of one core
	DiskBytes   int64   `json:"disk_bytes,omitempty"`   // of the files it wrote; may be minutes old

	Task *TaskRun `json:"task,omitempty"` // it is an attempt of the task App; nil: an instance of an app
}

// Pull is how far the pull of an image is, in bytes. Total is 0 until known.
type Pull struct {
	Done  int64 `json:"done"`
	Total int64 `json:"total"`
}

// A PortPair is a container's port and the cell's port that leads to it.
type PortPair struct {
	Container int `json:"container"`
	Host      int `json:"host"`
}

// A Report is all that a cell runs. Like Work it is whole, so the last one wins.
type Report struct {
	Cell      string       `json:"cell"`
	Instances []Instance   `json:"instances"`
	Strays    []Assignment `json:"strays,omitempty"` // what the cell knows of its strays, so that a brain can adopt them
	Images    []string     `json:"images,omitempty"` // names of some that need not be pulled
	Vitals    *Vitals      `json:"vitals,omitempty"` // nil: the cell is of a version that doesn't tell

	Volumes []ReportedVolume `json:"volumes"` // on the cell's disk; null: it doesn't know
}

// CellState is how the brain sees a cell.
type CellState string

// The states of a cell.
const (
	CellAlive   CellState = "ALIVE"
	CellSuspect CellState = "SUSPECT" // not heard of: keeps its routes, gets no work
	CellDead    CellState = "DEAD"    // its instances are replaced
)

// A Cell is a node that runs containers.
type Cell struct {
	ID       string            `json:"id"`
	Zone     string            `json:"zone"`
	Labels   map[string]string `json:"labels,omitempty"`
	Address  string            `json:"address"` // host or IP without port
	State    CellState         `json:"state"`
	Draining bool              `json:"draining,omitempty"`          // gets no work, and its instances are moved away
	Trusting bool              `json:"allows_privileged,omitempty"` // runs apps that are Privileged
	Version  string            `json:"version"`
	Router   bool              `json:"router,omitempty"` // it leads requests to apps, too
	Capacity Resources         `json:"capacity"`
	Used     Resources         `json:"used"`             // by placements; the brain fills it in
	Vitals   *Vitals           `json:"vitals,omitempty"` // as last reported; nil: not yet
}

// A CellCount is how many instances there are on a cell.
type CellCount struct{ Running, Claimed int }

// Resources of a cell or of an instance.
type Resources struct {
	MemoryMB   int `json:"memory_mb"` // MiB
	DiskMB     int `json:"disk_mb"`   // MiB
	Containers int `json:"containers"`
	CPUMilli   int `json:"cpu_milli,omitempty"` // thousandths of a core
}

// A Status is an app with all that is known of its instances.
type Status struct {
	App       App        `json:"app"`
	Instances []Instance `json:"instances"` // by index; never null
	URLs      []string   `json:"urls"`      // where the app answers, e.g. http://web.lattice.localhost:8080

	TCP []TCPAddress `json:"tcp,omitempty"` // of its TCP routes
}

// A Change is a set of writes to the store that happen all or not at all.
type Change struct {
	PutApps          []App
	DeleteApps       []string // names; their revisions go with them
	PutPlacements    []Placement
	DeletePlacements []string // IDs
	PutRevisions     []Revision
	DeleteRevisions  []RevisionKey
	PutOrders        []CellOrder
	DeleteOrders     []string // cells
	PutTasks         []Task
	DeleteTasks      []string // names
	PutSchedules     []Schedule
	DeleteSchedules  []string // names
	PutVolumes       []StoredVolume
	DeleteVolumes    []string // IDs
	PutFeatures      []Feature
}

// Empty reports whether c changes nothing.
func (c Change) Empty() bool {
	return len(c.PutApps)+len(c.DeleteApps)+len(c.PutPlacements)+len(c.DeletePlacements)+
		len(c.PutRevisions)+len(c.DeleteRevisions)+len(c.PutOrders)+len(c.DeleteOrders)+
		len(c.PutTasks)+len(c.DeleteTasks)+len(c.PutSchedules)+len(c.DeleteSchedules)+len(c.PutVolumes)+len(c.DeleteVolumes)+len(c.PutFeatures) == 0
}
