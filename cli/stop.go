package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newStop(st *streams) *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:     "stop APP…",
		GroupID: groupApps,
		Short:   "Stop all instances of apps and keep the apps",
		Long:    "Stop all instances of apps, and wait until they are gone. 'start' brings as many back.",
		Example: st.name + " stop web\n" + st.name + " stop 'test-*'",
		Args:    args(1, -1, "the name of at least one APP"),
	}
	w.register(cmd)
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s := stopStart{st: st, wait: w, done: st.shower(*out)}
		return s.all(cmd, args, true)
	}
	return cmd
}

// A stopStart is one run of stop or start.
type stopStart struct {
	st    *streams
	brain brain
	wait  waitFlags
	done  func(app.Status, string) error
}

func (c stopStart) all(cmd *cobra.Command, names []string, stop bool) (err error) {
	if err := c.wait.check(cmd); err != nil {
		return err
	}
	if c.brain, err = connect(); err != nil {
		return err
	}
	done := map[bool]string{true: "stopped", false: "started"}[stop]
	return c.st.forEach(cmd.Context(), c.brain, names, done, func(name string) error {
		return c.run(cmd.Context(), cmd.Name(), name, stop)
	})
}

func (c stopStart) run(ctx context.Context, verb, name string, stop bool) error {
	a, err := c.brain.SetStopped(ctx, name, stop)
	if err != nil {
		return fmt.Errorf("%s %s: %w", verb, name, err)
	}
	w := waiter{st: c.st, brain: c.brain, app: name, timeout: c.wait.timeout}
	if stop {
		c.st.note("Stopping %s", name)
		w.goal = &halt{}
	} else {
		w.before = app.Status{App: a} // of a stopped app nothing runs
		c.st.note("Starting %s: %s", name, instancesText(a.Instances))
	}
	if c.wait.noWait {
		return nil
	}
	s, err := w.run(ctx)
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s is stopped. '%s start %s' brings back its %s.", name, c.st.name, name, instancesText(s.App.Instances))
	if !stop {
		text = fmt.Sprintf("%s is started: %s.", name, instancesText(s.App.Instances))
	}
	return c.done(s, text)
}
