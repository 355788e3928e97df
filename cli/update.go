package cli

import (
	"cmp"
	"context"
	"fmt"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lattice/app"
)

func newUpdate(st *streams) *cobra.Command {
	u := updating{st: st}
	var promote bool
	cmd := &cobra.Command{
		Use:     "update APP [-- COMMAND ARGS…]",
		Aliases: []string{"upd"},
		GroupID: groupApps,
		Short:   "Change an app without a stop",
		Long: `Change an app without a stop, and wait until all of it has changed.

Only what is given changes. What needs new containers makes a new revision: a
few instances at a time get a new container, each old one staying until the new
one is healthy. If the new revision does not come up, lattice goes back to the
one before by itself.`,
		Example: st.name + " update web --image nginx:1.29\n" +
			st.name + " update web -m 512M -e LOG=debug --unset-env TRACE\n" +
			st.name + " update web --add-route shop.example.com --remove-route web/old\n" +
			st.name + " update web --image me/web:v3 --strategy canary\n" +
			st.name + " update web --promote",
		DisableFlagsInUseLine: true,
		Args:                  updateArgs,
	}
	u.register(cmd)
	u.login.register(cmd)
	u.wait.registerFor(cmd, defaultChangeTimeout)
	cmd.Flags().BoolVar(&promote, "promote", false, "let a canary go on to the other instances")
	cmd.Flags().BoolVar(&u.dry, "dry-run", false, "only show what would change, and what would run where")
	u.out = formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := cmp.Or(u.conflict(cmd), u.wait.check(cmd), u.login.check(cmd)); err != nil {
			return err
		}
		b, err := connect()
		if err != nil {
			return err
		}
		u.brain = b
		if promote {
			if err := alone(cmd, "promote", "timeout", "no-wait", "output"); err != nil {
				return err
			}
			return u.promote(cmd.Context(), args[0])
		}
		var command []string
		if cmd.ArgsLenAtDash() >= 0 {
			command = args[1:]
		}
		return u.run(cmd, args[0], command)
	}
	return cmd
}

// updateArgs checks that all but APP comes after --.
func updateArgs(cmd *cobra.Command, got []string) error {
	before := cmd.ArgsLenAtDash()
	dashed := before >= 0
	if !dashed {
		before = len(got)
	}
	switch {
	case before < 1:
		return usage(cmd, "%s needs APP", cmd.Name())
	case before > 1:
		return usage(cmd, "%s takes only APP, got also %q: '--' is required before the start command, and --image changes the image", cmd.Name(), got[1])
	case dashed && len(got) == 1:
		return usage(cmd, "there is no command after --: --image-command goes back to the image's own")
	case dashed && cmd.Flags().Changed("image-command"):
		return usage(cmd, "--image-command and a command after -- exclude each other")
	}
	return nil
}

// alone returns a failure if other flags than those were given with flag.
func alone(cmd *cobra.Command, flag string, with ...string) error {
	var err error
	cmd.Flags().Visit(func(f *pflag.Flag) {
		if cmd.InheritedFlags().Lookup(f.Name) != nil {
			return
		}
		for _, name := range append(with, flag) {
			if f.Name == name {
				return
			}
		}
		err = cmp.Or(err, usage(cmd, "--%s changes nothing else: leave --%s out", flag, f.Name))
	})
	return err
}

// updating is one run of the command.
type updating struct {
	updateFlags
	login loginFlags
	wait  waitFlags
	dry   bool
	out   *format
	st    *streams
	brain brain
}

func (u *updating) run(cmd *cobra.Command, name string, command []string) error {
	ctx := cmd.Context()
	before, err := u.brain.App(ctx, name)
	if err != nil {
		return fmt.Errorf("update %s: %w", name, err)
	}
	domain := ""
	if len(u.addRoutes)+len(u.removeRoutes)+len(u.routeOptions) > 0 {
		info, err := u.brain.Info(ctx)
		if err != nil {
			return fmt.Errorf("update %s: %w", name, err)
		}
		domain = info.Domain
	}
	after, err := u.apply(cmd.Flags().Changed, before, domain, command)
	if err != nil {
		return asSyntax(err)
	}
	list := differences(before.App.WithDefaults(), after)
	switch {
	case len(list) == 0 && !u.pull && !u.login.given():
		return u.show(before, list)
	case u.dry:
		return u.rehearse(ctx, before, after, list)
	}
	u.st.note("Updating %s:", name)
	differencesTable(list).write(u.st.notes())
	as, err := u.login.with(ctx, u.st)
	if err != nil {
		return err
	}
	a, err := u.brain.UpdateApp(as, after, u.options(), u.pull)
	if err != nil {
		return fmt.Errorf("update %s: %w", name, err)
	}
	if a.Revision == before.App.Revision {
		return u.settle(ctx, a)
	}
	return u.follow(ctx, a)
}

// rehearse tells what would change, and what would run where.
func (u *updating) rehearse(ctx context.Context, before app.Status, after app.App, list []difference) error {
	r, err := u.brain.RehearseUpdate(ctx, after, u.options())
	if err != nil {
		return fmt.Errorf("update %s: %w", after.Name, err)
	}
	if *u.out == asTable {
		if err := u.show(before, list); err != nil {
			return err
		}
	}
	return u.st.rehearsed(*u.out, r, list...)
}

// show tells what would change, or that nothing does.
func (u *updating) show(s app.Status, list []difference) error {
	if *u.out != asTable {
		return u.out.encode(u.st.out, append([]difference{}, list...))
	}
	if len(list) == 0 {
		fmt.Fprintf(u.st.out, "Nothing to change: %s is like that already.\n", s.App.Name)
		return nil
	}
	fmt.Fprintf(u.st.out, "%s would change:\n", s.App.Name)
	differencesTable(list).write(u.st.out)
	return nil
}

// promote lets a canary go on.
func (u *updating) promote(ctx context.Context, name string) error {
	a, err := u.brain.Promote(ctx, name)
	if err != nil {
		return fmt.Errorf("promote %s: %w", name, err)
	}
	return u.follow(ctx, a)
}

// settle waits until an app that needs no new containers is as it shall be.
func (u *updating) settle(ctx context.Context, a app.App) error {
	if u.wait.noWait {
		return nil
	}
	w := waiter{st: u.st, brain: u.brain, app: a.Name, timeout: u.wait.timeout}
	s, err := w.run(ctx)
	if err != nil {
		return err
	}
	return u.st.shower(*u.out)(s, fmt.Sprintf("%s is updated. No instance needed a new container.", a.Name))
}

// follow waits until an app has changed to its newest revision.
func (u *updating) follow(ctx context.Context, a app.App) error {
	return follow(ctx, u.st, u.brain, a, u.wait, u.st.shower(*u.out))
}

// follow waits until a has changed to its newest revision and then calls done
// with what there is to say.
func follow(ctx context.Context, st *streams, b brain, a app.App, wait waitFlags, done func(app.Status, string) error) error {
	r := a.Rollout
	if r == nil {
		return fmt.Errorf("%s is not changing: the brain may be older than this %s", a.Name, st.name)
	}
	st.note("%s goes from revision %d to %d: %s", a.Name, r.From, r.To, howText(r.RolloutOptions))
	if wait.noWait {
		st.note("'%s status %s' shows how far it is.", st.name, a.Name)
		return nil
	}
	w := waiter{st: st, brain: b, app: a.Name, timeout: wait.timeout, goal: &change{to: r.To}}
	s, err := w.run(ctx)
	if err != nil {
		return err
	}
	if s.App.Rollout.State == app.RolloutPaused {
		err := done(s, fmt.Sprintf("The canary of revision %d of %s is up, beside revision %d.", r.To, a.Name, r.From))
		st.note("\nWhat next:")
		var t table
		t.row("", fmt.Sprintf("%s update %s --promote", st.name, a.Name), "change the other instances")
		t.row("", fmt.Sprintf("%s rollback %s %d", st.name, a.Name, r.From), "go back")
		t.write(st.notes())
		return err
	}
	text := fmt.Sprintf("%s runs revision %d now, with %s.", a.Name, r.To, instancesText(s.App.Wanted()))
	if s.App.Stopped {
		text = fmt.Sprintf("%s is at revision %d now, and stopped.", a.Name, r.To)
	}
	return done(s, text)
}

// howText says how a change goes.
func howText(o app.RolloutOptions) string {
	text := string(cmp.Or(o.Strategy, app.Rolling))
	if o.MaxInFlight > 0 && o.Strategy != app.Recreate {
		text += fmt.Sprintf(", at most %d at a time", o.MaxInFlight)
	}
	return text
}
