package app

import "strings"

// checks looks at all checks of a.
func (p *problems) checks(a App) {
	p.check("the check", a.Check, a.Ports)
	if c := a.Startup; c != nil {
		p.check("the startup check", *c, a.Ports)
		if c.Failures != 0 {
			p.add("the startup check has a number of failures, which it doesn't use: a starting instance fails when the start timeout is over, so set that")
		}
	}
	if a.Readiness != nil {
		p.check("the readiness check", *a.Readiness, a.Ports)
	}
}

// check looks at c, which what names.
func (p *problems) check(what string, c Check, ports []int) {
	switch c.Type {
	case CheckPort, CheckNone:
	case CheckHTTP:
		p.path(what+"'s path", c.Path, " #")
		if _, err := ParseStatuses(c.Statuses); err != nil {
			p.add("%s's statuses: %s", what, err)
		}
	case CheckCommand:
		p.checkCommand(what, c.Command)
	default:
		p.add("%s can't be made: there is no check type %s: choose %s, %s, %s or %s", what, quote(string(c.Type)), CheckPort, CheckHTTP, CheckCommand, CheckNone)
		return
	}
	if c.Path != "" && c.Type != CheckHTTP {
		p.add("%s has the path %s, which only a check of type %s uses: change the type or leave the path out", what, quote(c.Path), CheckHTTP)
	}
	if c.Statuses != "" && c.Type != CheckHTTP {
		p.add("%s has the statuses %s, which only a check of type %s uses: change the type or leave them out", what, quote(c.Statuses), CheckHTTP)
	}
	if c.Command != "" && c.Type != CheckCommand {
		p.add("%s has a command, which only a check of type %s uses: change the type or leave the command out", what, CheckCommand)
	}
	p.portOf(what, c.Port, ports)
	p.rhythm(what, c)
}

// rhythm looks at when and how often a check is made.
func (p *problems) rhythm(what string, c Check) {
	p.duration(what+"'s timeout", c.Timeout, MaxCheckTimeout)
	if c.Interval != 0 && (c.Interval < Duration(MinCheckInterval) || c.Interval > Duration(MaxCheckInterval)) {
		p.add("%s's interval is %s: it can be %s to %s, or 0s for the usual one", what, c.Interval, MinCheckInterval, MaxCheckInterval)
	}
	if c.Failures < 0 || c.Failures > MaxCheckFailures {
		p.add("%s fails after %d misses: it can be 1 to %d, or 0 for the usual %d", what, c.Failures, MaxCheckFailures, CheckFailures)
	}
}

func (p *problems) checkCommand(what, command string) {
	switch {
	case strings.TrimSpace(command) == "":
		p.add("%s of type %s needs a command, such as: test -f /tmp/ready", what, CheckCommand)
	case len(command) > MaxCommandBytes:
		p.add("%s's command has %d bytes: at most %d are possible", what, len(command), MaxCommandBytes)
	case hasNUL(command):
		p.add("%s's command has a NUL byte in it: no shell can be given that", what)
	}
}
