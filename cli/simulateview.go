package cli

import (
	"fmt"
	"maps"
	"slices"
	"strings"

	"lattice/api"
	"lattice/app"
	"lattice/scheduler/simulate"
)

// toldRefusals is how many refusals are shown of one stage.
const toldRefusals = 10

func plainCells(cells []api.CellStatus) []app.Cell {
	all := make([]app.Cell, len(cells))
	for i, c := range cells {
		all[i] = c.Cell
	}
	return all
}

// writeStages shows how full cells are, stage by stage.
func writeStages(st *streams, stages []simulate.Stage) {
	for i, s := range stages {
		if i > 0 {
			fmt.Fprintln(st.out)
		}
		fmt.Fprintln(st.out, st.out.paint(bold, strings.ToUpper(s.Event[:1])+s.Event[1:])+": "+s.Summary())
		spreadTable(s).write(st.out)
		writeFills(st, s)
		writeRefusals(st, s)
	}
}

func spreadTable(s simulate.Stage) *table {
	var t table
	t.head("Zone", "Cells", "Instances", "Memory", "Dev/mean", "Disk", "CPU", "Containers")
	row := func(zone string, z simulate.Spread) {
		t.row(field{zone, bold}, z.Cells, z.Instances, rangeText(z.Memory), fmt.Sprintf("%.3f", z.Memory.CV()), rangeText(z.Disk), rangeText(z.CPU), rangeText(z.Containers))
	}
	for _, zone := range slices.Sorted(maps.Keys(s.Zones)) {
		row(zone, s.Zones[zone])
	}
	if len(s.Zones) != 1 {
		row("all", s.All)
	}
	return &t
}

// rangeText is the least, mean and greatest share.
func rangeText(s simulate.Stats) string {
	return fmt.Sprintf("%.0f…%.0f…%.0f %%", 100*s.Min, 100*s.Mean, 100*s.Max)
}

// writeFills draws how full the memory of each cell is, as many of a zone as fit
// into a line.
func writeFills(st *streams, s simulate.Stage) {
	if !st.out.tty {
		return
	}
	const indent = 8
	width, _ := st.out.size()
	for _, zone := range slices.Sorted(maps.Keys(s.Zones)) {
		cells := slices.DeleteFunc(slices.Clone(s.Cells), func(f simulate.Fill) bool { return f.Zone != zone })
		more := ""
		if most := max(1, width-indent-2); len(cells) > most {
			cells, more = cells[:most], "…"
		}
		var line strings.Builder
		for _, f := range cells {
			line.WriteString(level(f.Used.MemoryMB, f.Capacity.MemoryMB))
		}
		fmt.Fprintf(st.out, "%-*.*s%s%s\n", indent, indent-1, zone, st.out.paint(cyan, line.String()), more)
	}
}

// level is a block as high as a share.
func level(part, whole int) string {
	blocks := []rune("▁▂▃▄▅▆▇█")
	if part <= 0 || whole <= 0 {
		return "·"
	}
	return string(blocks[min(len(blocks)-1, part*len(blocks)/whole)])
}

func writeRefusals(st *streams, s simulate.Stage) {
	for i, r := range s.Refused {
		if i == toldRefusals {
			fmt.Fprintf(st.out, "and %d more that fit nowhere\n", len(s.Refused)-i)
			break
		}
		who := "task " + r.Task
		if r.Task == "" {
			who = fmt.Sprintf("%d of %s", r.Count, r.App)
		}
		fmt.Fprintf(st.out, "%s: %s\n", st.out.paint(red, who+" would fit nowhere"), r.Reason)
	}
	if len(s.Stuck) > 0 {
		fmt.Fprintf(st.out, "%s: %s\n", st.out.paint(red, "can't be emptied"), strings.Join(s.Stuck[:min(len(s.Stuck), toldRefusals)], " "))
	}
}
