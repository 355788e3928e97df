package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newRollback(st *streams) *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:     "rollback APP [REVISION]",
		Aliases: []string{"rb"},
		GroupID: groupApps,
		Short:   "Go back to an earlier revision of an app",
		Long: `Go back to an earlier revision of an app, by default the one before the current,
without a stop. Routes and the number of instances stay as they are.`,
		Example: st.name + " rollback web\n" + st.name + " rollback web 3",
		Args:    args(1, 2, "APP and REVISION"),
	}
	w.registerFor(cmd, defaultChangeTimeout)
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var revision uint64
		if len(args) == 2 {
			var err error
			if revision, err = strconv.ParseUint(args[1], 10, 64); err != nil || revision == 0 {
				return usage(cmd, "%q is no number of a revision; '%s revisions %s' lists them", args[1], st.name, args[0])
			}
		}
		if err := w.check(cmd); err != nil {
			return err
		}
		b, err := connect()
		if err != nil {
			return err
		}
		a, err := b.Rollback(cmd.Context(), args[0], revision)
		if err != nil {
			return fmt.Errorf("roll back %s: %w", args[0], err)
		}
		return follow(cmd.Context(), st, b, a, w, st.shower(*out))
	}
	return cmd
}

// shower returns what prints how a change ended: text for people, else the app.
func (st *streams) shower(out format) func(app.Status, string) error {
	return func(s app.Status, text string) error {
		if out != asTable {
			return out.encode(st.out, hideEnv(s))
		}
		st.did(s.App.Name, "%s", text)
		return nil
	}
}
