package cli

import (
	"fmt"
	"strconv"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newScale(st *streams) *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:     "scale APP N",
		Aliases: []string{"sc"},
		GroupID: groupApps,
		Short:   "Change how many instances of an app run",
		Long:    "Change how many instances of an app run, and wait until so many do. 0 stops the app and keeps it.",
		Example: st.name + " scale hello 3\n" + st.name + " scale hello 30 --dry-run",
		Args:    args(2, 2, "APP and N"),
	}
	w.register(cmd)
	dry, out := dryRunFlag(cmd), formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		n, err := strconv.Atoi(args[1])
		if err != nil || n < 0 {
			return usage(cmd, "%q is not a number of instances", args[1])
		}
		if err := w.check(cmd); err != nil {
			return err
		}
		b, err := connect()
		if err != nil {
			return err
		}
		if *dry {
			r, err := b.RehearseScale(cmd.Context(), args[0], n)
			if err != nil {
				return fmt.Errorf("scale %s: %w", args[0], err)
			}
			return st.rehearsed(*out, r)
		}
		var before app.Status
		if !w.noWait {
			if before, err = b.App(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("scale %s: %w", args[0], err)
			}
		}
		a, err := b.Scale(cmd.Context(), args[0], n)
		if err != nil {
			return fmt.Errorf("scale %s: %w", args[0], err)
		}
		st.note("Scaling %s to %s", a.Name, instancesText(n))
		if w.noWait {
			return nil
		}
		wait := waiter{st: st, brain: b, app: a.Name, timeout: w.timeout, before: before}
		s, err := wait.run(cmd.Context())
		if err != nil {
			return err
		}
		if *out != asTable {
			return out.encode(st.out, hideEnv(s))
		}
		text := fmt.Sprintf("App scaled successfully: %s of %s.", instancesText(n), a.Name)
		if s.App.Stopped {
			text = fmt.Sprintf("%s is stopped: '%s start %s' starts %s.", a.Name, st.name, a.Name, instancesText(n))
		}
		st.did(a.Name, "%s", text)
		return nil
	}
	return cmd
}
