package cli

import "github.com/spf13/cobra"

func newStart(st *streams) *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:     "start APP",
		GroupID: groupApps,
		Short:   "Start an app that was stopped",
		Long:    "Start an app that was stopped, and wait until all its instances run.",
		Args:    args(1, 1, "APP"),
	}
	w.register(cmd)
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s := stopStart{st: st, wait: w, done: st.shower(*out)}
		return s.run(cmd, args[0], false)
	}
	return cmd
}
