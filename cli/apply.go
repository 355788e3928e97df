package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"lattice/app"
)

// fileCommands returns the commands that go by files, or fetch one.
func fileCommands(st *streams) []*cobra.Command {
	return []*cobra.Command{newApply(st), newDiff(st), newExport(st), newSubmitLRP(st), newSync(st), newDebugLogs(st)}
}

func newApply(st *streams) *cobra.Command {
	a := applying{st: st}
	var dry bool
	cmd := &cobra.Command{
		Use:     "apply -f FILE",
		GroupID: groupApps,
		Short:   "Make apps what files say: create, update, and on request remove them",
		Long: `Make apps what files say, and wait until they are.

A file has an app a document, with the fields that 'export' shows; or it is a
Compose file, whose services become apps. Apps that aren't there are created,
others updated without a stop, and those that are like that already left alone.
Where a file doesn't say how many instances, the number stays; a variable without
a value stays, or is taken from your environment.

The apps that apply creates belong to a set. With --prune it removes those that an
earlier apply of the same set created and that are in no file any more.`,
		Example: st.name + " apply -f web.yaml\n" +
			st.name + " apply -f apps/ --prune\n" +
			st.name + " apply -f compose.yaml --dry-run\n" +
			st.name + " export web | sed s/1.28/1.29/ | " + st.name + " apply -f -",
		Args: args(0, 0, ""),
	}
	a.files.register(cmd)
	a.files.registerSet(cmd)
	a.wait.registerFor(cmd, defaultChangeTimeout)
	cmd.Flags().BoolVar(&a.prune, "prune", false, "remove what an earlier apply of the set created and no file has any more")
	cmd.Flags().BoolVar(&a.force, "force", false, "don't ask before something is removed")
	cmd.Flags().BoolVar(&dry, "dry-run", false, "only show what would change, and what would run where")
	a.out = formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) (err error) {
		if err := cmp.Or(a.files.check(cmd), a.wait.check(cmd)); err != nil {
			return err
		}
		a.build = !dry
		steps, err := a.plan(cmd.Context())
		switch {
		case err != nil:
			return err
		case dry:
			return a.rehearse(cmd.Context(), steps)
		}
		return a.run(cmd.Context(), steps)
	}
	return cmd
}

// An applying is one run of apply or diff.
type applying struct {
	st    *streams
	files fileFlags
	wait  waitFlags
	prune bool
	force bool
	out   *format

	build   bool // what images are to be built of; else they stay as they are
	brain   brain
	healthy map[string]error // of apps that were waited for
}

// plan reads the files and compares them with what there is.
func (a *applying) plan(ctx context.Context) ([]applyStep, error) {
	d, err := a.files.read(ctx, a.st)
	if err != nil {
		return nil, err
	}
	if a.prune && d.set == "" {
		return nil, fail(exitSyntax, errors.New("what was created from standard input before has no name: name the set with --set NAME"))
	}
	if a.brain, err = connect(); err != nil {
		return nil, err
	}
	apps, err := a.brain.Apps(ctx)
	if err != nil {
		return nil, fmt.Errorf("list the apps: %w", err)
	}
	if a.build {
		err = a.st.buildAll(ctx, d.specs)
	} else {
		asBuilt(d.specs, apps)
	}
	if err != nil {
		return nil, err
	}
	return planApply(d, apps, a.prune, environment())
}

// rehearse tells what would happen.
func (a *applying) rehearse(ctx context.Context, steps []applyStep) error {
	type rehearsed struct {
		applyStep
		Rehearsal *app.Rehearsal `json:"rehearsal,omitempty"`
	}
	all := []rehearsed{}
	var refused error
	for _, s := range steps {
		r, err := a.rehearsal(ctx, s)
		if err != nil {
			return err
		}
		all = append(all, rehearsed{s, r})
		if *a.out == asTable {
			s.write(a.st.out)
		}
		if r == nil {
			continue
		}
		if *a.out == asTable {
			writeRehearsal(a.st.out, *r)
		}
		if len(r.Refused) > 0 {
			refused = &failure{
				code: exitPlacement, err: fmt.Errorf("%d of %d instances of %s would fit nowhere", len(r.Refused), r.App.Wanted(), s.App),
				hint: "ask for less memory, disk or instances, or add a cell; nothing was changed",
			}
		}
	}
	if *a.out != asTable {
		return cmp.Or(a.out.encode(a.st.out, all), refused)
	}
	return refused
}

// rehearsal asks the brain what a step would lead to; nil: nothing new.
func (a *applying) rehearsal(ctx context.Context, s applyStep) (r *app.Rehearsal, err error) {
	var found app.Rehearsal
	switch s.Action {
	case actCreate:
		found, err = a.brain.RehearseCreate(ctx, s.want)
	case actUpdate:
		found, err = a.brain.RehearseUpdate(ctx, s.want, app.RolloutOptions{})
	default:
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("%s %s: %w", s.Action, s.App, err)
	}
	found.App = hideEnv(app.Status{App: found.App}).App
	return &found, nil
}

// run takes all steps. One that fails doesn't keep the others from being
// taken, but those that need its app, and nothing is removed then.
func (a *applying) run(ctx context.Context, steps []applyStep) error {
	a.healthy = map[string]error{}
	all := batch{st: a.st, done: "applied"}
	var doing, leaving []applyStep
	for _, s := range steps {
		if s.Action == actRemove {
			leaving = append(leaving, s)
		} else {
			doing = append(doing, s)
		}
	}
	begun := a.begin(ctx, &all, doing)
	if !a.wait.noWait {
		for _, s := range begun {
			if err := a.settle(ctx, s); err != nil && ctx.Err() == nil {
				all.failed = append(all.failed, err)
			}
		}
	}
	if ctx.Err() != nil {
		return ctx.Err()
	}
	for _, s := range begun {
		if a.healthy[s.App] == nil && *a.out == asTable {
			a.st.did(s.App, "%s %s.", s.App, s.done(a.wait.noWait))
		}
	}
	if len(all.failed) == 0 {
		if err := a.remove(ctx, leaving); err != nil {
			all.failed = append(all.failed, err)
		}
	} else if len(leaving) > 0 {
		a.st.warn("nothing was removed, since not all went well")
	}
	if *a.out != asTable {
		if err := a.out.encode(a.st.out, append([]applyStep{}, steps...)); err != nil {
			return err
		}
	}
	return all.outcome(len(steps))
}

// begin creates and updates, and returns the steps that could be taken.
func (a *applying) begin(ctx context.Context, all *batch, steps []applyStep) []applyStep {
	var begun []applyStep
	byName := map[string]*applyStep{}
	for i := range steps {
		byName[steps[i].App] = &steps[i]
	}
	for i := range steps {
		s := &steps[i]
		err := a.needed(ctx, s, byName)
		if err == nil {
			err = a.take(ctx, s)
		}
		if ctx.Err() != nil {
			return begun
		}
		if err != nil {
			a.healthy[s.App] = err
			all.failed = append(all.failed, err)
			continue
		}
		begun = append(begun, *s)
	}
	return begun
}

// needed waits until the apps that s needs are healthy.
func (a *applying) needed(ctx context.Context, s *applyStep, byName map[string]*applyStep) error {
	for _, name := range s.needs {
		before := byName[name]
		if before == nil {
			continue
		}
		if err, known := a.healthy[name]; known && err != nil {
			return fail(exitCommand, fmt.Errorf("%s was left alone, as it needs %s", s.App, name))
		}
		if a.wait.noWait || s.Action == actNone {
			continue
		}
		if err := a.settle(ctx, *before); err != nil {
			return errors.Join(err, fail(exitCommand, fmt.Errorf("%s was left alone, as it needs %s", s.App, name)))
		}
	}
	return nil
}

// take creates or updates an app.
func (a *applying) take(ctx context.Context, s *applyStep) (err error) {
	switch s.Action {
	case actCreate:
		a.st.note("Creating %s: %s of %s", s.App, instancesText(s.want.Instances), s.want.Image)
		s.made, err = a.brain.CreateApp(ctx, s.want)
	case actUpdate:
		a.st.note("Updating %s:", s.App)
		differencesTable(s.Changes).write(a.st.notes())
		s.made, err = a.brain.UpdateApp(ctx, s.want, app.RolloutOptions{}, false)
	}
	if err != nil {
		return fmt.Errorf("%s %s: %w", s.Action, s.App, err)
	}
	return nil
}

// settle waits until the app of a step that was taken is as it shall be. It
// waits for each app once.
func (a *applying) settle(ctx context.Context, s applyStep) error {
	if _, known := a.healthy[s.App]; known {
		return nil // it is told already
	}
	w := waiter{st: a.st, brain: a.brain, app: s.App, timeout: a.wait.timeout}
	switch {
	case s.Action == actCreate:
		w.since = s.made.CreatedAt
	case s.Action == actUpdate && s.made.Revision != s.want.Revision && s.made.Rollout != nil:
		w.goal = &change{to: s.made.Revision}
	}
	_, err := w.run(ctx)
	a.healthy[s.App] = err
	return err
}

// remove prunes, if the user agrees.
func (a *applying) remove(ctx context.Context, steps []applyStep) error {
	var names []string
	for _, s := range steps {
		names = append(names, s.App)
	}
	if len(names) == 0 {
		return nil
	}
	if a.st.asks() && !a.force && !a.st.confirm(fmt.Sprintf("Remove %s: %s?", countText(len(names), "app"), strings.Join(names, ", "))) {
		return fail(exitCommand, errors.New("nothing was removed"))
	}
	r := removal{batch: batch{st: a.st, done: "removed"}, brain: a.brain, force: true}
	return r.run(ctx, names, a.wait)
}
