package tui

import (
	"context"
	"fmt"
	"io"
	"strings"

	tea "github.com/charmbracelet/bubbletea"
	"github.com/charmbracelet/lipgloss"

	"lattice/app"
)

// Widths of a box in characters, borders included.
const (
	minBox     = 20
	defaultBox = 34
	boxStep    = 6
)

// Cluster shows the cells as boxes until the user quits or ctx ends. The error
// is the one that made it impossible to go on, or nil.
func Cluster(ctx context.Context, src Source, in io.Reader, out io.Writer) error {
	return show(ctx, src, &clusterView{base: base{styles: newStyles(out)}, box: defaultBox}, in, out)
}

// A clusterView draws each cell as a box.
type clusterView struct {
	base
	box int // width of a box
}

func (v *clusterView) Init() tea.Cmd { return nil }

func (v *clusterView) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	for _, k := range v.keys(msg) {
		switch k {
		case "+", "=":
			v.box = min(v.box+boxStep, max(minBox, v.width))
		case "-":
			v.box = max(v.box-boxStep, minBox)
		}
	}
	return v, v.update(msg)
}

func (v *clusterView) View() string {
	if v.width == 0 || !v.ready() {
		return v.hello()
	}
	w := v.world()
	body := v.boxes(w.cells)
	if len(w.cells) == 0 {
		body = []string{"No cells. Start one on a Linux machine: lattice cell --join ADDR --token-file FILE"}
	}
	if len(w.waiting) > 0 {
		body = append(body, "", v.bad.Render(fmt.Sprintf("%d without a cell", len(w.waiting))))
		for _, in := range w.waiting {
			body = append(body, v.of(in.App).Render(fmt.Sprintf("%s/%d", in.App, in.Index))+" "+cut(in.Reason, v.width-len(in.App)-8))
		}
	}
	return v.page(v.title("Lattice", w)+"\n", body, v.legend(w.apps), "+/- size of a box")
}

// boxes returns the lines of all boxes, as many beside each other as fit.
func (v *clusterView) boxes(cells []cell) []string {
	across := max(1, v.width/min(v.box, v.width))
	var lines []string
	for len(cells) > 0 {
		n := min(across, len(cells))
		row := make([]string, n)
		tallest := 0
		for _, c := range cells[:n] {
			tallest = max(tallest, len(v.dots(c)))
		}
		for i, c := range cells[:n] {
			row[i] = v.drawBox(c, tallest)
		}
		lines = append(lines, strings.Split(lipgloss.JoinHorizontal(lipgloss.Top, row...), "\n")...)
		cells = cells[n:]
	}
	return lines
}

// drawBox draws a cell with room for so many lines of dots.
func (v *clusterView) drawBox(c cell, dotLines int) string {
	inner := v.inner()
	edge, state := v.state(c)
	name := cut(c.ID, inner-len(state)-1)
	lines := []string{
		v.bold.Render(name) + strings.Repeat(" ", inner-len([]rune(name))-len(state)) + edge.Render(state),
		v.memoryLine(c, inner), v.cpuLine(c, inner),
	}
	dots := v.dots(c)
	for len(dots) < dotLines {
		dots = append(dots, "")
	}
	return v.r.NewStyle().Border(lipgloss.RoundedBorder()).BorderForeground(edge.GetForeground()).
		Padding(0, 1).Width(inner + 2).Render(strings.Join(append(lines, dots...), "\n"))
}

// inner is the width of a box without border and padding.
func (v *clusterView) inner() int { return min(v.box, v.width) - 4 }

// memoryLine shows what is promised to instances and what they use.
func (v *clusterView) memoryLine(c cell, width int) string {
	all := int64(c.Capacity.MemoryMB) << 20
	text := " " + size(c.memory) + "/" + size(all)
	return v.line("mem", ratio(int64(c.Used.MemoryMB)<<20, all), text, width)
}

func (v *clusterView) cpuLine(c cell, width int) string {
	return v.line("cpu", cpuShare(c), fmt.Sprintf(" %.0f%%", c.cpu), width)
}

func (v *clusterView) line(name string, share float64, text string, width int) string {
	room := width - len(name) - 1 - len(text)
	if room < 3 {
		return pad(name+text, width)
	}
	return name + " " + v.meter(share, room) + text
}

// dots returns one dot an instance, in lines that fit the box.
func (v *clusterView) dots(c cell) []string {
	if len(c.instances) == 0 {
		return []string{v.faint.Render("empty")}
	}
	var lines []string
	var line strings.Builder
	for i, in := range c.instances {
		if i > 0 && i%v.inner() == 0 {
			lines = append(lines, line.String())
			line.Reset()
		}
		line.WriteString(v.dot(in))
	}
	return append(lines, line.String())
}

// dot shows an instance in the colour of its app; its shape is its state.
func (v *clusterView) dot(in app.Instance) string {
	switch {
	case in.State == app.Crashed:
		return v.bad.Render("✖")
	case in.Stopping, in.Draining:
		return v.of(in.App).Render("◌")
	case in.State == app.Running && in.Unready:
		return v.of(in.App).Render("◍")
	case in.State == app.Running:
		return v.of(in.App).Render("●")
	}
	return v.of(in.App).Render("○")
}

// state returns the colour of a cell and the word for what is not usual.
func (v *clusterView) state(c cell) (lipgloss.Style, string) {
	switch {
	case c.missing:
		return v.bad, "MISSING"
	case c.State == app.CellDead:
		return v.bad, "DEAD"
	case c.State == app.CellSuspect:
		return v.warn, "SUSPECT"
	case c.Draining:
		return v.warn, "DRAINING"
	}
	return v.good, cut(c.Zone, 10)
}

// legend says which colour is which app, in as many lines as it takes, at most
// three.
func (v *clusterView) legend(apps []app.Status) []string {
	var lines []string
	line, width := "", 0
	for i, s := range apps {
		running := 0
		for _, in := range s.Instances {
			if in.State == app.Running && !in.Stopping {
				running++
			}
		}
		text := fmt.Sprintf("%s %d/%d", cut(s.App.Name, 30), running, s.App.Wanted())
		if width+len(text)+4 > v.width && width > 0 {
			lines = append(lines, line)
			line, width = "", 0
		}
		if len(lines) == 2 && i < len(apps)-1 && width+2*len(text) > v.width-16 {
			return append(lines, line+v.faint.Render(fmt.Sprintf("and %d more", len(apps)-i)))
		}
		line += v.of(s.App.Name).Render("●") + " " + text + "  "
		width += len(text) + 4
	}
	lines = append(lines, line, v.faint.Render("● running  ○ starting  ◍ not ready  ◌ stopping  ")+v.bad.Render("✖")+v.faint.Render(" crashed"))
	return lines
}

func ratio(part, whole int64) float64 {
	if whole <= 0 {
		return 0
	}
	return float64(part) / float64(whole)
}
