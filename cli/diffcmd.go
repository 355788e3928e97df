package cli

import (
	"errors"
	"slices"

	"github.com/spf13/cobra"
)

func newDiff(st *streams) *cobra.Command {
	a := applying{st: st}
	var code bool
	cmd := &cobra.Command{
		Use:     "diff -f FILE",
		GroupID: groupApps,
		Short:   "Show in what apps differ from what files say",
		Long: `Show in what apps differ from what files say, which is what 'apply' would change.
No value of an environment is shown.`,
		Example: st.name + " diff -f web.yaml\n" + st.name + " diff -f apps/ --prune --exit-code",
		Args:    args(0, 0, ""),
	}
	a.files.register(cmd)
	a.files.registerSet(cmd)
	cmd.Flags().BoolVar(&a.prune, "prune", false, "also show what 'apply --prune' would remove")
	cmd.Flags().BoolVar(&code, "exit-code", false, "end with 1 if there is a difference")
	a.out = formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := a.files.check(cmd); err != nil {
			return err
		}
		steps, err := a.plan(cmd.Context())
		if err != nil {
			return err
		}
		steps = slices.DeleteFunc(steps, func(s applyStep) bool { return s.Action == actNone })
		show := func(s []applyStep) error {
			for _, s := range s {
				s.write(st.out)
			}
			return nil
		}
		if *a.out != asTable || st.quiet || len(steps) == 0 {
			show = func(steps []applyStep) error {
				return list(st, *a.out, steps, func(s applyStep) string { return s.App }, nil, "No difference.")
			}
		}
		if err := show(steps); err != nil {
			return err
		}
		if code && len(steps) > 0 {
			return fail(exitFailed, errors.New("there are differences"))
		}
		return nil
	}
	return cmd
}
