package cli

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lattice/app"
)

// checkFlags are the flags that describe one of an app's checks, as they were
// typed. Those of which nothing was typed stay zero.
type checkFlags struct {
	prefix   string // of the flags' names
	port     int
	url      string
	command  string
	interval time.Duration
	timeout  time.Duration
	failures int
}

// register gives fl the flags; what says in their help what they are for.
func (f *checkFlags) register(fl *pflag.FlagSet, prefix, what string) {
	f.prefix = prefix
	fl.IntVar(&f.port, prefix+"-port", 0, what+" `PORT` accepts connections")
	fl.StringVar(&f.url, prefix+"-url", "", what+" GET `PORT:/PATH` answers 2xx or 3xx")
	fl.StringVar(&f.command, prefix+"-command", "", what+" `COMMAND` in the instance ends with 0")
}

// conflict returns a failure if more than one kind of check was typed.
func (f *checkFlags) conflict(cmd *cobra.Command, others ...string) error {
	return exclusive(cmd, append([]string{f.prefix + "-port", f.prefix + "-url", f.prefix + "-command"}, others...)...)
}

// typed reports whether the flags say which kind of check it is.
func (f *checkFlags) typed() bool { return f.port != 0 || f.url != "" || f.command != "" }

// check returns the check that the flags describe; if they describe no kind,
// it is of the port.
func (f *checkFlags) check() (app.Check, error) {
	c := app.Check{
		Type: app.CheckPort, Port: f.port, Timeout: app.Duration(f.timeout),
		Interval: app.Duration(f.interval), Failures: f.failures,
	}
	switch {
	case f.command != "":
		c.Type, c.Command = app.CheckCommand, f.command
	case f.url != "":
		var ok bool
		c.Type = app.CheckHTTP
		if c.Port, c.Path, ok = cutURL(f.url); !ok {
			return c, fmt.Errorf("--%s-url %q: must be PORT:/PATH, such as 8080:/health", f.prefix, f.url)
		}
	}
	return c, nil
}

// cutURL reads [PORT[:]]/PATH.
func cutURL(text string) (port int, path string, ok bool) {
	before, path, ok := strings.Cut(text, "/")
	if before = strings.TrimSuffix(before, ":"); before != "" {
		var err error
		if port, err = parsePort(before); err != nil {
			ok = false
		}
	}
	return port, "/" + path, ok
}

// optional returns the check, or nil if no flag describes one. Flags that say
// how often it is made, but not what it is, are a mistake.
func (f *checkFlags) optional() (*app.Check, error) {
	if f.typed() {
		c, err := f.check()
		return &c, err
	}
	for _, extra := range []struct {
		name  string
		typed bool
	}{{"interval", f.interval != 0}, {"timeout", f.timeout != 0}, {"failures", f.failures != 0}} {
		if extra.typed {
			return nil, fmt.Errorf("--%[1]s-%[2]s is of no use without --%[1]s-url, --%[1]s-port or --%[1]s-command", f.prefix, extra.name)
		}
	}
	return nil, nil
}

// checks fills in a's checks.
func (f *appFlags) checks(a *app.App) error {
	var errs [3]error
	a.Check, errs[0] = f.monitor.check()
	a.Startup, errs[1] = f.startup.optional()
	a.Readiness, errs[2] = f.readiness.optional()
	if err := cmp.Or(errs[:]...); err != nil {
		return err
	}
	if f.noMonitor {
		a.Check.Type = app.CheckNone
	}
	if a.Startup != nil {
		a.Startup.Timeout = app.Duration(f.monitor.timeout)
	}
	return f.acceptStatuses(a)
}

// acceptStatuses tells all checks over HTTP which statuses are good.
func (f *appFlags) acceptStatuses(a *app.App) error {
	used := f.statuses == ""
	for _, c := range []*app.Check{&a.Check, a.Startup, a.Readiness} {
		if c != nil && c.Type == app.CheckHTTP {
			c.Statuses, used = f.statuses, true
		}
	}
	if !used {
		return errors.New("--monitor-statuses is of no use without --monitor-url, --startup-url or --readiness-url")
	}
	return nil
}
