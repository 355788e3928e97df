package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"lattice/app"
)

func instanceTable(instances []app.Instance, now time.Time) *table {
	var t table
	names := []string{"Instance", "State", "Cell", "Address", "Crashes", "CPU", "Memory", "Disk", "Uptime", "Reason"}
	mixed := mixedRevisions(instances)
	if mixed {
		names = slices.Insert(names, 1, "Revision")
	}
	t.head(names...)
	for _, in := range instances {
		row := []any{in.Index, stateField(in), dash(in.Cell), dash(address(in)), in.Crashes,
			cpuText(in), memoryText(in), diskText(in), uptime(in, now), reasonText(in, now)}
		if mixed {
			row = slices.Insert(row, 1, any(in.Revision))
		}
		t.row(row...)
	}
	return &t
}

// mixedRevisions reports whether instances are of more than one revision.
func mixedRevisions(instances []app.Instance) bool {
	return slices.ContainsFunc(instances, func(in app.Instance) bool {
		return in.State != app.Unclaimed && in.Revision != instances[0].Revision
	})
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
