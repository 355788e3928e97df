package cli

import (
	"github.com/spf13/cobra"

	"lattice/app"
)

func newExec(st *streams) *cobra.Command {
	var tty ttyFlags
	var env []string
	cmd := &cobra.Command{
		Use:     "exec APP|TASK -- COMMAND ARGS…",
		GroupID: groupSSH,
		Short:   "Run a command in an instance, as it is",
		Long: `Run a command in an instance of an app, or in a task, as its user and within its
limits. No shell comes in between, so images without one will do. Standard input
and output are the command's, and its exit code is that of exec: 128+N when signal
N ended it, 127 when the image has no such program, 255 when the session broke.`,
		Example: st.name + " exec web -- nginx -t\n" +
			st.name + " exec web -i 2 -- cat /etc/hosts\n" +
			st.name + " exec db/0 -- pg_dump app > dump.sql",
		DisableFlagsInUseLine: true,
		Args:                  args(2, -1, "APP and a command"),
	}
	index := indexFlag(cmd)
	tty.register(cmd)
	cmd.Flags().StringArrayVarP(&env, "env", "e", nil, "`NAME=value` for the command; may be repeated")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		r := app.SessionRequest{Kind: app.SessionExec, Command: args[1:], Env: env}
		var err error
		if r.TTY, err = tty.wanted(cmd, st); err != nil {
			return err
		}
		if err := r.Validate(); err != nil {
			return usage(cmd, "%w", err)
		}
		in, err := findInside(cmd, args[0], *index)
		if err != nil {
			return err
		}
		return st.attach(cmd.Context(), in, r)
	}
	return cmd
}
