package simulate

import (
	"bufio"
	"fmt"
	"html"
	"io"
	"maps"
	"slices"
)

// The size of the picture, in pixels.
const (
	svgWidth  = 960
	svgBar    = 120 // height of a full cell
	svgText   = 18  // height of a line
	svgMargin = 20
)

// WriteSVG draws a bar for each cell, by zone, for each stage: how full its
// memory is, and as a line across it its containers.
func WriteSVG(w io.Writer, title string, stages []Stage) error {
	b := bufio.NewWriter(w)
	height := 2*svgMargin + svgText
	for _, st := range stages {
		height += stageHeight(st)
	}
	fmt.Fprintf(b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="12">`+"\n", svgWidth, height)
	fmt.Fprintf(b, `<rect width="100%%" height="100%%" fill="#fff"/><text x="%d" y="%d" font-size="15" font-weight="bold">%s</text>`+"\n", svgMargin, svgMargin+svgText/2, html.EscapeString(title))
	y := svgMargin + svgText
	for _, st := range stages {
		drawStage(b, y, st)
		y += stageHeight(st)
	}
	fmt.Fprintln(b, "</svg>")
	return b.Flush()
}

func stageHeight(st Stage) int { return 2*svgText + len(st.Zones)*(svgText+svgBar+svgText) }

func drawStage(b *bufio.Writer, y int, st Stage) {
	y += svgText
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold">%s</text>`+"\n", svgMargin, y, html.EscapeString(st.Event+": "+st.Summary()))
	for i, zone := range slices.Sorted(maps.Keys(st.Zones)) {
		s := st.Zones[zone]
		fmt.Fprintf(b, `<text x="%d" y="%d" fill="#555">%s: %d cells, memory %.1f %% to %.1f %%, mean %.1f %%</text>`+"\n",
			svgMargin, y+svgText, html.EscapeString(zone), s.Cells, 100*s.Memory.Min, 100*s.Memory.Max, 100*s.Memory.Mean)
		y += svgText + svgBar + svgText/2
		drawZone(b, y, i, slices.DeleteFunc(slices.Clone(st.Cells), func(f Fill) bool { return f.Zone != zone }))
		y += svgText / 2
	}
}

// drawZone draws the bars that stand on the line at y.
func drawZone(b *bufio.Writer, y, color int, cells []Fill) {
	const hues, step, first = 360, 67, 210
	width := float64(svgWidth-2*svgMargin) / float64(max(1, len(cells)))
	for i, f := range cells {
		x := svgMargin + float64(i)*width
		memory, containers := part(f.Used.MemoryMB, f.Capacity.MemoryMB), part(f.Used.Containers, f.Capacity.Containers)
		fmt.Fprintf(b, `<g><title>%s: %d of %d MiB, %d containers</title><rect x="%.2f" y="%d" width="%.2f" height="%d" fill="#eee"/>`,
			html.EscapeString(f.ID), f.Used.MemoryMB, f.Capacity.MemoryMB, f.Used.Containers, x, y-svgBar, width*0.9, svgBar)
		fmt.Fprintf(b, `<rect x="%.2f" y="%.2f" width="%.2f" height="%.2f" fill="hsl(%d 55%% 50%%)"/><rect x="%.2f" y="%.2f" width="%.2f" height="1" fill="#000"/></g>`+"\n",
			x, float64(y)-memory*svgBar, width*0.9, memory*svgBar, (first+color*step)%hues, x, float64(y)-containers*svgBar, width*0.9)
	}
}

func part(used, of int) float64 { return min(1, float64(used)/float64(max(1, of))) }
