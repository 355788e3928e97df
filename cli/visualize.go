package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
	"lattice/cli/tui"
)

func newVisualize(st *streams) *cobra.Command {
	var rate time.Duration
	var graphical bool
	cmd := &cobra.Command{
		Use:     "visualize",
		Aliases: []string{"vz"},
		GroupID: groupSee,
		Short:   "Show how the instances are spread over the cells",
		Long: "Show how the instances are spread over the cells: a dot for each, green when it runs, yellow while it starts, red when it crashed.\n" +
			"With --graphical, fill the terminal with the cells as boxes and keep them as they are now.",
		Example: st.name + " visualize\n" + st.name + " visualize --rate 1s\n" + st.name + " visualize --graphical",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().DurationVarP(&rate, "rate", "r", 0, "on a terminal, draw again each `DURATION`")
	cmd.Flags().BoolVarP(&graphical, "graphical", "g", false, "fill the terminal, live")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if rate < 0 || 0 < rate && rate < fastestRate {
			return usage(cmd, "--rate %v: must be at least %v", rate, fastestRate)
		}
		if graphical && !st.out.tty {
			return fail(exitSyntax, errors.New("visualize --graphical needs a terminal: its output goes elsewhere"))
		}
		b, err := client()
		switch {
		case err != nil:
			return err
		case graphical:
			return tui.Cluster(cmd.Context(), b, st.in, st.out.w)
		}
		show := func(ctx context.Context, s *screen) error { return visualize(ctx, b, s) }
		if rate == 0 || !st.out.tty {
			return show(cmd.Context(), st.out)
		}
		return redraw(cmd.Context(), st.out, rate, show)
	}
	return cmd
}

// visualize prints a line of dots for each cell.
func visualize(ctx context.Context, b *api.Client, s *screen) error {
	apps, err := b.Apps(ctx)
	if err != nil {
		return fmt.Errorf("visualize: %w", err)
	}
	cells, err := b.Cells(ctx)
	if err != nil {
		return fmt.Errorf("visualize: %w", err)
	}
	fmt.Fprintln(s, s.paint(bold, "Distribution"))
	writeDots(s, apps, cells)
	return nil
}

func writeDots(s *screen, apps []app.Status, cells []api.CellStatus) {
	var t table
	on := map[string][]app.Instance{}
	for _, a := range apps {
		for _, in := range a.Instances {
			on[in.Cell] = append(on[in.Cell], in)
		}
	}
	waiting := on[""]
	delete(on, "")
	for _, c := range cells {
		t.row(field{c.ID, bold}, cellState(c.Cell), dots(s, on[c.ID]))
		delete(on, c.ID)
	}
	for _, id := range slices.Sorted(maps.Keys(on)) {
		t.row(field{id, bold}, field{"MISSING", red}, dots(s, on[id]))
	}
	if len(waiting) > 0 {
		t.row(field{"no cell", bold}, "", dots(s, waiting))
	}
	t.write(s)
}

// dots returns a dot for each instance, by state and app.
func dots(s *screen, all []app.Instance) string {
	if len(all) == 0 {
		return s.paint(red, "empty")
	}
	rank := func(in app.Instance) int {
		return slices.Index([]app.State{app.Running, app.Claimed, app.Unclaimed, app.Crashed}, in.State)
	}
	slices.SortFunc(all, func(a, b app.Instance) int {
		return cmp.Or(cmp.Compare(rank(a), rank(b)), strings.Compare(a.App, b.App), cmp.Compare(a.Index, b.Index))
	})
	var text strings.Builder
	for _, in := range all {
		switch in.State {
		case app.Running:
			text.WriteString(s.paint(green, "•"))
		case app.Crashed:
			text.WriteString(s.paint(red, "×"))
		default:
			text.WriteString(s.paint(yellow, "•"))
		}
	}
	return text.String()
}
