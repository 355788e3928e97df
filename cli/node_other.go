//go:build !linux

package cli

import "github.com/spf13/cobra"

// serverCommands returns only what can be done from elsewhere: brains and cells
// run on Linux only.
func serverCommands(st *streams) []*cobra.Command {
	cell := &cobra.Command{
		Use: "cell", GroupID: groupSee,
		Short: "Drain a cell and the like",
		Args:  onlyCommands,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cell.AddCommand(cellCommands(st)...)
	return []*cobra.Command{cell}
}
