package cli

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"lattice/app"
)

// hiddenValue stands for the value of an environment variable.
const hiddenValue = "(hidden)"

// hideEnv returns s without the values of its environment.
func hideEnv(s app.Status) app.Status {
	if len(s.App.Env) == 0 {
		return s
	}
	env := make(map[string]string, len(s.App.Env))
	for name := range s.App.Env {
		env[name] = hiddenValue
	}
	s.App.Env = env
	return s
}

// A statusView prints an app for people.
type statusView struct {
	detailed bool
	env      bool // with the values of the environment
}

func (v statusView) write(w *screen, s app.Status, now time.Time) {
	v.header(w, s, now)
	io.WriteString(w, "\n")
	switch {
	case len(s.Instances) == 0:
		io.WriteString(w, "No instances.\n")
	case v.detailed:
		for i, in := range s.Instances {
			if i > 0 {
				io.WriteString(w, "\n")
			}
			details(w, in, now)
		}
	default:
		instanceTable(s.Instances, now).write(w)
	}
}

// header prints what the user asked for.
func (v statusView) header(w *screen, s app.Status, now time.Time) {
	a := s.App
	fmt.Fprintln(w, w.paint(bold, a.Name))
	var t table
	line := func(name string, value any) { t.row("", name, value) }
	line("Image", a.Image)
	up := instancesField(s)
	switch {
	case a.Stopped:
		up.text += fmt.Sprintf(", %d when started", a.Instances)
	case a.Held != "":
		up.text += fmt.Sprintf(", %d when %s is enabled again", a.Instances, a.Held)
	default:
		up.text += " running"
	}
	line("Instances", up)
	if a.Revision > 1 || a.Rollout != nil {
		line("Revision", a.Revision)
	}
	if a.Rollout != nil {
		line("Change", rolloutField(s, now))
	}
	line("Memory", limitText(a.MemoryMB))
	line("Disk", limitText(a.DiskMB))
	line("CPU weight", a.CPUWeight)
	if a.CPUMilli > 0 {
		line("CPU kept free", coresText(a.CPUMilli))
	}
	if a.Rules.Any() {
		line("Rules", rulesText(a.Rules))
	}
	line("Ports", portsText(s))
	line("Check", checkText(a.Check))
	if a.Startup != nil {
		line("Startup", checkText(*a.Startup))
	}
	if a.Readiness != nil {
		line("Readiness", checkText(*a.Readiness))
	}
	if len(a.Command) > 0 {
		line("Command", commandText(a.Command))
	}
	if len(a.Args) > 0 {
		line("Arguments", commandText(a.Args))
	}
	if a.Dir != "" {
		line("Working dir", a.Dir)
	}
	if a.User != "" {
		line("User", a.User)
	}
	listLines(&t, "Routes", routeLines(s), cyan)
	if lines := optionLines(s.App.Routes); len(lines) > 0 {
		listLines(&t, "Options", lines, "")
	}
	if len(s.TCP) > 0 {
		listLines(&t, "TCP routes", tcpLines(s.TCP), cyan)
	}
	listLines(&t, "Volumes", volumeLines(a.Volumes), plain)
	if a.Privileged {
		line("Privileged", field{"yes: nothing keeps it from its cell", yellow})
	}
	listLines(&t, "Env", v.envLines(a), plain)
	if !a.CreatedAt.IsZero() {
		line("Created", a.CreatedAt.Local().Format(time.DateTime))
	}
	t.write(w)
}

// rolloutField says how far the last change of the revision is.
func rolloutField(s app.Status, now time.Time) field {
	r := s.App.Rollout
	text := fmt.Sprintf("%s: revision %d → %d", r.State, r.From, r.To)
	switch r.State {
	case app.RolloutRunning:
		text += fmt.Sprintf(" (%s), %d of %d changed", howText(r.RolloutOptions), runningOn(s, r.To), s.App.Wanted())
		if !r.StartedAt.IsZero() {
			text += " in " + ageText(now.Sub(r.StartedAt))
		}
		return field{text, yellow}
	case app.RolloutPaused:
		return field{text + ", a canary waits: update --promote or rollback", yellow}
	case app.RolloutFailed:
		return field{fmt.Sprintf("%s, back at %d: %s", text, s.App.Revision, r.Reason), red}
	}
	if !r.EndedAt.IsZero() {
		text += ", " + r.EndedAt.Local().Format(time.DateTime)
	}
	return field{text, plain}
}

// listLines appends one row a line, only the first with the name.
func listLines(t *table, name string, lines []string, as style) {
	for i, l := range lines {
		if i > 0 {
			name = ""
		}
		t.row("", name, field{l, as})
	}
}

// envLines are the variables by name. Values are not printed unless asked for.
func (v statusView) envLines(a app.App) []string {
	var lines []string
	for _, name := range slices.Sorted(maps.Keys(a.Env)) {
		value := hiddenValue
		if v.env {
			value = strconv.Quote(a.Env[name])
		}
		lines = append(lines, name+"="+value)
	}
	return lines
}

// optionLines are the routes that have options, with these.
func optionLines(routes []app.Route) []string {
	var lines []string
	for _, r := range routes {
		if options := r.Options.Typed(); len(options) > 0 {
			lines = append(lines, r.Host+r.Path+": "+strings.Join(options, ", "))
		}
	}
	return lines
}

// routeLines are the URLs, each with the port that it leads to if that was named.
func routeLines(s app.Status) []string {
	if len(s.URLs) == 0 {
		return []string{"none"}
	}
	lines := slices.Clone(s.URLs)
	if len(s.App.Routes) == len(s.URLs) {
		for i, r := range s.App.Routes {
			if r.Port != 0 {
				lines[i] += fmt.Sprintf(" => %d", r.Port)
			}
		}
	}
	return lines
}

// tcpLines are the addresses of TCP routes, each with its port and what is wrong.
func tcpLines(all []app.TCPAddress) []string {
	lines := make([]string, len(all))
	for i, t := range all {
		lines[i] = t.Address
		if t.Port != 0 {
			lines[i] += fmt.Sprintf(" => %d", t.Port)
		}
		if t.Problem != "" {
			lines[i] += ": not open: " + t.Problem
		}
	}
	return lines
}

// portsText lists the ports the app listens on; those of the image are known
// from an instance.
func portsText(s app.Status) string {
	ports := s.App.Ports
	if len(ports) == 0 {
		i := slices.IndexFunc(s.Instances, func(in app.Instance) bool { return len(in.Ports) > 0 })
		if i < 0 {
			return "the image's"
		}
		for _, p := range s.Instances[i].Ports {
			ports = append(ports, p.Container)
		}
	}
	texts := make([]string, len(ports))
	for i, p := range ports {
		texts[i] = strconv.Itoa(p)
	}
	return strings.Join(texts, ", ")
}

func checkText(c app.Check) string {
	port := "the primary port"
	if c.Port != 0 {
		port = fmt.Sprintf("port %d", c.Port)
	}
	var text string
	switch c.Type {
	case app.CheckNone:
		return "none"
	case app.CheckHTTP:
		text = fmt.Sprintf("GET %s at %s", c.Path, port)
	case app.CheckCommand:
		text = fmt.Sprintf("command %q", c.Command)
	default:
		text = "connect to " + port
	}
	text += ", timeout " + c.Timeout.String()
	if c.Interval != 0 {
		text += ", every " + c.Interval.String()
	}
	if c.Failures != 0 {
		text += fmt.Sprintf(", fails after %d in a row", c.Failures)
	}
	if c.Statuses != "" {
		text += ", accepts " + c.Statuses
	}
	return text
}

// commandText returns the arguments as a shell would want them typed.
func commandText(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = a
		if a == "" || strings.ContainsFunc(a, func(r rune) bool { return strings.ContainsRune(" \t\n'\"\\$&|;<>()*?#~`", r) }) {
			quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
		}
	}
	return strings.Join(quoted, " ")
}
