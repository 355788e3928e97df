package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newStop(st *streams) *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:     "stop APP",
		GroupID: groupApps,
		Short:   "Stop all instances of an app and keep it",
		Long:    "Stop all instances of an app, and wait until they are gone. 'start' brings as many back.",
		Args:    args(1, 1, "APP"),
	}
	w.register(cmd)
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		s := stopStart{st: st, wait: w, goal: &halt{}, done: st.shower(*out)}
		return s.run(cmd, args[0], true)
	}
	return cmd
}

// A stopStart is one run of stop or start.
type stopStart struct {
	st   *streams
	wait waitFlags
	goal goal
	done func(app.Status, string) error
}

func (c stopStart) run(cmd *cobra.Command, name string, stop bool) error {
	if err := c.wait.check(cmd); err != nil {
		return err
	}
	b, err := connect()
	if err != nil {
		return err
	}
	a, err := b.SetStopped(cmd.Context(), name, stop)
	if err != nil {
		return fmt.Errorf("%s %s: %w", cmd.Name(), name, err)
	}
	if stop {
		c.st.note("Stopping %s", name)
	} else {
		c.st.note("Starting %s: %s", name, instancesText(a.Instances))
	}
	if c.wait.noWait {
		return nil
	}
	w := waiter{st: c.st, brain: b, app: name, timeout: c.wait.timeout, goal: c.goal}
	s, err := w.run(cmd.Context())
	if err != nil {
		return err
	}
	text := fmt.Sprintf("%s is stopped. '%s start %s' brings back its %s.", name, c.st.name, name, instancesText(s.App.Instances))
	if !stop {
		text = fmt.Sprintf("%s is started: %s.", name, instancesText(s.App.Instances))
	}
	return c.done(s, text)
}
