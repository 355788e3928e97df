package cli

import (
	"errors"

	"lattice/app"
)

// changeChecks changes what was given of a's checks.
func (f *updateFlags) changeChecks(given func(flag string) bool, a *app.App) error {
	c, err := f.monitor.change(given, &a.Check)
	if err != nil {
		return err
	}
	a.Check = *c
	if f.noMonitor {
		a.Check = app.Check{Type: app.CheckNone, Timeout: c.Timeout, Interval: c.Interval, Failures: c.Failures}
	}
	if a.Startup, err = f.startup.change(given, a.Startup); err != nil {
		return err
	}
	if a.Readiness, err = f.readiness.change(given, a.Readiness); err != nil {
		return err
	}
	if f.noStartup {
		a.Startup = nil
	}
	if f.noReadiness {
		a.Readiness = nil
	}
	if a.Startup != nil && (given("monitor-timeout") || a.Startup.Timeout == 0) {
		a.Startup.Timeout = a.Check.Timeout
	}
	return f.changeStatuses(given, a)
}

// change returns have, which may be nil, with what was given.
func (f *checkFlags) change(given func(flag string) bool, have *app.Check) (*app.Check, error) {
	if have == nil {
		return f.optional()
	}
	c := *have
	if f.typed() {
		asked, err := f.check()
		if err != nil {
			return nil, err
		}
		if asked.Type != c.Type {
			c.Statuses = ""
		}
		c.Type, c.Port, c.Path, c.Command = asked.Type, asked.Port, asked.Path, asked.Command
	}
	if given(f.prefix + "-interval") {
		c.Interval = app.Duration(f.interval)
	}
	if given(f.prefix + "-timeout") {
		c.Timeout = app.Duration(f.timeout)
	}
	if given(f.prefix + "-failures") {
		c.Failures = f.failures
	}
	return &c, nil
}

// changeStatuses tells all checks over HTTP which statuses are good, if that
// was given.
func (f *updateFlags) changeStatuses(given func(flag string) bool, a *app.App) error {
	if !given("monitor-statuses") {
		return nil
	}
	used := false
	for _, c := range []*app.Check{&a.Check, a.Startup, a.Readiness} {
		if c != nil && c.Type == app.CheckHTTP {
			c.Statuses, used = f.statuses, true
		}
	}
	if !used {
		return errors.New("--monitor-statuses is of no use: " + a.Name + " has no check by URL")
	}
	return nil
}
