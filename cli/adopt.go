package cli

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"lattice/app"
)

func newAdopt(st *streams) *cobra.Command {
	var discard, yes bool
	cmd := &cobra.Command{
		Use:     "adopt [APP]",
		GroupID: groupApps,
		Short:   "Take instances that the brain doesn't know under management, or stop them",
		Long: `Take instances that the brain doesn't know under management: their app is there
again, as their cells remember it, and they run on. Such strays are left when a
brain lost its store; 'list --strays' shows them. With --discard they are
stopped instead.`,
		Example: st.name + " adopt\n" + st.name + " adopt web\n" + st.name + " adopt --discard web",
		Args:    args(0, 1, "one APP"),
	}
	cmd.Flags().BoolVar(&discard, "discard", false, "stop the strays")
	cmd.Flags().BoolVarP(&yes, "yes", "y", false, "don't ask before --discard")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name := ""
		if len(args) == 1 {
			name = args[0]
		}
		b, err := connect()
		if err != nil {
			return err
		}
		do := adoption{st: st, brain: b, out: *out}
		if !discard {
			return do.adopt(cmd.Context(), name)
		}
		if !yes && !st.asks() {
			return usage(cmd, "adopt --discard stops what runs: give --yes where nobody can be asked")
		}
		return do.discard(cmd.Context(), name, yes)
	}
	return cmd
}

type adoption struct {
	st    *streams
	brain brain
	out   format
}

func (a adoption) adopt(ctx context.Context, name string) error {
	taken, err := a.brain.Adopt(ctx, name)
	return a.outcome("adopt", "adopted", name, taken, err)
}

func (a adoption) discard(ctx context.Context, name string, yes bool) error {
	if !yes {
		strays, err := a.brain.Strays(ctx)
		if err != nil {
			return fmt.Errorf("list the strays: %w", err)
		}
		if name != "" {
			strays = slices.DeleteFunc(strays, func(in app.Instance) bool { return in.App != name })
		}
		if len(strays) > 0 {
			strayTable(strays).write(a.st.err)
			if !a.st.confirm(fmt.Sprintf("Stop %s for good?", instancesText(len(strays)))) {
				return errors.New("nothing was stopped")
			}
		}
	}
	gone, err := a.brain.Discard(ctx, name)
	return a.outcome("discard", "is being stopped", name, gone, err)
}

// outcome tells what was done with strays. That there are none is no failure,
// unless they are of an app that was named.
func (a adoption) outcome(do, done, name string, strays []app.Instance, err error) error {
	switch {
	case errors.Is(err, app.ErrNotFound) && name == "":
	case err != nil:
		return &failure{
			code: exitCode(err), err: fmt.Errorf("%s: %w", do, err),
			hint: "'" + a.st.name + " list --strays' shows which are left",
		}
	}
	if a.out != asTable {
		return a.out.encode(a.st.out, append([]app.Instance{}, strays...))
	}
	if len(strays) == 0 {
		a.st.note("No strays.")
		return nil
	}
	for _, in := range strays {
		fmt.Fprintf(a.st.out, "%s/%d on %s %s\n", in.App, in.Index, in.Cell, done)
	}
	return nil
}

// asks reports whether the user can be asked something.
func (st *streams) asks() bool {
	f, ok := st.in.(*os.File)
	return ok && term.IsTerminal(int(f.Fd()))
}

// confirm asks the user a question that is answered with yes or no.
func (st *streams) confirm(question string) bool {
	fmt.Fprintf(st.err, "%s [y/N] ", question)
	answer, _ := bufio.NewReader(st.in).ReadString('\n') // none is a no
	answer = strings.ToLower(strings.TrimSpace(answer))
	return answer == "y" || answer == "yes"
}
