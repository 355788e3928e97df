package app

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of an App that Validate enforces.
const (
	MaxNameBytes    = 63       // a DNS label
	MaxSizeMB       = 16 << 20 // of MemoryMB and DiskMB: 16 TiB
	MaxCPUMilli     = 1_000_000
	MaxPorts        = 100
	MaxRoutes       = 100
	MaxPathBytes    = 1 << 10   // of a route or a check
	MaxCommandBytes = 64 << 10  // of Command with all its arguments, and of Check.Command
	MaxEnvVarBytes  = 128 << 10 // of NAME=value with its closing NUL; the kernel's bound
	MaxEnvBytes     = 256 << 10 // of all of Env
	MaxStartTimeout = 24 * time.Hour
	MaxStopGrace    = time.Hour
	MaxCheckTimeout = 5 * time.Minute

	MinCheckInterval = 100 * time.Millisecond
	MaxCheckInterval = time.Hour
	MaxCheckFailures = 1000
)

// Validate returns nil if a can be run as far as a itself tells, or else an
// ErrInvalid with one sentence a line for each thing that is wrong. It never
// shows a value of Env. It wants an App as WithDefaults returns it, and only
// looks whether there is an image, not how it is written.
func (a App) Validate() error {
	var p problems
	p.name(a.Name)
	p.process(a)
	p.resources(a)
	p.rules(a)
	p.ports(a.Ports)
	p.checks(a)
	p.env(a.Env)
	p.routes(a)
	p.tcpRoutes(a)
	p.volumes(a.Volumes)
	p.duration("the start timeout", a.StartTimeout, MaxStartTimeout)
	p.duration("the stop grace", a.StopGrace, MaxStopGrace)
	return p.err()
}

// ValidInstances returns nil if an App may have n instances, else ErrInvalid.
func ValidInstances(n int) error {
	if n < 0 || n > MaxInstances {
		return Invalid("%d instances: an app can have 0 to %d, and 0 stops it", n, MaxInstances)
	}
	return nil
}

// problems collects sentences that say what is wrong.
type problems []string

func (p *problems) add(format string, args ...any) {
	*p = append(*p, fmt.Sprintf(format, args...))
}

// err returns nil when there are no problems. It tells only the first ones of
// very many.
func (p problems) err() error {
	const most = 20
	if len(p) == 0 {
		return nil
	}
	if len(p) > most {
		p = append(slices.Clone(p[:most]), fmt.Sprintf("and %d more things are wrong", len(p)-most))
	}
	return Invalid("%s", strings.Join(p, "\n"))
}

func (p *problems) name(name string) {
	switch {
	case name == "":
		p.add("the app needs a name: a-z, 0-9, - and _, at most %d characters", MaxNameBytes)
	case len(name) > MaxNameBytes:
		p.add("the name %s has %d characters: at most %d are possible, since it becomes part of a host name", quote(name), len(name), MaxNameBytes)
	case name != strings.ToLower(name) && isLabel(strings.ToLower(name)):
		p.add("the name %s has upper-case letters, which host names can't tell apart: write %q", quote(name), strings.ToLower(name))
	case !isLabel(name):
		p.add("the name %s can't be part of a host name: use a-z, 0-9, - and _, with a letter or digit first and last", quote(name))
	}
}

// process checks what becomes the container's first process.
func (p *problems) process(a App) {
	if a.Image == "" {
		p.add("the app needs an image, such as nginx or registry.example.com/team/app:1.2")
	}
	size := 0
	for _, arg := range slices.Concat(a.Command, a.Args) {
		size += len(arg) + 1
	}
	if size > MaxCommandBytes {
		p.add("the command has %d bytes: at most %d are possible", size, MaxCommandBytes)
	}
	if slices.ContainsFunc(slices.Concat(a.Command, a.Args), hasNUL) {
		p.add("the command has a NUL byte in it: no program can be given that")
	}
	if len(a.Command) > 0 && a.Command[0] == "" {
		p.add("the command starts with an empty word: name a program, or leave the command out to use the image's own")
	}
	if a.Dir != "" && (!strings.HasPrefix(a.Dir, "/") || hasNUL(a.Dir) || len(a.Dir) > MaxPathBytes) {
		p.add("the working directory %s must be an absolute path such as /app", quote(a.Dir))
	}
	if a.User != "" && !isUser(a.User) {
		p.add("the user %s must be NAME, NAME:GROUP, UID or UID:GID", quote(a.User))
	}
	if a.Set != "" && !isLabel(a.Set) {
		p.add("the set %s can't be one: use a-z, 0-9, - and _, with a letter or digit first and last, at most %d characters", quote(a.Set), MaxNameBytes)
	}
}

func (p *problems) resources(a App) {
	if err := ValidInstances(a.Instances); err != nil {
		p.add("%s", err)
	}
	switch {
	case a.MemoryMB < 0 || a.MemoryMB > MaxSizeMB:
		p.add("memory is %d MiB: it can be %d to %d, or 0 for no limit", a.MemoryMB, MinMemoryMB, MaxSizeMB)
	case a.MemoryMB > 0 && a.MemoryMB < MinMemoryMB:
		p.add("memory is %d MiB: no container starts reliably below %d, so ask for that or more, or for 0 to have no limit", a.MemoryMB, MinMemoryMB)
	}
	if a.DiskMB < 0 || a.DiskMB > MaxSizeMB {
		p.add("disk is %d MiB: it can be 1 to %d, or 0 for no limit", a.DiskMB, MaxSizeMB)
	}
	if a.CPUMilli < 0 || a.CPUMilli > MaxCPUMilli {
		p.add("%d thousandths of a core are to be kept free: it can be 0 to %d", a.CPUMilli, MaxCPUMilli)
	}
	if a.CPUWeight < 1 || a.CPUWeight > 100 {
		p.add("the cpu weight is %d: it can be 1 to 100", a.CPUWeight)
	}
}

func (p *problems) ports(ports []int) {
	if len(ports) > MaxPorts {
		p.add("there are %d ports: at most %d are possible", len(ports), MaxPorts)
		return
	}
	for i, port := range ports {
		if port < 1 || port > 65535 {
			p.add("port %d does not exist: ports are 1 to 65535", port)
		} else if slices.Contains(ports[:i], port) {
			p.add("port %d is there twice: name each port once", port)
		}
	}
}

// portOf checks that what leads to one of the app's ports. 0 is the primary
// one. If ports is empty only the image knows them.
func (p *problems) portOf(what string, port int, ports []int) {
	switch {
	case port == 0:
	case port < 0 || port > 65535:
		p.add("%s leads to port %d, which does not exist: ports are 1 to 65535", what, port)
	case len(ports) > 0 && !slices.Contains(ports, port):
		p.add("%s leads to port %d, which is none of the app's ports %s: add it to the ports or choose one of them", what, port, list(ports))
	}
}

func (p *problems) duration(what string, d Duration, most time.Duration) {
	if d <= 0 || time.Duration(d) > most {
		p.add("%s is %s: it must be more than 0s and at most %s", what, d, most)
	}
}

// env checks the names and sizes of variables. It shows no value, and of a
// name only what is before a "=", since the rest was meant as a value.
func (p *problems) env(env map[string]string) {
	total := 0
	for _, name := range slices.Sorted(maps.Keys(env)) {
		value := env[name]
		shown, _, assigned := strings.Cut(name, "=")
		size := len(name) + len(value) + 2 // NAME=value and a NUL
		total += size
		switch {
		case assigned:
			p.add("the variable %s has a = in its name: send the name and the value apart", quote(shown))
		case !isVariable(name):
			p.add("the variable %s can't be set: a name has letters, digits and _ only and no digit first", quote(shown))
		case hasNUL(value):
			p.add("the value of the variable %s has a NUL byte in it: encode it, for instance as base64", quote(name))
		case size > MaxEnvVarBytes:
			p.add("the variable %s has %d bytes: at most %d are possible, so put large things into the image or fetch them at start", quote(name), size, MaxEnvVarBytes)
		}
	}
	if total > MaxEnvBytes {
		p.add("all variables together have %d bytes: at most %d are possible, so put large things into the image or fetch them at start", total, MaxEnvBytes)
	}
}

func (p *problems) routes(a App) {
	if len(a.Routes) > MaxRoutes {
		p.add("there are %d routes: at most %d are possible", len(a.Routes), MaxRoutes)
		return
	}
	if a.NoRoutes && len(a.Routes) > 0 {
		p.add("the app has routes and asks for none: leave out one of the two")
	}
	seen := make(map[Route]bool, len(a.Routes)) // without options
	for _, r := range a.Routes {
		p.host(r.Host)
		if r.Path != "" {
			p.path("the path of the route "+quote(r.Host), r.Path, " #?")
		}
		p.portOf("the route "+quote(r.Host+r.Path), r.Port, a.Ports)
		p.options(r)
		key := Route{Host: strings.ToLower(r.Host), Path: strings.TrimRight(r.Path, "/")}
		if seen[key] {
			p.add("the route %s is there twice: a host and path can lead to one port only", quote(r.Host+r.Path))
		}
		seen[key] = true
	}
}

func (p *problems) host(host string) {
	bare := strings.TrimPrefix(host, "*.")
	switch {
	case host == "":
		p.add("a route needs a host, such as web or www.example.com")
	case strings.Contains(host, "://"):
		p.add("the host %s of a route starts with a scheme: write the host alone", quote(host))
	case strings.Contains(host, "/"):
		p.add("the host %s of a route has a path in it: write the path in the route's path", quote(host))
	case strings.Contains(host, ":"):
		p.add("the host %s of a route has a port in it: write the host alone, and the app's port in the route's port", quote(host))
	case strings.Contains(bare, "*"):
		p.add("the host %s of a route has a * in a place where it can't be: only a whole first part can be *, as in *.example.com", quote(host))
	case host != strings.ToLower(host) && isHost(strings.ToLower(bare)):
		p.add("the host %s of a route has upper-case letters: write %q", quote(host), strings.ToLower(host))
	case !isHost(bare) || len(host) > maxHostBytes:
		p.add("the host %s of a route is no host name: parts of a-z, 0-9, - and _ with dots between, at most %d characters a part and %d in all", quote(host), MaxNameBytes, maxHostBytes)
	}
}

// path checks an URL's path; none of the bytes in without may be in it.
func (p *problems) path(what, path, without string) {
	switch {
	case !strings.HasPrefix(path, "/"):
		p.add("%s is %s: it must start with /", what, quote(path))
	case len(path) > MaxPathBytes:
		p.add("%s has %d bytes: at most %d are possible", what, len(path), MaxPathBytes)
	case strings.ContainsAny(path, without):
		p.add("%s is %s: none of %q can be in it", what, quote(path), without)
	case strings.ContainsFunc(path, isControl):
		p.add("%s is %s: it has a control character in it", what, quote(path))
	}
}

// quote returns s in quotes, cut short if it is very long.
func quote(s string) string {
	const most = 100
	if len(s) > most {
		return strconv.Quote(s[:most]) + "…"
	}
	return strconv.Quote(s)
}

func list(ports []int) string {
	s := make([]string, len(ports))
	for i, port := range ports {
		s[i] = strconv.Itoa(port)
	}
	return strings.Join(s, ", ")
}
