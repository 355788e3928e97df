package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newCreate(st *streams) *cobra.Command {
	var f appFlags
	var w waitFlags
	var files fileFlags
	var login loginFlags
	var imageFile, buildDir, builder string
	cmd := &cobra.Command{
		Use:     "create APP IMAGE [-- COMMAND ARGS…]",
		Aliases: []string{"cr"},
		GroupID: groupDocker,
		Short:   "Run an image as an app",
		Long: `Run an image as an app, and wait until it answers.

IMAGE is a reference as Docker writes it, or a bundled image such as
lattice/hello. A command after -- replaces the image's own. With --image-file the
image is one that 'docker save' wrote: it is pushed first, as 'push' does, and is
left out. With --build it is made of a folder first, as 'build' does. With -f a file says all that; 'apply' creates and updates by files.`,
		Example: st.name + " create hello lattice/hello\n" +
			st.name + " create web nginx -i 3 -m 256M -p 80 -R www.example.com -R web/static:80\n" +
			st.name + " create worker registry:5000/me/worker:v2 --no-monitor --no-routes -e QUEUE=jobs -- worker --fast\n" +
			"pass show registry | " + st.name + " create shop registry.lan:5000/shop --registry-username me --registry-password-stdin\n" +
			st.name + " create web --image-file web.tar\n" +
			st.name + " create web --build ./web\n" +
			st.name + " create -f web.yaml",
		DisableFlagsInUseLine: true,
		Args:                  createArgs,
	}
	f.register(cmd)
	w.register(cmd)
	files.register(cmd)
	login.register(cmd)
	cmd.Flags().StringVar(&imageFile, "image-file", "", "push the image in `FILE`, and run it")
	cmd.Flags().StringVar(&buildDir, "build", "", "build the folder `DIR`, and run what comes of it")
	cmd.Flags().StringVar(&builder, "builder", "", "build it with the buildpacks of the image `IMAGE`, not with a Dockerfile")
	dry, out := dryRunFlag(cmd), formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := cmp.Or(f.conflict(cmd), w.check(cmd), login.check(cmd), exclusive(cmd, "image-file", "registry-username"), exclusive(cmd, "image-file", "dry-run"),
			exclusive(cmd, "build", "image-file"), exclusive(cmd, "build", "registry-username"), exclusive(cmd, "build", "dry-run")); err != nil {
			return err
		}
		c := creation{st: st, wait: w, login: login, dry: *dry, out: *out}
		if len(files.paths) > 0 {
			if err := alone(cmd, "file", "skip-unsupported", "timeout", "no-wait", "dry-run", "output"); err != nil {
				return err
			}
			return c.all(cmd.Context(), files)
		}
		image, command := "", args[1:]
		if imageFile == "" && buildDir == "" {
			image, command = args[1], args[2:]
		}
		a, err := f.build(args[0], image, command)
		if err != nil {
			return asSyntax(err)
		}
		if f.root {
			st.warn("--run-as-root is deprecated: use --user root")
		}
		if c.brain, err = connect(); err != nil {
			return err
		}
		if imageFile != "" {
			if a.Image, err = st.push(cmd.Context(), imageFile, "", a.Name); err != nil {
				return err
			}
		}
		if buildDir != "" {
			if a.Image, err = st.buildFor(cmd, a.Name, buildDir, builder); err != nil {
				return err
			}
		}
		return c.run(cmd.Context(), a)
	}
	return cmd
}

// A creation is how an app is created.
type creation struct {
	st    *streams
	brain brain
	wait  waitFlags
	login loginFlags
	dry   bool
	out   format
}

// all creates the apps of files, each after those it needs.
func (c creation) all(ctx context.Context, files fileFlags) (err error) {
	d, err := files.read(ctx, c.st)
	if err != nil {
		return err
	}
	if c.brain, err = connect(); err != nil {
		return err
	}
	if err := c.st.buildAll(ctx, d.specs); err != nil {
		return err
	}
	for _, s := range d.specs {
		if err := fillUnset(&s.App, s.Unset, app.App{}, environment()); err != nil {
			return fail(exitSyntax, err)
		}
		if err := c.run(ctx, s.App); err != nil {
			return err
		}
	}
	return nil
}

// run creates an app and waits until it answers, or tells what would happen.
func (c creation) run(ctx context.Context, a app.App) error {
	name := a.Name
	if c.dry {
		r, err := c.brain.RehearseCreate(ctx, a)
		if err != nil {
			return fmt.Errorf("create %s: %w", name, err)
		}
		return c.st.rehearsed(c.out, r)
	}
	as, err := c.login.with(ctx, c.st)
	if err != nil {
		return err
	}
	a, err = c.brain.CreateApp(as, a)
	if err != nil {
		return fmt.Errorf("create %s: %w", name, err)
	}
	c.st.note("Creating %s: %s of %s, %s memory each", a.Name, instancesText(a.Instances), a.Image, limitText(a.MemoryMB))
	if c.wait.noWait {
		c.st.note("'%s status %s' shows how it comes up.", c.st.name, a.Name)
		return nil
	}
	w := waiter{st: c.st, brain: c.brain, app: a.Name, timeout: c.wait.timeout, since: a.CreatedAt}
	s, err := w.run(ctx)
	if err != nil {
		return err
	}
	if c.out != asTable {
		return c.out.encode(c.st.out, hideEnv(s))
	}
	c.st.created(s)
	return nil
}

// createArgs checks that all but APP and IMAGE comes after --.
func createArgs(cmd *cobra.Command, got []string) error {
	before := cmd.ArgsLenAtDash()
	if before < 0 {
		before = len(got)
	}
	byFile, archive := cmd.Flags().Changed("file"), cmd.Flags().Changed("image-file") || cmd.Flags().Changed("build")
	switch {
	case byFile && len(got) > 0:
		return usage(cmd, "create takes no argument beside -f, got %q", got[0])
	case byFile:
	case archive && before != 1:
		return usage(cmd, "create takes only APP beside --image-file or --build; '--' is required before the start command")
	case archive:
	case before < 2:
		return usage(cmd, "create needs APP and IMAGE, or -f FILE")
	case before > 2:
		return usage(cmd, "create takes only APP and IMAGE, got also %q: '--' is required before the start command", got[2])
	}
	return nil
}

// asSyntax gives err the exit code of bad input, unless it has one.
func asSyntax(err error) error {
	var f *failure
	if errors.As(err, &f) {
		return err
	}
	return fail(exitSyntax, err)
}

// created prints where the new app answers and what can be done next.
func (st *streams) created(s app.Status) {
	if st.quiet {
		fmt.Fprintln(st.out, s.App.Name)
		return
	}
	fmt.Fprintf(st.out, "%s\n", st.out.paint(green, s.App.Name+" is now running."))
	if len(s.URLs) > 0 {
		io.WriteString(st.out, "App is reachable at:\n")
	}
	for _, url := range s.URLs {
		fmt.Fprintf(st.out, "%s\n", st.out.paint(green, url))
	}
	st.note("\nWhat next:")
	var t table
	t.row("", st.name+" logs "+s.App.Name, "what it prints")
	t.row("", st.name+" status "+s.App.Name, "how its instances are")
	t.row("", fmt.Sprintf("%s scale %s %d", st.name, s.App.Name, s.App.Instances+2), "more instances")
	t.write(st.notes())
}

func instancesText(n int) string {
	if n == 1 {
		return "1 instance"
	}
	return fmt.Sprintf("%d instances", n)
}

// waitFlags are the flags of the commands that wait for what they ask for.
type waitFlags struct {
	timeout time.Duration
	noWait  bool
}

func (w *waitFlags) register(cmd *cobra.Command) { w.registerFor(cmd, defaultTimeout) }

// registerFor gives cmd the flags, with how long it waits unless told otherwise.
func (w *waitFlags) registerFor(cmd *cobra.Command, usual time.Duration) {
	cmd.Flags().DurationVarP(&w.timeout, "timeout", "t", usual, "wait no longer than `DURATION`")
	cmd.Flags().BoolVar(&w.noWait, "no-wait", false, "don't wait")
}

// check returns a failure if there is no time to wait.
func (w *waitFlags) check(cmd *cobra.Command) error {
	if w.timeout <= 0 {
		return usage(cmd, "--timeout %v: must be more than 0; --no-wait doesn't wait", w.timeout)
	}
	return nil
}
