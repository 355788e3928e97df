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
	cmd := &cobra.Command{
		Use:     "restart APP[/INDEX]",
		Aliases: []string{"rs"},
		GroupID: groupApps,
		Short:   "Give an app, or one instance of it, new containers",
		Long: `Give an app, or one instance of it, new containers without a stop: each old one
stays until the new one is healthy.`,
		Example: st.name + " restart web\n" + st.name + " restart web/2",
		Args:    args(1, 1, "APP or APP/INDEX"),
	}
	w.registerFor(cmd, defaultChangeTimeout)
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		name, index, err := instanceName(args[0])
		if err != nil {
			return usage(cmd, "%w", err)
		}
		if err := w.check(cmd); err != nil {
			return err
		}
		b, err := connect()
		if err != nil {
			return err
		}
		r := restart{st: st, brain: b, wait: w, done: st.shower(*out)}
		if index == everyInstance {
			return r.all(cmd.Context(), name)
		}
		return r.one(cmd.Context(), name, index)
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
