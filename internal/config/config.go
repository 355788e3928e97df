// Package config finds out how a process shall run: from flags, LATTICE_*
// environment variables, a file, and defaults, in this order, the first wins.
// It hands out plain structs that are complete and checked, and for each value
// where it came from. Nothing else of ours knows viper.
package config

import (
	"errors"
	"log/slog"
	"time"

	"github.com/spf13/pflag"
)

// Common is what every role needs.
type Common struct {
	DataDir   string        // absolute; outlives a restart of the machine
	StateDir  string        // absolute; sockets and the like, gone with a restart of the machine
	Advertise string        // the ip at which other nodes reach this one
	Gossip    string        // "ip:port" to gossip on; no ip: all
	ImageAge  time.Duration // after which an image that nothing needs is deleted
	ImageDisk int           // percent of the disk in use from which on it is deleted sooner
	LogLevel  slog.Level
	LogFormat string // "text" or "json"

	Settings []Setting // all values, in the order of the help text
}

// BrainConfig is what a brain needs.
type BrainConfig struct {
	Common
	API    string // "ip:port" of the API; no ip: all
	SSH    string // "ip:port" of the SSH port; empty: port 2222 when it is free; SSHOff: none
	Domain string // apps are at NAME.Domain

	Router RouterConfig

	CertificateLife time.Duration // of the certificates of cells

	Pack             bool // fill one cell after the other, instead of all evenly
	MaxStarts        int  // instances that may be starting at the same time; 0: any number
	MaxStartsPerCell int  // the same on one cell
	Rebalance        bool // move instances to a cell that has joined

	MaxBuildSourceMB int // of what is sent to be built, packed
}

// SSHOff is a BrainConfig.SSH that is no address.
const SSHOff = "off"

// CellConfig is what a cell needs.
type CellConfig struct {
	Common
	ID            string
	Zone          string
	Labels        map[string]string
	MemoryMB      int // MiB for instances; never 0
	DiskMB        int // MiB for instances; never 0
	CPUs          int // cores for instances; never 0
	MaxContainers int
	Join          string // "host:port" of the brain's API; empty with Up, or to go by an earlier join
	Token         Secret // join token; empty together with Join

	AllowPrivileged bool // run apps that nothing keeps from the host

	EvacuateOnStop  bool          // move the instances to other cells when told to stop
	EvacuateTimeout time.Duration // the longest that may take

	Layers string        // "ip:port" at which other cells get layers; no ip: all; Off: nowhere
	Router *RouterConfig // nil: it is none; also in a process that is a brain, too

	BuildCacheMB int // kept for the next builds of Dockerfiles

	Containerd string // socket of an external containerd; empty: the one inside
}

// UpConfig is what a process needs that is a brain and a cell. The Common parts
// of both are the same.
type UpConfig struct {
	Brain BrainConfig
	Cell  CellConfig
}

// A Setting is one value and where it came from.
type Setting struct {
	Key    string `json:"key"`            // as in the file; the flag is --Key
	Value  string `json:"value"`          // masked if it is a secret
	Auto   string `json:"auto,omitempty"` // what an empty Value stands for
	Origin string `json:"origin"`         // "flag --api", "environment LATTICE_API", "file PATH", "default", "detected"
}

// Chosen reports whether somebody asked for the value.
func (s Setting) Chosen() bool { return s.Origin != originDefault && s.Origin != originDetected }

// Brain reads a brain's configuration. flags went through AddBrainFlags and were
// parsed; file may be empty. It reports all that is wrong, one sentence a line;
// each is app.ErrInvalid.
func Brain(flags *pflag.FlagSet, file string) (BrainConfig, error) {
	r, err := newReader(roleBrain, flags, file)
	if err != nil {
		return BrainConfig{}, err
	}
	b := r.brain(r.common())
	b.Settings = r.settings()
	return b, errors.Join(r.errs...)
}

// Cell reads a cell's configuration as Brain reads a brain's; flags went through
// AddCellFlags.
func Cell(flags *pflag.FlagSet, file string) (CellConfig, error) {
	r, err := newReader(roleCell, flags, file)
	if err != nil {
		return CellConfig{}, err
	}
	c := r.cell(r.common())
	r.join(&c)
	r.ingress(&c)
	c.Settings = r.settings()
	return c, errors.Join(r.errs...)
}

// Up reads the configuration of a brain and cell in one as Brain reads a
// brain's; flags went through AddUpFlags.
func Up(flags *pflag.FlagSet, file string) (UpConfig, error) {
	r, err := newReader(roleUp, flags, file)
	if err != nil {
		return UpConfig{}, err
	}
	common := r.common()
	u := UpConfig{Brain: r.brain(common), Cell: r.cell(common)}
	u.Brain.Settings = r.settings()
	u.Cell.Settings = u.Brain.Settings
	return u, errors.Join(r.errs...)
}

// A Secret is text that prints masked. string(s) is the text.
type Secret string

const masked = "****"

// String returns a mask, or "" for no secret.
func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString is String.
func (s Secret) GoString() string { return s.String() }

// LogValue is String.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.String()) }

// MarshalText is String.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
