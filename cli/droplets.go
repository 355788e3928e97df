package cli

import (
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
	"lattice/images/archive"
)

// dropletCommands are the names by which Lattice of 2015 knew what was built. A
// droplet NAME is the image cluster/NAME.
func dropletCommands(st *streams) []*cobra.Command {
	all := []*cobra.Command{newBuildDroplet(st), newListDroplets(st), newLaunchDroplet(st), newRemoveDroplet(st), newExportDroplet(st), newImportDroplet(st)}
	for _, cmd := range all {
		cmd.GroupID = groupDrops
	}
	return all
}

// paketo is the builder for the names that buildpacks had in Lattice.
const paketo = "paketobuildpacks/builder-jammy-full"

// oldBuildpacks are those names.
func oldBuildpacks() map[string]string {
	return map[string]string{
		"go": "paketo-buildpacks/go", "java": "paketo-buildpacks/java", "python": "paketo-buildpacks/python", "ruby": "paketo-buildpacks/ruby",
		"nodejs": "paketo-buildpacks/nodejs", "php": "paketo-buildpacks/php", "binary": "paketo-buildpacks/procfile", "staticfile": "paketo-buildpacks/web-servers",
	}
}

func newBuildDroplet(st *streams) *cobra.Command {
	var f buildFlags
	var dir string
	cmd := &cobra.Command{
		Use:     "build-droplet DROPLET BUILDER",
		Aliases: []string{"bd"},
		Short:   "Make an image of a folder with buildpacks, as 'build --builder' does",
		Long: `Make the image cluster/DROPLET of a folder with buildpacks, as 'build --builder'
does. BUILDER is an image with buildpacks ('builders' lists some), or one of the
names that Lattice knew, go, java, python, ruby, nodejs, php, binary and
staticfile, which mean a buildpack of Paketo.`,
		Example: st.name + " build-droplet web go -p ./web\n" + st.name + " launch-droplet web web",
		Args:    args(2, 2, "DROPLET and BUILDER"),
	}
	f.register(cmd)
	for _, name := range []string{"builder", "file", "build-arg", "target"} {
		cmd.Flags().Lookup(name).Hidden = true
	}
	cmd.Flags().StringVarP(&dir, "path", "p", ".", "`DIR` to build")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if f.builder = args[1]; strings.Contains(f.builder, "://") {
			return usage(cmd, "%s is a buildpack of Cloud Foundry, which is not run here: name an image with buildpacks, '%s builders' lists some", f.builder, st.name)
		}
		if pack, old := oldBuildpacks()[f.builder]; old {
			f.builder, f.packs = paketo, append(f.packs, pack)
		}
		r, err := f.request(cmd, args[0], dir)
		if err != nil {
			return err
		}
		b, err := client()
		if err != nil {
			return err
		}
		if _, err := st.build(cmd.Context(), b, r, dir); err != nil {
			return err
		}
		fmt.Fprintln(st.out, "Build completed")
		st.note("Next: %s launch-droplet APP %s", st.name, args[0])
		return nil
	}
	return cmd
}

func newListDroplets(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list-droplets",
		Aliases: []string{"lsd"},
		Short:   "List images that were built or pushed here, the newest first",
		Example: st.name + " list-droplets\n" + st.name + " list-droplets --output json",
		Args:    args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		all, _, err := droplets(cmd)
		if err != nil {
			return err
		}
		if *out != asTable {
			return out.encode(st.out, all)
		}
		var t table
		t.head("Droplet", "Created at", "Size")
		for _, i := range all {
			at := "-"
			if i.Built != nil {
				at = i.Built.At.Local().Format(time.DateTime)
			}
			name := strings.TrimPrefix(i.Name, app.ClusterImages)
			for _, tag := range i.Tags {
				if tag != "latest" {
					t.row(field{name + ":" + tag, bold}, at, sizeText(i.Bytes))
				} else {
					t.row(field{name, bold}, at, sizeText(i.Bytes))
				}
			}
		}
		t.write(st.out)
		return nil
	}
	return cmd
}

// droplets returns the images of the cluster's own, the newest first.
func droplets(cmd *cobra.Command) ([]app.StoredImage, *api.Client, error) {
	b, err := client()
	if err != nil {
		return nil, nil, err
	}
	all, err := b.Images(cmd.Context())
	if err != nil {
		return nil, nil, fmt.Errorf("list the droplets: %w", err)
	}
	all = slices.DeleteFunc(all, func(i app.StoredImage) bool { return i.Cached })
	at := func(i app.StoredImage) time.Time {
		if i.Built != nil {
			return i.Built.At
		}
		return time.Time{}
	}
	slices.SortStableFunc(all, func(a, b app.StoredImage) int { return at(b).Compare(at(a)) })
	return all, b, nil
}

// newLaunchDroplet is create with another name for its image.
func newLaunchDroplet(st *streams) *cobra.Command {
	cmd := newCreate(st)
	run := cmd.RunE
	cmd.Args = imageArgs(2, "APP and DROPLET")
	cmd.Use, cmd.Aliases = "launch-droplet APP DROPLET [-- COMMAND ARGS…]", []string{"ld"}
	cmd.Short = "Run a built image as an app, as 'create' does"
	cmd.Long = "Run the image cluster/DROPLET as an app, as 'create' does, with all of its options."
	cmd.Example = st.name + " launch-droplet web web -i 3"
	for _, name := range []string{"file", "image-file", "build", "builder", "skip-unsupported", "registry-username", "registry-password-stdin"} {
		if f := cmd.Flags().Lookup(name); f != nil {
			f.Hidden = true
		}
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		args = slices.Clone(args)
		args[1] = app.ClusterImages + strings.TrimPrefix(args[1], app.ClusterImages)
		return run(cmd, args)
	}
	return cmd
}

func newRemoveDroplet(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:     "remove-droplet DROPLET",
		Aliases: []string{"rd"},
		Short:   "Delete a built image that no app needs, with all its tags",
		Example: st.name + " remove-droplet web",
		Args:    args(1, 1, "DROPLET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			all, b, err := droplets(cmd)
			if err != nil {
				return err
			}
			name := app.ClusterImages + strings.TrimPrefix(args[0], app.ClusterImages)
			found := false
			for _, i := range all {
				if i.Name != name {
					continue
				}
				if found = true; len(i.UsedBy) > 0 {
					return fail(exitCommand, fmt.Errorf("%s was launched from the droplet %s, or can go back to it: remove that first", strings.Join(i.UsedBy, ", "), args[0]))
				}
			}
			if !found {
				return fail(exitCommand, fmt.Errorf("droplet %s not found", args[0]))
			}
			if _, err := b.PruneImages(cmd.Context(), api.PruneRequest{Own: true, Only: name}); err != nil {
				return fmt.Errorf("remove the droplet %s: %w", args[0], err)
			}
			fmt.Fprintln(st.out, "Droplet removed")
			return nil
		},
	}
}

func newExportDroplet(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:     "export-droplet DROPLET",
		Aliases: []string{"ed"},
		Short:   "Write a built image to a file, as 'docker save' does",
		Long:    "Write the image cluster/DROPLET to the file DROPLET.tar in this folder, as 'docker save' does.",
		Example: st.name + " export-droplet web",
		Args:    args(1, 1, "DROPLET"),
		RunE: func(cmd *cobra.Command, args []string) error {
			t, err := currentTarget()
			if err != nil {
				return err
			}
			c, err := dial(t)
			if err != nil {
				return err
			}
			name := strings.TrimPrefix(args[0], app.ClusterImages)
			file := strings.NewReplacer("/", "-", ":", "-").Replace(name) + ".tar"
			base, via := c.Registry()
			if err := archive.Save(cmd.Context(), archive.To{Host: base.Host, Repo: name, Token: t.Token, Via: via}, file); err != nil {
				if os.IsPermission(err) {
					return fail(exitFile, err)
				}
				return fail(exitCommand, err)
			}
			fmt.Fprintf(st.out, "Droplet '%s' exported to %s.\n", args[0], file)
			return nil
		},
	}
}

func newImportDroplet(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:     "import-droplet DROPLET FILE",
		Aliases: []string{"id"},
		Short:   "Bring an image that is a file into the cluster's registry, as 'push' does",
		Example: st.name + " import-droplet web web.tar",
		Args:    args(2, 2, "DROPLET and FILE"),
		RunE: func(cmd *cobra.Command, args []string) error {
			if _, err := st.push(cmd.Context(), args[1], args[0], ""); err != nil {
				return err
			}
			fmt.Fprintf(st.out, "Imported %s\n", args[0])
			return nil
		},
	}
}
