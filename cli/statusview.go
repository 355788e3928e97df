package cli

import (
	"cmp"
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
	v.header(w, s)
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
func (v statusView) header(w *screen, s app.Status) {
	a := s.App
	fmt.Fprintln(w, w.paint(bold, a.Name))
	var t table
	line := func(name string, value any) { t.row("", name, value) }
	line("Image", a.Image)
	up := instancesField(s)
	up.text += " running"
	line("Instances", up)
	line("Memory", limitText(a.MemoryMB))
	line("Disk", limitText(a.DiskMB))
	line("CPU weight", a.CPUWeight)
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
	if a.Dir != "" {
		line("Working dir", a.Dir)
	}
	if a.User != "" {
		line("User", a.User)
	}
	listLines(&t, "Routes", routeLines(s), cyan)
	listLines(&t, "Env", v.envLines(a), plain)
	if !a.CreatedAt.IsZero() {
		line("Created", a.CreatedAt.Local().Format(time.DateTime))
	}
	t.write(w)
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

func instanceTable(instances []app.Instance, now time.Time) *table {
	var t table
	t.head("Instance", "State", "Cell", "Address", "Crashes", "CPU", "Memory", "Disk", "Uptime", "Reason")
	for _, in := range instances {
		t.row(in.Index, stateField(in), dash(in.Cell), dash(address(in)), in.Crashes,
			cpuText(in), memoryText(in), diskText(in), uptime(in, now), reasonText(in, now))
	}
	return &t
}

// details prints all that is known of in.
func details(w *screen, in app.Instance, now time.Time) {
	state := stateField(in)
	fmt.Fprintf(w, "%s  [%s]\n", w.paint(bold, fmt.Sprintf("Instance %d", in.Index)), w.paint(state.as, state.text))
	var t table
	line := func(name, value string) {
		if value != "" {
			t.row("", name, value)
		}
	}
	line("GUID", in.GUID)
	line("Cell", in.Cell)
	line("IP", in.IP)
	line("Address", in.Host)
	line("Port mapping", portMapping(in))
	line("Uptime", uptime(in, now))
	line("Crashes", strconv.Itoa(in.Crashes))
	line("Reason", reasonText(in, now))
	line("CPU", cpuText(in))
	line("Memory", memoryText(in))
	line("Disk", diskText(in))
	line("Revision", strconv.FormatUint(in.Revision, 10))
	t.write(w)
}

func stateField(in app.Instance) field {
	switch {
	case in.Stray:
		return field{"STRAY", red}
	case in.Stopping:
		return field{"STOPPING", yellow}
	case in.Draining:
		return field{"DRAINING", yellow}
	case in.State == app.Running && in.Unready:
		return field{"UNREADY", yellow}
	case in.State == app.Running:
		return field{string(in.State), green}
	case in.State == app.Claimed:
		return field{string(in.State), yellow}
	case in.State == app.Unclaimed && in.Reason == "":
		return field{string(in.State), cyan}
	}
	return field{string(in.State), red}
}

// reasonText says what happened last or what an instance waits for.
func reasonText(in app.Instance, now time.Time) string {
	switch {
	case in.Pull != nil:
		return pullText(*in.Pull)
	case in.Reason == "":
		return ""
	case in.State == app.Crashed && in.RetryAt.After(now):
		return in.Reason + ", restart in " + ageText(in.RetryAt.Sub(now))
	case waitsForRoom(in), in.Unready:
		return in.Reason
	case in.State == app.Running, in.State == app.Claimed && in.Crashes > 0:
		return "last crash: " + in.Reason
	}
	return in.Reason
}

// pullText says how far the pull of an image is.
func pullText(p app.Pull) string {
	if p.Total <= 0 {
		return "pulling the image: " + sizeText(p.Done) + " so far"
	}
	return fmt.Sprintf("pulling the image: %s of %s (%d%%)", sizeText(p.Done), sizeText(p.Total), min(100, p.Done*100/p.Total))
}

// address is where the cell leads to the instance's primary port.
func address(in app.Instance) string {
	if in.Host == "" || len(in.Ports) == 0 {
		return ""
	}
	return fmt.Sprintf("%s:%d", in.Host, in.Ports[0].Host)
}

// portMapping lists the ports as host:container.
func portMapping(in app.Instance) string {
	var pairs []string
	for _, p := range in.Ports {
		pairs = append(pairs, fmt.Sprintf("%d:%d", p.Host, p.Container))
	}
	return strings.Join(pairs, ", ")
}

func cpuText(in app.Instance) string {
	if in.State != app.Running {
		return "-"
	}
	return fmt.Sprintf("%.1f%%", in.CPUPercent)
}

func memoryText(in app.Instance) string {
	if in.State != app.Running || in.MemoryBytes == 0 { // not measured yet
		return "-"
	}
	return sizeText(in.MemoryBytes)
}

func diskText(in app.Instance) string {
	if in.State != app.Running || in.DiskBytes == 0 { // not measured yet
		return "-"
	}
	return sizeText(in.DiskBytes)
}

func uptime(in app.Instance, now time.Time) string {
	if in.State != app.Running || in.Since.IsZero() {
		return "-"
	}
	return ageText(now.Sub(in.Since))
}

func dash(s string) string { return cmp.Or(s, "-") }
