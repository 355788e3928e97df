package cli

import (
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/spf13/cobra"
)

// targetCommands returns what can be done with several targets.
func targetCommands(st *streams) []*cobra.Command {
	return []*cobra.Command{newTargetList(st), newTargetUse(st), newTargetAdd(st), newTargetRemove(st)}
}

// A targetLine is a target as it is listed: without its token.
type targetLine struct {
	Name    string `json:"name"`
	Current bool   `json:"current"`
	URL     string `json:"url"`
	Domain  string `json:"domain"`
	Token   bool   `json:"token"` // there is one
	CA      bool   `json:"ca"`    // its certificate is pinned
}

func newTargetList(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the targets",
		Example: st.name + " target list",
		Args:    args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(*cobra.Command, []string) error {
		ts, err := loadTargets()
		if err != nil {
			return err
		}
		lines := []targetLine{}
		for _, name := range slices.Sorted(maps.Keys(ts.Targets)) {
			t := ts.Targets[name]
			lines = append(lines, targetLine{name, name == ts.Current, t.URL, t.Domain, t.Token != "", t.CA != ""})
		}
		return list(st, *out, lines, func(l targetLine) string { return l.Name }, targetsTable,
			"No targets. Add one: "+st.name+" target add NAME URL --token-file FILE --ca FILE")
	}
	return cmd
}

func targetsTable(lines []targetLine) *table {
	var t table
	t.head("", "Name", "URL", "Domain", "Token", "CA")
	for _, l := range lines {
		mark := map[bool]string{true: "*"}[l.Current]
		t.row(field{mark, green}, field{l.Name, bold}, l.URL, dash(l.Domain), yesNo(l.Token, "set", "none"), yesNo(l.CA, "pinned", "the system's"))
	}
	return &t
}

func yesNo(is bool, yes, no string) string {
	if is {
		return yes
	}
	return no
}

func newTargetUse(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:     "use NAME",
		Short:   "Talk to another target from now on",
		Long:    "Talk to another target from now on. LATTICE_TARGET=NAME does so for one command.",
		Example: st.name + " target use lab\nLATTICE_TARGET=lab " + st.name + " list",
		Args:    args(1, 1, "NAME"),
		RunE: func(_ *cobra.Command, args []string) error {
			ts, err := loadTargets()
			if err != nil {
				return err
			}
			t, err := ts.named(st, args[0])
			if err != nil {
				return err
			}
			ts.Current = args[0]
			if err := saveTargets(ts); err != nil {
				return err
			}
			st.did(args[0], "Target is %s now: %s", args[0], t.URL)
			return nil
		},
	}
}

func newTargetAdd(st *streams) *cobra.Command {
	var f targetFlags
	var use bool
	cmd := &cobra.Command{
		Use:   "add NAME URL",
		Short: "Add a target, or change it",
		Long:  "Add a target, or change it. The first one is used at once, another one after 'target use'.",
		Example: st.name + " target add lab https://10.0.0.5:7443 --token-file token --ca ca.pem\n" +
			st.name + " target add lab https://10.0.0.5:7443 --ca ca.pem --use   # asks for the token",
		Args: args(2, 2, "NAME and URL"),
	}
	f.register(cmd)
	cmd.Flags().BoolVar(&use, "use", false, "talk to it from now on")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := exclusive(cmd, "token-file", "token-stdin"); err != nil {
			return err
		}
		if args[0] == "" || strings.ContainsAny(args[0], " /:\t\n") {
			return usage(cmd, "%q can't be the name of a target: it is one word without / and :", args[0])
		}
		return setTarget(cmd, st, args[0], args[1], f, use)
	}
	return cmd
}

func newTargetRemove(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME…",
		Aliases: []string{"rm"},
		Short:   "Forget targets, with their tokens",
		Example: st.name + " target remove lab",
		Args:    args(1, -1, "the name of at least one target"),
		RunE: func(_ *cobra.Command, names []string) error {
			ts, err := loadTargets()
			if err != nil {
				return err
			}
			for _, name := range names {
				if _, err := ts.named(st, name); err != nil {
					return err
				}
				delete(ts.Targets, name)
			}
			if err := saveTargets(ts); err != nil {
				return err
			}
			for _, name := range names {
				st.did(name, "Target %s removed.", name)
			}
			if _, ok := ts.Targets[ts.Current]; !ok && len(ts.Targets) > 0 {
				st.note("No target is in use now: '%s target use NAME' chooses one.", st.name)
			}
			return nil
		},
	}
}

// named returns the target of that name.
func (ts targets) named(st *streams, name string) (target, error) {
	t, ok := ts.Targets[name]
	if ok {
		return t, nil
	}
	hint := "'" + st.name + " target list' shows the targets"
	if near := nearest(name, slices.Collect(maps.Keys(ts.Targets))); near != "" {
		hint = "did you mean " + near + "?"
	}
	return t, &failure{code: exitBadTarget, err: fmt.Errorf("there is no target %q", name), hint: hint}
}

// newLogin gives the current target a token; newLogout takes it away.
func newLogin(st *streams) *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:     "login",
		GroupID: groupTarget,
		Short:   "Give the current target a token, unseen",
		Long: `Give the current target a token: typed unseen, from standard input or from a
file, but never on the command line, where others could see it. The brain is
asked whether it knows the token before it is kept.`,
		Example: st.name + " login\npass show lattice | " + st.name + " login --token-stdin",
		Args:    args(0, 0, ""),
	}
	f.registerToken(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if err := exclusive(cmd, "token-file", "token-stdin"); err != nil {
			return err
		}
		ts, err := loadTargets()
		if err != nil {
			return err
		}
		t, ok := ts.Targets[ts.Current]
		if !ok {
			return errNoTarget
		}
		if t.Token, err = readToken(st, f, ""); err != nil {
			return err
		}
		if _, err := check(cmd.Context(), &t); err != nil {
			return err
		}
		ts.Targets[ts.Current] = t
		if err := saveTargets(ts); err != nil {
			return err
		}
		st.did(ts.Current, "Logged in at %s.", t.URL)
		return nil
	}
	return cmd
}

func newLogout(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:     "logout",
		GroupID: groupTarget,
		Short:   "Forget the token of the current target",
		Long:    "Forget the token of the current target. The target stays, and so does the token at the brain.",
		Example: st.name + " logout",
		Args:    args(0, 0, ""),
		RunE: func(*cobra.Command, []string) error {
			ts, err := loadTargets()
			if err != nil {
				return err
			}
			t, ok := ts.Targets[ts.Current]
			if !ok {
				return errNoTarget
			}
			t.Token = ""
			ts.Targets[ts.Current] = t
			if err := saveTargets(ts); err != nil {
				return err
			}
			st.did(ts.Current, "Logged out of %s: its token is forgotten here.", cmp.Or(t.URL, ts.Current))
			return nil
		},
	}
}
