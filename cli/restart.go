package cli

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newRestart(st *streams) *cobra.Command {
	var w waitFlags
	only := everyInstance
	cmd := &cobra.Command{
		Use:     "restart APP[/INDEX]…",
		Aliases: []string{"rs"},
		GroupID: groupApps,
		Short:   "Give apps, or single instances, new containers",
		Long: `Give apps, or single instances, new containers without a stop: each old one
stays until the new one is healthy.`,
		Example: st.name + " restart web\n" + st.name + " restart web/2\n" + st.name + " restart web -i 2\n" + st.name + " restart 'shop-*'",
		Args:    args(1, -1, "APP or APP/INDEX"),
	}
	w.registerFor(cmd, defaultChangeTimeout)
	cmd.Flags().IntVarP(&only, "instance", "i", everyInstance, "only the instance with this `INDEX`")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		if cmd.Flags().Changed("instance") && only < 0 {
			return usage(cmd, "--instance %d: the first instance is 0", only)
		}
		for _, name := range names {
			if _, _, err := instanceName(name); err != nil {
				return usage(cmd, "%w", err)
			}
		}
		if err := w.check(cmd); err != nil {
			return err
		}
		b, err := connect()
		if err != nil {
			return err
		}
		r := restart{st: st, brain: b, wait: w, done: st.shower(*out)}
		return st.forEach(cmd.Context(), b, names, "restarted", func(text string) error {
			name, index, err := instanceName(text)
			switch index = max(index, only); {
			case err != nil:
				return err
			case index == everyInstance:
				return r.all(cmd.Context(), name)
			}
			return r.one(cmd.Context(), name, index)
		})
	}
	return cmd
}

// instanceName reads APP or APP/INDEX; of the former the index is everyInstance.
func instanceName(text string) (name string, index int, err error) {
	name, number, ok := strings.Cut(text, "/")
	if !ok {
		return name, everyInstance, nil
	}
	n, err := strconv.ParseUint(number, 10, 31)
	if err != nil {
		return "", 0, fmt.Errorf("%q is no instance: write APP/INDEX, such as web/0", text)
	}
	return name, int(n), nil
}

type restart struct {
	st    *streams
	brain brain
	wait  waitFlags
	done  func(app.Status, string) error
}

func (r restart) all(ctx context.Context, name string) error {
	a, err := r.brain.Restart(ctx, name, everyInstance)
	if err != nil {
		return fmt.Errorf("restart %s: %w", name, err)
	}
	return follow(ctx, r.st, r.brain, a, r.wait, r.done)
}

func (r restart) one(ctx context.Context, name string, index int) error {
	before, err := r.brain.App(ctx, name)
	if err != nil {
		return fmt.Errorf("restart %s/%d: %w", name, index, err)
	}
	goal := &renewal{}
	for _, in := range before.Instances {
		if in.Index == index && in.ID != "" {
			goal.old = append(goal.old, in.ID)
		}
	}
	if _, err := r.brain.Restart(ctx, name, index); err != nil {
		return fmt.Errorf("restart %s/%d: %w", name, index, err)
	}
	r.st.note("Restarting %s/%d", name, index)
	if r.wait.noWait {
		return nil
	}
	w := waiter{st: r.st, brain: r.brain, app: name, timeout: r.wait.timeout, goal: goal}
	s, err := w.run(ctx)
	if err != nil {
		return err
	}
	return r.done(s, fmt.Sprintf("%s/%d has a new container.", name, index))
}
