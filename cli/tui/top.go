package tui

import (
	"cmp"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"lattice/app"
)

// Top shows the instances that use the most first, until the user quits or ctx
// ends. The error is the one that made it impossible to go on, or nil.
func Top(ctx context.Context, src Source, by Order, in io.Reader, out io.Writer) error {
	return show(ctx, src, &topView{base: base{styles: newStyles(out)}, order: by}, in, out)
}

// An Order is by what instances are sorted.
type Order string

// The orders. All but ByName have the most first.
const (
	ByCPU     Order = "cpu"
	ByMemory  Order = "memory"
	ByDisk    Order = "disk"
	ByCrashes Order = "crashes"
	ByName    Order = "name"
)

// Orders returns all of them.
func Orders() []Order { return []Order{ByCPU, ByMemory, ByDisk, ByCrashes, ByName} }

// A topView draws a line for each instance.
type topView struct {
	base
	order Order
}

func (v *topView) Init() tea.Cmd { return nil }

func (v *topView) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	for _, k := range v.keys(msg) {
		switch k {
		case "c":
			v.order = ByCPU
		case "m":
			v.order = ByMemory
		case "d":
			v.order = ByDisk
		case "x":
			v.order = ByCrashes
		case "n":
			v.order = ByName
		}
	}
	return v, v.update(msg)
}

func (v *topView) View() string {
	if v.width == 0 || !v.ready() {
		return v.hello()
	}
	w := v.world()
	var all []app.Instance
	for _, s := range w.apps {
		all = append(all, s.Instances...)
	}
	Sort(all, v.order)
	lines := make([]string, len(all))
	for i, in := range all {
		lines[i] = v.row(in)
	}
	head := append([]string{}, v.meters(w)...)
	head = append(head, "", v.bold.Render(v.columns("Instance", "Cell", "State", "CPU", "Memory", "Disk", "Crashes", "For")))
	title := strings.Join(append([]string{v.title("Lattice top", w), ""}, head...), "\n")
	return v.page(title, lines, nil, "sort by c cpu  m memory  d disk  x crashes  n name")
}

// Sort sorts instances by what they use, the most first.
func Sort(all []app.Instance, by Order) {
	slices.SortFunc(all, func(a, b app.Instance) int {
		c := 0
		switch by {
		case ByMemory:
			c = cmp.Compare(b.MemoryBytes, a.MemoryBytes)
		case ByDisk:
			c = cmp.Compare(b.DiskBytes, a.DiskBytes)
		case ByCrashes:
			c = cmp.Compare(b.Crashes, a.Crashes)
		case ByCPU:
			c = cmp.Compare(b.CPUPercent, a.CPUPercent)
		}
		return cmp.Or(c, strings.Compare(a.App, b.App), cmp.Compare(a.Index, b.Index), strings.Compare(a.ID, b.ID))
	})
}

// meters are one line for each cell, at most eight.
func (v *topView) meters(w world) []string {
	var lines []string
	for i, c := range w.cells {
		if i == 8 {
			return append(lines, v.faint.Render(fmt.Sprintf("and %d cells more", len(w.cells)-i)))
		}
		width := min(max(5, (v.width-46)/2), 40)
		lines = append(lines, fmt.Sprintf("%s cpu %s %s  mem %s %s", pad(c.ID, 14),
			v.meter(cpuShare(c), width), padLeft(fmt.Sprintf("%.0f%%", c.cpu), 5),
			v.meter(ratio(c.memory, int64(c.Capacity.MemoryMB)<<20), width),
			padLeft(size(c.memory), 5)+"/"+size(int64(c.Capacity.MemoryMB)<<20)))
	}
	return lines
}

func (v *topView) row(in app.Instance) string {
	memory := size(in.MemoryBytes)
	if in.MemoryMB > 0 {
		memory += "/" + size(int64(in.MemoryMB)<<20)
	}
	text := v.columns(fmt.Sprintf("%s/%d", in.App, in.Index), cmp.Or(in.Cell, "–"), string(in.State),
		fmt.Sprintf("%.1f%%", in.CPUPercent), memory, size(in.DiskBytes), fmt.Sprint(in.Crashes), age(in.Since))
	return v.stateStyle(in).Render(text)
}

func (v *topView) stateStyle(in app.Instance) lipgloss.Style {
	switch in.State {
	case app.Running:
		return v.r.NewStyle()
	case app.Crashed:
		return v.bad
	}
	return v.warn
}

// columns aligns the fields of a row to the width of the terminal.
func (v *topView) columns(name, cell, state, cpu, memory, disk, crashes, since string) string {
	const fixed = 9 + 7 + 11 + 5 + 7 + 4 + 2*7
	free := min(max(20, v.width-fixed), 90)
	return cut(pad(name, free*3/5)+"  "+pad(cell, free-free*3/5)+"  "+pad(state, 9)+"  "+padLeft(cpu, 7)+"  "+
		padLeft(memory, 11)+"  "+padLeft(disk, 5)+"  "+padLeft(crashes, 7)+"  "+padLeft(since, 4), v.width)
}

// age returns how long ago t was, in one unit.
func age(t time.Time) string {
	d := time.Since(t)
	switch {
	case t.IsZero():
		return "–"
	case d >= 48*time.Hour:
		return fmt.Sprintf("%dd", d/(24*time.Hour))
	case d >= 2*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	case d >= 2*time.Minute:
		return fmt.Sprintf("%dm", d/time.Minute)
	}
	return fmt.Sprintf("%ds", max(0, d)/time.Second)
}
