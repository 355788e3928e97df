package cli

import (
	"bufio"
	"cmp"
	"fmt"
	"maps"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lattice/app"
)

// appFlags are the flags that describe an app, as they were typed.
type appFlags struct {
	dir, user    string
	env          []string
	envFile      string
	cpuWeight    int
	memory, disk megabytes
	ports        portList

	monitor, startup, readiness checkFlags
	noMonitor                   bool
	statuses                    string

	routes       []string
	routeOptions []string
	noRoutes     bool

	instances int
	ruleFlags

	startTimeout time.Duration
	stopGrace    time.Duration

	root       bool
	privileged bool
	volumes    []string
	tcpRoutes  []string
}

// register gives cmd the flags.
func (f *appFlags) register(cmd *cobra.Command) {
	f.memory = app.DefaultMemoryMB
	fl := cmd.Flags()
	fl.IntVarP(&f.instances, "instances", "i", 1, "`N` instances run")
	fl.VarP(&f.memory, "memory-mb", "m", "memory limit of an instance, in MiB or as 512M or 1G; 0: none")
	fl.VarP(&f.disk, "disk-mb", "d", "disk limit of an instance, in MiB or as 512M or 1G; 0: none")
	fl.IntVarP(&f.cpuWeight, "cpu-weight", "c", app.DefaultCPUWeight, "`SHARE` of the CPU, 1 to 100, against other instances")
	fl.StringArrayVarP(&f.env, "env", "e", nil, "set a variable: `NAME=VALUE`, or NAME to take it from your environment")
	fl.StringVar(&f.envFile, "env-file", "", "set the variables in `FILE`, one NAME=VALUE or NAME a line")
	fl.StringVarP(&f.dir, "working-dir", "w", "", "`DIR` to start in [the image's]")
	fl.StringVarP(&f.user, "user", "u", "", "`USER` to run as [the image's]")
	fl.VarP(&f.ports, "ports", "p", "TCP `PORTS` the app listens on, the first being the primary [the image's, else 8080]")

	f.ruleFlags.register(fl)
	f.registerChecks(fl)
	fl.DurationVar(&f.startTimeout, "start-timeout", app.DefaultStartTimeout, "`DURATION` an instance may take to become healthy")
	fl.DurationVar(&f.stopGrace, "stop-grace", app.DefaultStopGrace, "`DURATION` between the stop signal and the kill")

	fl.StringArrayVarP(&f.routes, "http-route", "R", nil, "`HOST[/PATH][:PORT]` that leads to the app, instead of APP.DOMAIN; may be repeated")
	fl.StringArrayVar(&f.routeOptions, "route-option", nil, routeOptionHelp+strings.Join(app.RouteOptionKeys(), ", "))
	fl.StringArrayVarP(&f.tcpRoutes, "tcp-route", "T", nil, "`EXTERNAL[:PORT]` of the router leads to the app by TCP, auto being any that is free; with ,sni=NAME ,proxy-protocol or ,idle-timeout=TIME behind it; may be repeated")
	fl.BoolVar(&f.noRoutes, "no-routes", false, "no HTTP route leads to the app")

	fl.BoolVarP(&f.root, "run-as-root", "r", false, "")
	fl.Lookup("run-as-root").Hidden = true
	f.registerVolumes(fl)
}

// registerVolumes gives fl the flags that loosen the ties of an instance, to its
// container and to its cell.
func (f *appFlags) registerVolumes(fl *pflag.FlagSet) {
	fl.StringArrayVarP(&f.volumes, "volume", "v", nil, "`NAME:PATH[:ro]` or nfs://HOST/PATH:PATH[:ro]: a folder that outlives the container; may be repeated")
	fl.BoolVar(&f.privileged, "privileged", false, "no user namespace, all that root may do on the cell; only on cells with --allow-privileged")
}

// registerChecks gives fl the flags of the checks.
func (f *appFlags) registerChecks(fl *pflag.FlagSet) {
	m, r := &f.monitor, &f.readiness
	m.prefix = "monitor"
	fl.IntVarP(&m.port, "monitor-port", "M", 0, "healthy while `PORT` accepts connections [the primary port]")
	fl.StringVarP(&m.url, "monitor-url", "U", "", "healthy while GET `PORT:/PATH` answers 2xx or 3xx")
	fl.StringVar(&m.command, "monitor-command", "", "healthy while `COMMAND` in the instance ends with 0")
	fl.BoolVar(&f.noMonitor, "no-monitor", false, "healthy while the process runs")
	fl.DurationVar(&m.timeout, "monitor-timeout", app.DefaultCheckTimeout, "`DURATION` one check may take")
	fl.DurationVar(&m.interval, "monitor-interval", 0, "`DURATION` between checks of a healthy instance [5s]")
	fl.IntVar(&m.failures, "monitor-failures", 0, "an instance is restarted after `N` failed checks in a row [3]")
	fl.StringVar(&f.statuses, "monitor-statuses", "", "`CODES` that all checks by URL accept, as 200-299,401 [200-399]")

	f.startup.register(fl, "startup", "has come up when")
	fl.DurationVar(&f.startup.interval, "startup-interval", 0, "`DURATION` between checks of a starting instance [250ms]")
	r.register(fl, "readiness", "gets requests while")
	fl.DurationVar(&r.timeout, "readiness-timeout", 0, "`DURATION` one such check may take [1s]")
	fl.DurationVar(&r.interval, "readiness-interval", 0, "`DURATION` between such checks [5s]")
	fl.IntVar(&r.failures, "readiness-failures", 0, "no more requests after `N` failed such checks in a row [3]")
}

// conflict returns a failure if flags contradict each other.
func (f *appFlags) conflict(cmd *cobra.Command) error {
	return cmp.Or(
		f.monitor.conflict(cmd, "no-monitor"),
		f.startup.conflict(cmd),
		f.readiness.conflict(cmd),
		exclusive(cmd, "http-route", "no-routes"),
		exclusive(cmd, "user", "run-as-root"),
	)
}

// build returns the app that the flags describe. What the brain checks is
// left to it.
func (f *appFlags) build(name, image string, command []string) (app.App, error) {
	a, err := f.unchecked(name, image, command)
	if err != nil {
		return app.App{}, err
	}
	set := routeSet{s: app.Status{App: a}}
	if err := setRouteOptions(&a, f.routeOptions, set.usual, set.same); err != nil {
		return app.App{}, err
	}
	return a, f.checks(&a)
}

// unchecked is build without the app's checks.
func (f *appFlags) unchecked(name, image string, command []string) (app.App, error) {
	a := app.App{
		Name: name, Image: image, Command: command, Dir: f.dir, User: f.user,
		Instances: f.instances, MemoryMB: int(f.memory), DiskMB: int(f.disk), CPUWeight: f.cpuWeight,
		Ports: f.ports, NoRoutes: f.noRoutes, Privileged: f.privileged,
		StartTimeout: app.Duration(f.startTimeout), StopGrace: app.Duration(f.stopGrace),
	}
	if f.root {
		a.User = "root"
	}
	for _, text := range f.routes {
		r, err := parseRoute(text)
		if err != nil {
			return app.App{}, err
		}
		a.Routes = append(a.Routes, r)
	}
	for _, text := range f.tcpRoutes {
		r, err := app.ParseTCPRoute(text)
		if err != nil {
			return app.App{}, err
		}
		a.TCPRoutes = append(a.TCPRoutes, r)
	}
	for _, text := range f.volumes {
		v, err := app.ParseVolume(text)
		if err != nil {
			return app.App{}, err
		}
		a.Volumes = append(a.Volumes, v)
	}
	if err := f.rules(&a); err != nil {
		return app.App{}, err
	}
	var err error
	a.Env, err = f.variables()
	return a, err
}

// variables returns the variables of the file and, going before them, of the
// flags.
func (f *appFlags) variables() (map[string]string, error) {
	env := map[string]string{}
	if f.envFile != "" {
		text, err := readSmallFile(f.envFile)
		if err != nil {
			return nil, fail(exitFile, fmt.Errorf("read the environment: %w", err))
		}
		if env, err = parseEnvFile(text, os.LookupEnv); err != nil {
			return nil, fmt.Errorf("%s: %w", f.envFile, err)
		}
	}
	given, err := parseEnv(f.env, os.LookupEnv)
	if err != nil {
		return nil, fmt.Errorf("--env: %w", err)
	}
	maps.Copy(env, given)
	return env, nil
}

// parseEnv reads variables written as NAME=VALUE, where VALUE may be empty, or
// as NAME, which takes the value that caller knows.
func parseEnv(vars []string, caller func(string) (string, bool)) (map[string]string, error) {
	env := map[string]string{}
	for _, v := range vars {
		name, value, given := strings.Cut(v, "=")
		if name == "" || strings.ContainsAny(name, " \t\x00") {
			return nil, fmt.Errorf("%q is no name of a variable: write NAME=VALUE", name)
		}
		if !given {
			if value, given = caller(name); !given {
				return nil, fmt.Errorf("%s is not set in your environment: write %s=VALUE, or %s= for an empty value", name, name, name)
			}
		}
		env[name] = value
	}
	return env, nil
}

// parseEnvFile reads variables one a line, as parseEnv does. Empty lines and
// lines that start with # don't count; quotes are part of the value, as they
// are for Docker.
func parseEnvFile(text string, caller func(string) (string, bool)) (map[string]string, error) {
	env := map[string]string{}
	lines := bufio.NewScanner(strings.NewReader(strings.TrimPrefix(text, "\ufeff")))
	lines.Buffer(nil, maxSecretFile+1)
	for n := 1; lines.Scan(); n++ {
		line := strings.TrimLeft(lines.Text(), " \t")
		if line == "" || line[0] == '#' {
			continue
		}
		one, err := parseEnv([]string{line}, caller)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", n, err)
		}
		maps.Copy(env, one)
	}
	return env, lines.Err()
}
