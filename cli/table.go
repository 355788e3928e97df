package cli

import (
	"fmt"
	"io"
	"strings"
	"time"
	"unicode/utf8"
)

// A field is one field of a table.
type field struct {
	text string
	as   style
}

// A table is rows of fields in aligned columns.
type table struct {
	rows [][]field
}

// row appends a row. Each value is a field, or is printed as fmt.Sprint does.
func (t *table) row(values ...any) {
	fields := make([]field, len(values))
	for i, v := range values {
		f, ok := v.(field)
		if !ok {
			f = field{text: fmt.Sprint(v)}
		}
		fields[i] = f
	}
	t.rows = append(t.rows, fields)
}

// head appends the row of the columns' names.
func (t *table) head(names ...string) {
	fields := make([]field, len(names))
	for i, n := range names {
		fields[i] = field{n, bold}
	}
	t.rows = append(t.rows, fields)
}

// write prints the table with two spaces between columns and none at the end
// of a line.
func (t *table) write(s *screen) {
	var widths []int
	for _, row := range t.rows {
		for i, f := range row {
			if i == len(widths) {
				widths = append(widths, 0)
			}
			widths[i] = max(widths[i], utf8.RuneCountInString(f.text))
		}
	}
	for _, row := range t.rows {
		var line strings.Builder
		pad := 0
		for i, f := range row {
			if f.text != "" {
				line.WriteString(strings.Repeat(" ", pad))
				line.WriteString(s.paint(f.as, s.clean(f.text)))
				pad = 0
			}
			pad += widths[i] - utf8.RuneCountInString(f.text) + 2
		}
		line.WriteByte('\n')
		io.WriteString(s, line.String())
	}
}

// sizeText returns a size as 512B, 12.1M or 1.5G, in powers of 1024.
func sizeText(bytes int64) string {
	switch {
	case bytes == 0:
		return "0"
	case bytes < 1<<10:
		return fmt.Sprintf("%dB", bytes)
	}
	n, unit := float64(bytes)/(1<<10), 0
	for n >= 1023.95 && unit < 4 {
		n /= 1 << 10
		unit++
	}
	return strings.TrimSuffix(fmt.Sprintf("%.1f", n), ".0") + "KMGTP"[unit:unit+1]
}

// limitText returns a limit in MiB, 0 meaning none.
func limitText(mb int) string {
	if mb == 0 {
		return "no limit"
	}
	return sizeText(int64(mb) << 20)
}

// ageText returns how long d is in its two largest units, such as 3d4h or 12s.
func ageText(d time.Duration) string {
	d = max(0, d.Round(time.Second))
	switch {
	case d >= 24*time.Hour:
		return fmt.Sprintf("%dd%dh", d/(24*time.Hour), d%(24*time.Hour)/time.Hour)
	case d >= time.Hour:
		return fmt.Sprintf("%dh%dm", d/time.Hour, d%time.Hour/time.Minute)
	case d >= time.Minute:
		return fmt.Sprintf("%dm%ds", d/time.Minute, d%time.Minute/time.Second)
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// bar returns a bar of width characters, filled to part of whole.
func bar(part, whole int64, width int) string {
	filled := 0
	if whole > 0 {
		filled = int(min(max(part, 0), whole) * int64(width) / whole)
	}
	return strings.Repeat("█", filled) + strings.Repeat("░", width-filled)
}
