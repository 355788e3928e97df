package tui

import (
	"hash/fnv"
	"io"
	"strconv"
	"strings"

	"github.com/charmbracelet/lipgloss"
)

// styles are what things look like on one terminal.
type styles struct {
	r *lipgloss.Renderer

	bold, faint, good, warn, bad lipgloss.Style
}

func newStyles(out io.Writer) styles {
	r := lipgloss.NewRenderer(out)
	return styles{
		r:     r,
		bold:  r.NewStyle().Bold(true),
		faint: r.NewStyle().Foreground(lipgloss.Color("245")),
		good:  r.NewStyle().Foreground(lipgloss.Color("35")),
		warn:  r.NewStyle().Foreground(lipgloss.Color("214")),
		bad:   r.NewStyle().Foreground(lipgloss.Color("203")),
	}
}

// palette has colours of the 256 that can be told apart on a dark and on a
// light ground. Red is not among them: it means trouble.
func palette() []string {
	return []string{"39", "208", "40", "171", "220", "44", "212", "106", "99", "180", "33", "78"}
}

// of returns the colour of an app, which is the same in every run.
func (s styles) of(name string) lipgloss.Style {
	h := fnv.New32a()
	io.WriteString(h, name)
	colours := palette()
	return s.r.NewStyle().Foreground(lipgloss.Color(colours[h.Sum32()%uint32(len(colours))]))
}

// meter returns a bar of width characters, coloured by how full it is. Share
// may be more than 1.
func (s styles) meter(share float64, width int) string {
	share = min(max(share, 0), 1)
	filled := int(share*float64(width) + 0.5)
	as := s.good
	switch {
	case share > 0.95:
		as = s.bad
	case share > 0.8:
		as = s.warn
	}
	return as.Render(strings.Repeat("█", filled)) + s.faint.Render(strings.Repeat("░", width-filled))
}

// size returns bytes in powers of 1024, in at most five characters.
func size(bytes int64) string {
	n, unit := float64(bytes), 0
	for n >= 1023.5 && unit < 5 {
		n /= 1024
		unit++
	}
	digits := 0
	if n < 10 && unit > 0 {
		digits = 1
	}
	return strings.TrimSuffix(strconv.FormatFloat(n, 'f', digits, 64), ".0") + "BKMGTP"[unit:unit+1]
}

// cut returns at most width characters of text, the last being … if it was
// longer.
func cut(text string, width int) string {
	r := []rune(text)
	if len(r) <= width {
		return text
	}
	if width < 1 {
		return ""
	}
	return string(r[:width-1]) + "…"
}

func pad(text string, width int) string {
	text = cut(text, width)
	return text + strings.Repeat(" ", width-len([]rune(text)))
}

func padLeft(text string, width int) string {
	text = cut(text, width)
	return strings.Repeat(" ", width-len([]rune(text))) + text
}
