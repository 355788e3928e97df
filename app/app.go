package app

import (
	"time"
)

// Limits and defaults of an App.
const (
	DefaultMemoryMB  = 128
	DefaultCPUWeight = 100
	DefaultPort      = 8080 // when neither the app nor its image names one
	MinMemoryMB      = 16   // below this runc can't start a process reliably
	MaxInstances     = 1000
	MaxPIDs          = 1024 // processes and threads in one instance

	DefaultStartTimeout = 60 * time.Second
	DefaultStopGrace    = 10 * time.Second
	DefaultCheckTimeout = time.Second

	StartupInterval = 250 * time.Millisecond // at the most; the first probes come quicker
	CheckInterval   = 5 * time.Second
	CheckFailures   = 3
)

// An App is what a user wants to run.
type App struct {
	Name      string            `json:"name"`
	Image     string            `json:"image"`               // a reference as Docker writes it, or a bundled name such as lattice/hello
	Digest    string            `json:"digest,omitempty"`    // of Image when it was chosen, sha256:…; set by the brain; empty: bundled
	Command   []string          `json:"command,omitempty"`   // replaces the image's ENTRYPOINT and CMD; empty: the image's own
	Args      []string          `json:"args,omitempty"`      // replaces the image's CMD, behind Command or else the image's ENTRYPOINT
	Dir       string            `json:"dir,omitempty"`       // working directory; empty: the image's, else /
	User      string            `json:"user,omitempty"`      // name[:group] or uid[:gid]; empty: the image's
	Env       map[string]string `json:"env,omitempty"`       // values are secrets: never logged
	Instances int               `json:"instances"`           // 0 stops the app and keeps it
	MemoryMB  int               `json:"memory_mb"`           // MiB; 0: no limit
	DiskMB    int               `json:"disk_mb"`             // MiB; 0: no limit
	CPUWeight int               `json:"cpu_weight"`          // 1 to 100, relative to the other instances of the cell
	CPUMilli  int               `json:"cpu_milli,omitempty"` // thousandths of a core that a cell must have left for it; 0: none. It is no limit
	Rules     Rules             `json:"rules,omitzero"`      // where it may run
	Ports     []int             `json:"ports,omitempty"`     // TCP ports the app listens on, the first is the primary; empty: the image's EXPOSE, lowest first, else DefaultPort
	Check     Check             `json:"check"`               // is it alive; also decides, every StartupInterval, when a starting instance is healthy, unless Startup is there
	Startup   *Check            `json:"startup,omitempty"`   // decides when a starting instance is healthy; nil: Check
	Readiness *Check            `json:"readiness,omitempty"` // failing only takes the routes away; nil: ready while healthy
	Routes    []Route           `json:"routes,omitempty"`    // empty: NAME.domain to the primary port and NAME-PORT.domain to each port
	NoRoutes  bool              `json:"no_routes,omitempty"` // true: not even the default routes

	TCPRoutes []TCPRoute `json:"tcp_routes,omitempty"` // beside Routes

	Volumes []Volume `json:"volumes,omitempty"`

	// Privileged takes away what keeps an instance from its cell: its users are
	// the host's, and it may do all that root may. Only on cells that allow it.
	Privileged bool `json:"privileged,omitempty"`

	StartTimeout Duration `json:"start_timeout"` // from start of the process to healthy
	StopGrace    Duration `json:"stop_grace"`    // from the stop signal to SIGKILL

	Set string `json:"set,omitempty"` // of the apps that one `apply` made; a later one of the same name may prune it. Empty: nobody prunes it

	// Set by the brain.
	Revision  uint64    `json:"revision"`          // which all instances shall have; see Revision
	Stopped   bool      `json:"stopped,omitempty"` // no instance runs, Instances is what will when it is started again
	Held      string    `json:"held,omitempty"`    // the feature that is disabled and that it needs: no instance runs meanwhile
	Rollout   *Rollout  `json:"rollout,omitempty"` // the last change of Revision; nil: never changed
	CreatedAt time.Time `json:"created_at"`
}

// Wanted returns how many instances shall run now.
func (a App) Wanted() int {
	if a.Stopped || a.Held != "" {
		return 0
	}
	return a.Instances
}

// Pulled is the image as cells pull it: always the same bits.
func (a App) Pulled() string {
	if a.Digest == "" {
		return a.Image
	}
	return a.Image + "@" + a.Digest
}

// CheckType says how an instance is probed.
type CheckType string

// The ways to probe.
const (
	CheckPort    CheckType = "port"    // a TCP connection can be made
	CheckHTTP    CheckType = "http"    // GET answers with a status that is accepted
	CheckCommand CheckType = "command" // a command inside the instance exits with 0
	CheckNone    CheckType = "none"    // healthy while the process runs
)

// A Check says how to know that an instance is healthy.
type Check struct {
	Type    CheckType `json:"type"`
	Port    int       `json:"port,omitempty"`    // 0: the primary port
	Path    string    `json:"path,omitempty"`    // of CheckHTTP; starts with /
	Command string    `json:"command,omitempty"` // of CheckCommand; run by /bin/sh -c
	Timeout Duration  `json:"timeout"`           // of one probe

	Interval Duration `json:"interval,omitzero"`  // between probes; 0: CheckInterval, or for Startup StartupInterval
	Failures int      `json:"failures,omitempty"` // that many in a row count as failed; 0: CheckFailures. Not of Startup, which fails by StartTimeout only
	Statuses string   `json:"statuses,omitempty"` // of CheckHTTP: accepted codes as "200-299,401"; empty: 200-399
}

// A Route leads requests to one port of an app.
type Route struct {
	Host string `json:"host"`           // lower case; without a dot the cluster's domain is appended; "*.x.y" matches any one or more labels before x.y
	Path string `json:"path,omitempty"` // prefix that starts with /; empty: all
	Port int    `json:"port,omitempty"` // 0: the primary port

	Options *RouteOptions `json:"options,omitempty"` // how its requests are treated; nil: as usual
}

// Duration is a time.Duration that reads and writes as text such as "1m30s".
type Duration time.Duration

// MarshalText writes d as time.Duration prints it.
func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

// UnmarshalText reads what time.ParseDuration reads. Errors are ErrInvalid.
func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	if err != nil {
		return Invalid("%s is no length of time: write it as 30s, 1m30s or 500ms", quote(string(b)))
	}
	*d = Duration(v)
	return nil
}

func (d Duration) String() string { return time.Duration(d).String() }
