package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/pflag"
)

// A role is one of the ways to run, or several or'ed.
type role uint8

const (
	roleBrain role = 1 << iota
	roleCell
	roleUp

	roleAll = roleBrain | roleCell | roleUp
)

const (
	apiPort       = "7443"
	maxContainers = 250

	maxStartsPerCell = 64

	// DefaultLayers is the CellConfig.Layers of who chooses nothing.
	DefaultLayers = ":7947"
)

// An option is one thing to choose. Its key is the flag, the key in the file
// and, in capitals with LATTICE_ in front, the environment variable.
type option struct {
	key    string
	roles  role
	def    any    // string, int, bool or []string; the zero value: found out, or not needed
	auto   string // what a zero default stands for
	usage  string
	secret bool
}

// options returns all there are, in the order of the help text. The key names
// and defaults are here and nowhere else.
func options() []option {
	return slices.Concat(mainOptions(), routerOptions(), logOptions())
}

func mainOptions() []option {
	return []option{
		{key: "data-dir", roles: roleAll, def: "/var/lib/lattice", usage: "`folder` for everything that must outlive a reboot"},
		{key: "state-dir", roles: roleAll, def: "", auto: "/run/lattice/ and a hash of the data folder", usage: "`folder` for sockets and other things that end with a reboot"},
		{key: "advertise", roles: roleAll, def: "", auto: "the address of the default route's interface", usage: "`ip` at which other nodes reach this one"},
		{key: "gossip", roles: roleAll, def: ":7946", usage: "`[ip]:port` to gossip on, TCP and UDP"},

		{key: "api", roles: roleBrain | roleUp, def: ":" + apiPort, usage: "`[ip]:port` of the API"},
		{key: "domain", roles: roleBrain | roleUp, def: "lattice.localhost", usage: "apps are at NAME.`domain`"},
		{key: "ssh", roles: roleBrain | roleUp, def: "", auto: ":2222 if it is free, else off", usage: "`[ip]:port` for plain ssh, scp and sftp into containers, or off"},
		{key: "certificate-life", roles: roleBrain | roleUp, def: "720h", usage: "`time` that a cell's certificate is valid; after two thirds of it the cell gets a new one"},
		{key: "placement", roles: roleBrain | roleUp, def: "spread", usage: "`how` to choose cells: spread (all evenly) or pack (one after the other); instances of one app are spread either way"},
		{key: "max-starts", roles: roleBrain | roleUp, def: 0, auto: "any", usage: "`number` of instances that may be starting at the same time; others wait for their turn"},
		{key: "max-starts-per-cell", roles: roleBrain | roleUp, def: maxStartsPerCell, usage: "the same `number` for each cell; 0: any"},
		{key: "rebalance", roles: roleBrain | roleUp, def: false, usage: "when a cell has joined, move instances to it, one at a time"},

		{key: "max-build-source-mb", roles: roleBrain | roleUp, def: 2048, usage: "`MiB` that the source of a build may have, packed"},

		{key: "join", roles: roleCell, def: "", usage: "`host[:port]` of the brain's API"},
		{key: "token", roles: roleCell, def: "", usage: "join `token` of the cluster; others can see it in the process list, better use --token-file or LATTICE_TOKEN", secret: true},
		{key: "token-file", roles: roleCell, def: "", usage: "`file` with the join token"},

		{key: "cell-id", roles: roleCell | roleUp, def: "", auto: "the host's short name", usage: "`name` of this cell, unique in the cluster"},
		{key: "zone", roles: roleCell | roleUp, def: "z1", usage: "`name` of the failure zone; instances are spread over zones"},
		{key: "label", roles: roleCell | roleUp, def: []string(nil), usage: "`key=value` that describes this cell; may be repeated"},
		{key: "memory-mb", roles: roleCell | roleUp, def: 0, auto: "all the host has", usage: "`MiB` of memory for instances"},
		{key: "disk-mb", roles: roleCell | roleUp, def: 0, auto: "what is free under the data folder", usage: "`MiB` of disk for instances"},
		{key: "cpus", roles: roleCell | roleUp, def: 0, auto: "all the host has", usage: "`cores` for instances that ask for some"},
		{key: "max-containers", roles: roleCell | roleUp, def: maxContainers, usage: "`number` of instances at most"},
		{key: "allow-privileged", roles: roleCell | roleUp, def: false, usage: "run apps that ask for --privileged: they may do all that root may on this host"},
		{key: "evacuate-on-stop", roles: roleCell | roleUp, def: false, usage: "when told to stop, move the instances to other cells first"},
		{key: "evacuate-timeout", roles: roleCell | roleUp, def: "5m", usage: "`time` that may take at most; what is left then runs on here"},
		{key: "layers", roles: roleCell | roleUp, def: DefaultLayers, usage: "`[ip]:port` at which other cells get layers of images that this one has, or off"},
		{key: "router", roles: roleCell, def: false, usage: "lead requests to apps from this host's ports, too, as the brain does, also while the brain is away; the flags from --http on are for that"},
		{key: "build-cache-mb", roles: roleCell | roleUp, def: 10240, usage: "`MiB` on the disk that builds of Dockerfiles may leave for the next ones"},
		{key: "containerd-address", roles: roleCell | roleUp, def: "", auto: "the containerd inside this binary", usage: "`socket` of a containerd to use"},
	}
}

func logOptions() []option {
	return []option{
		{key: "image-age", roles: roleAll, def: "720h", usage: "`time` after which an image that nothing needs any more is deleted from this disk"},
		{key: "image-disk", roles: roleAll, def: 85, usage: "`percent` of the disk in use from which on such images are deleted sooner, the longest unused first"},
		{key: "log-level", roles: roleAll, def: "info", usage: "`level`: debug, info, warn or error"},
		{key: "log-format", roles: roleAll, def: "text", usage: "`format`: text or json"},
	}
}

func (o option) env() string {
	return "LATTICE_" + strings.ToUpper(strings.ReplaceAll(o.key, "-", "_"))
}

// AddBrainFlags registers the flags of a brain.
func AddBrainFlags(fs *pflag.FlagSet) { addFlags(fs, roleBrain) }

// AddCellFlags registers the flags of a cell.
func AddCellFlags(fs *pflag.FlagSet) { addFlags(fs, roleCell) }

// AddUpFlags registers the flags of a brain and cell in one.
func AddUpFlags(fs *pflag.FlagSet) { addFlags(fs, roleUp) }

func addFlags(fs *pflag.FlagSet, r role) {
	fs.SortFlags = false // they are sorted by topic
	for _, o := range options() {
		if o.roles&r == 0 {
			continue
		}
		usage := o.usage
		if o.auto != "" {
			usage += fmt.Sprintf(" (default: %s)", o.auto)
		}
		switch def := o.def.(type) {
		case string:
			fs.String(o.key, def, usage)
		case int:
			fs.Int(o.key, def, usage)
		case bool:
			fs.Bool(o.key, def, usage)
		case []string:
			fs.StringSlice(o.key, def, usage)
		}
	}
}
