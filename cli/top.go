package cli

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"lattice/app"
	"lattice/cli/tui"
)

func newTop(st *streams) *cobra.Command {
	order := string(tui.ByCPU)
	lines := 0
	cmd := &cobra.Command{
		Use:     "top",
		GroupID: groupSee,
		Short:   "Show which instances use the most",
		Long: "Show which instances use the most, live. When the output is no terminal, or with --output or --lines,\n" +
			"it is printed once.",
		Example: st.name + " top\n" + st.name + " top --sort memory --lines 10\n" + st.name + " top --output json",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().StringVar(&order, "sort", order, "`COLUMN` to sort by: cpu, memory, disk, crashes or name")
	cmd.Flags().IntVarP(&lines, "lines", "n", 0, "print the first `N` once; 0: all")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		by := tui.Order(order)
		switch {
		case !slices.Contains(tui.Orders(), by):
			return usage(cmd, "--sort %q: must be cpu, memory, disk, crashes or name", order)
		case lines < 0:
			return usage(cmd, "--lines %d: must not be below 0", lines)
		}
		b, err := client()
		if err != nil {
			return err
		}
		if st.out.tty && *out == asTable && !cmd.Flags().Changed("lines") {
			return tui.Top(cmd.Context(), b, by, st.in, st.out.w)
		}
		apps, err := b.Apps(cmd.Context())
		if err != nil {
			return fmt.Errorf("top: %w", err)
		}
		all := []app.Instance{}
		for _, s := range apps {
			all = append(all, s.Instances...)
		}
		tui.Sort(all, by)
		if lines > 0 {
			all = all[:min(lines, len(all))]
		}
		if *out != asTable {
			return out.encode(st.out, all)
		}
		topTable(all).write(st.out)
		return nil
	}
	return cmd
}

func topTable(all []app.Instance) *table {
	var t table
	t.head("Instance", "Cell", "State", "CPU", "Memory", "Disk", "Crashes")
	for _, in := range all {
		t.row(field{fmt.Sprintf("%s/%d", in.App, in.Index), bold}, dash(in.Cell), stateField(in),
			cpuText(in), memoryText(in), diskText(in), in.Crashes)
	}
	return &t
}
