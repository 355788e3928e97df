package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"lattice/app"
	"lattice/internal/manifest"
)

func newExport(st *streams) *cobra.Command {
	var env bool
	cmd := &cobra.Command{
		Use:     "export APP…",
		GroupID: groupApps,
		Short:   "Print apps as a file that 'apply' and 'create -f' take",
		Long: `Print apps as a file that 'apply' and 'create -f' take. What is as usual is left out.

The values of the environment are secrets and are left out, too, unless --show-env
is given; applied to the same app, such a file leaves them as they are.`,
		Example: st.name + " export web > web.yaml\n" +
			st.name + " export '*' > all.yaml\n" +
			st.name + " export web --show-env -o json",
		Args: args(1, -1, "the name of at least one APP"),
	}
	cmd.Flags().BoolVar(&env, "show-env", false, "with the values of the environment, which may be secret")
	out := formatFlag(cmd)
	*out = asYAML
	cmd.Flags().Lookup("output").DefValue = "yaml"
	cmd.RunE = func(cmd *cobra.Command, names []string) error {
		b, err := connect()
		if err != nil {
			return err
		}
		apps, err := exported(cmd.Context(), b, names)
		if err != nil {
			return err
		}
		write := manifest.Write
		if *out == asJSON {
			write = manifest.WriteJSON
		}
		text, err := write(apps, env)
		if err != nil {
			return err
		}
		_, err = st.out.Write(text)
		return err
	}
	return cmd
}

// exported returns the apps of these names and patterns.
func exported(ctx context.Context, b brain, names []string) ([]app.App, error) {
	names, err := matching(ctx, b, names)
	if err != nil {
		return nil, err
	}
	var apps []app.App
	for _, name := range names {
		s, err := b.App(ctx, name)
		if err == nil && s.App.Image == "" { // it is on its way out
			err = fmt.Errorf("app %q %w", name, app.ErrNotFound)
		}
		if err != nil {
			return nil, fmt.Errorf("export %s: %w", name, err)
		}
		apps = append(apps, s.App)
	}
	return apps, nil
}

func newSubmitLRP(st *streams) *cobra.Command {
	var w waitFlags
	cmd := &cobra.Command{
		Use:     "submit-lrp FILE",
		Aliases: []string{"sl"},
		GroupID: groupApps,
		Short:   "Create the app that a DesiredLRPCreateRequest in JSON describes",
		Long: `Create the app that a DesiredLRPCreateRequest in JSON describes, as Diego's
Receptor took it, and wait until it answers. What has no use here is named; what
can't be done is an error. 'export' then shows the app in Lattice's own words.`,
		Example: st.name + " submit-lrp web.json\n" + st.name + " submit-lrp web.json --dry-run",
		Args:    args(1, 1, "FILE"),
	}
	w.register(cmd)
	dry, out := dryRunFlag(cmd), formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if err := w.check(cmd); err != nil {
			return err
		}
		file, err := readFile(args[0])
		if err != nil {
			return err
		}
		spec, unused, err := manifest.ParseLRP(file.Content)
		if err == nil {
			err = spec.App.Validate()
		}
		if err != nil {
			return fail(exitSyntax, fmt.Errorf("%s: %w", args[0], err))
		}
		for _, u := range unused {
			st.note("note: %s", u)
		}
		c := creation{st: st, wait: w, dry: *dry, out: *out}
		if c.brain, err = connect(); err != nil {
			return err
		}
		return c.run(cmd.Context(), spec.App)
	}
	return cmd
}
