package cli

import (
	"cmp"
	"fmt"

	"github.com/spf13/cobra"

	"lattice/app"
)

// cellCommands returns what can be done with cells from elsewhere.
func cellCommands(st *streams) []*cobra.Command {
	return []*cobra.Command{newCellDrain(st), newCellUndrain(st), newCellRevoke(st)}
}

// onlyCommands refuses arguments of a command that takes none but has commands
// below it.
func onlyCommands(cmd *cobra.Command, got []string) error {
	if len(got) == 0 {
		return nil
	}
	var names []string
	for _, c := range cmd.Commands() {
		names = append(names, c.Name())
	}
	f := usage(cmd, "%s has no command %q", cmd.Name(), got[0]).(*failure)
	if near := nearest(got[0], names); near != "" {
		f.hint = "did you mean '" + cmd.CommandPath() + " " + near + "'?"
	}
	return f
}

func newCellDrain(st *streams) *cobra.Command {
	var w waitFlags
	var maxInFlight int
	cmd := &cobra.Command{
		Use:   "drain CELL",
		Short: "Move all instances away from a cell and give it no new ones",
		Long: `Move all instances away from a cell, and wait until it is empty. Each one stays
until the one that takes its place is healthy. The cell gets no new ones until
'` + st.name + ` cell undrain'.`,
		Example: st.name + " cell drain cell-2\n" + st.name + " cell drain cell-2 --max-in-flight 1 --timeout 30m",
		Args:    args(1, 1, "the ID of a CELL"),
	}
	w.registerFor(cmd, defaultChangeTimeout)
	cmd.Flags().IntVar(&maxInFlight, "max-in-flight", app.DefaultDrainInFlight, "move `N` instances at the same time")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if maxInFlight < 1 {
			return usage(cmd, "--max-in-flight %d: must be at least 1", maxInFlight)
		}
		if err := w.check(cmd); err != nil {
			return err
		}
		b, err := connect()
		if err != nil {
			return err
		}
		if err := b.Drain(cmd.Context(), args[0], maxInFlight); err != nil {
			return st.aboutCell(fmt.Errorf("drain %s: %w", args[0], err))
		}
		d := draining{st: st, brain: b, cell: args[0], timeout: w.timeout, bottom: bottom{s: st.notes()}}
		if w.noWait {
			st.note("%s drains. '%s cells' shows how far it is.", args[0], st.name)
			return nil
		}
		if err := d.run(cmd.Context()); err != nil {
			return err
		}
		return d.done(cmd.Context(), *out)
	}
	return cmd
}

func newCellUndrain(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "undrain CELL",
		Short:   "Let a cell have instances again",
		Example: st.name + " cell undrain cell-2",
		Args:    args(1, 1, "the ID of a CELL"),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := connect()
		if err != nil {
			return err
		}
		if err := b.Undrain(cmd.Context(), args[0]); err != nil {
			return st.aboutCell(fmt.Errorf("undrain %s: %w", args[0], err))
		}
		st.did(args[0], "%s takes instances again.", args[0])
		return nil
	}
	return cmd
}

// aboutCell gives err, of which a cell may be the reason, a hint about cells.
func (st *streams) aboutCell(err error) error {
	f := &failure{code: exitCode(err), err: err}
	if code := f.code; code == exitCommand {
		f.hint = "'" + st.name + " cells' shows the cells"
	}
	f.hint = cmp.Or(f.hint, hint(err, st.name))
	return f
}
