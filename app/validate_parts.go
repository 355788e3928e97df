package app

import (
	"maps"
	"slices"
	"strings"
)

func (p *problems) check(c Check, ports []int) {
	switch c.Type {
	case CheckPort, CheckNone:
	case CheckHTTP:
		p.path("the check's path", c.Path, "\t\r\n #")
	case CheckCommand:
		p.checkCommand(c.Command)
	default:
		p.add("there is no check type %s: choose %s, %s, %s or %s", quote(string(c.Type)), CheckPort, CheckHTTP, CheckCommand, CheckNone)
		return
	}
	if c.Path != "" && c.Type != CheckHTTP {
		p.add("the check has the path %s, which only a check of type %s uses: change the type or leave the path out", quote(c.Path), CheckHTTP)
	}
	if c.Command != "" && c.Type != CheckCommand {
		p.add("the check has a command, which only a check of type %s uses: change the type or leave the command out", CheckCommand)
	}
	p.portOf("the check", c.Port, ports)
	p.duration("the check's timeout", c.Timeout, MaxCheckTimeout)
}

func (p *problems) checkCommand(command string) {
	switch {
	case strings.TrimSpace(command) == "":
		p.add("the check of type %s needs a command, such as: test -f /tmp/ready", CheckCommand)
	case len(command) > MaxCommandBytes:
		p.add("the check's command has %d bytes: at most %d are possible", len(command), MaxCommandBytes)
	case hasNUL(command):
		p.add("the check's command has a NUL byte in it: no shell can be given that")
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
	seen := make(map[Route]bool, len(a.Routes))
	for _, r := range a.Routes {
		p.host(r.Host)
		if r.Path != "" {
			p.path("the path of the route "+quote(r.Host), r.Path, "\t\r\n #?")
		}
		p.portOf("the route "+quote(r.Host+r.Path), r.Port, a.Ports)
		key := Route{Host: strings.ToLower(r.Host), Path: strings.TrimRight(r.Path, "/")}
		if seen[key] {
			p.add("the route %s is there twice: a host and path can lead to one port only", quote(r.Host+r.Path))
		}
		seen[key] = true
	}
}

func (p *problems) host(host string) {
	bare, wild := strings.CutPrefix(host, "*.")
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
	case !isHost(bare):
		p.add("the host %s of a route is no host name: parts of a-z, 0-9, - and _ with dots between, at most %d characters a part and %d in all", quote(host), MaxNameBytes, maxHostBytes)
	case wild && len(host) > maxHostBytes:
		p.add("the host %s of a route has %d characters: at most %d are possible", quote(host), len(host), maxHostBytes)
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
		p.add("%s is %s: leave out everything from the first space, ? or # on, or write it as %%20, %%3F or %%23", what, quote(path))
	case strings.ContainsFunc(path, isControl):
		p.add("%s is %s: it has a control character in it", what, quote(path))
	}
}

const maxHostBytes = 253 // of a DNS name

func isHost(s string) bool {
	if len(s) > maxHostBytes {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

// isLabel reports whether s can stand between the dots of a host name. It lets
// "_" pass, which browsers and resolvers take though the standard doesn't.
func isLabel(s string) bool {
	if s == "" || len(s) > MaxNameBytes || !isAlnum(s[0]) || !isAlnum(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// isVariable reports whether s matches [A-Za-z_][A-Za-z0-9_]*.
func isVariable(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20 // a letter in lower case
		if s[i] != '_' && !('a' <= c && c <= 'z') && !(i > 0 && '0' <= s[i] && s[i] <= '9') {
			return false
		}
	}
	return s != ""
}

func isUser(s string) bool {
	user, group, two := strings.Cut(s, ":")
	odd := func(r rune) bool { return isControl(r) || r == ' ' || r == ':' || r == '/' }
	return user != "" && (!two || group != "") && len(s) <= 256 &&
		!strings.ContainsFunc(user, odd) && !strings.ContainsFunc(group, odd)
}
