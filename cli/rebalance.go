package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newRebalance(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "rebalance",
		GroupID: groupApps,
		Short:   "Move instances so that all cells are used evenly",
		Long: `Move instances so that all cells are used evenly.

Instances that are where their app's rules don't admit them move first, then
those of apps that could be spread better over zones and cells, then some from
the fullest cells to the emptiest. Each new instance is healthy before its old
one stops, so that there are never fewer than wanted, and no request fails. It
goes on after this command has ended.

A brain with --rebalance does this by itself after a cell has joined, one
instance at a time.`,
		Example: st.name + " rebalance --dry-run\n" +
			st.name + " rebalance --max-in-flight 10\n" +
			st.name + " rebalance --stop",
		Args: args(0, 0, ""),
	}
	var dryRun, stop bool
	var maxInFlight int
	fl := cmd.Flags()
	fl.BoolVar(&dryRun, "dry-run", false, "only show what would move")
	fl.BoolVar(&stop, "stop", false, "move nothing more")
	fl.IntVar(&maxInFlight, "max-in-flight", app.DefaultRebalanceInFlight, "move `N` instances at the same time")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := exclusive(cmd, "dry-run", "stop", "max-in-flight"); err != nil {
			return err
		}
		b, err := connect()
		if err != nil {
			return err
		}
		switch {
		case stop:
			if err := b.StopRebalance(cmd.Context()); err != nil {
				return fmt.Errorf("stop rebalancing: %w", err)
			}
			st.note("Nothing more moves.")
			return nil
		case dryRun:
			r, err := b.Balance(cmd.Context())
			return showMoves(st, *out, r, err, fmt.Sprintf("Nothing was moved. '%s rebalance' moves them.", st.name))
		}
		r, err := b.Rebalance(cmd.Context(), maxInFlight)
		return showMoves(st, *out, r, err, fmt.Sprintf("They move now, %d at a time: '%s rebalance --dry-run' shows what is left, '%s rebalance --stop' ends it.", maxInFlight, st.name, st.name))
	}
	return cmd
}

// showMoves shows what there is to move and says what comes next.
func showMoves(st *streams, out format, r app.Rebalancing, err error, next string) error {
	switch {
	case err != nil:
		return fmt.Errorf("rebalance: %w", err)
	case out != asTable:
		return out.encode(st.out, r)
	case len(r.Moves) == 0 && r.Moving > 0:
		st.note("%s on the way, and nothing else is to be moved.", countText(r.Moving, "instance"))
		return nil
	case len(r.Moves) == 0:
		st.note("Nothing is to be moved: the cells are used as evenly as they can be.")
		return nil
	}
	var t table
	t.head("Instance", "From", "To", "Why")
	for _, m := range r.Moves {
		t.row(field{fmt.Sprintf("%s/%d", m.App, m.Index), bold}, m.From, m.To, m.Why)
	}
	t.write(st.out)
	st.note("%s", next)
	return nil
}
