package cli

import "github.com/spf13/cobra"

func newStart(st *streams) *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:     "start APP…",
		GroupID: groupApps,
		Short:   "Start apps that were stopped",
		Long:    "Start apps that were stopped, and wait until all their instances run.",
		Example: st.name + " start web\n" + st.name + " start 'test-*'",
		Args:    args(1, -1, "the name of at least one APP"),
	}
	w.register(cmd)
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s := stopStart{st: st, wait: w, done: st.shower(*out)}
		return s.all(cmd, args, false)
	}
	return cmd
}
