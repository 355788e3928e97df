package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
	"lattice/images/archive"
)

func newImages(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "images",
		GroupID: groupImages,
		Short:   "List the images that the brain's registry has",
		Long: `List the images that the brain's registry has: what was pushed to it and what it
keeps of other registries, so that it comes in once for all cells.`,
		Example: st.name + " images\n" + st.name + " images prune --unused 24h",
		Args:    args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		all, err := c.Images(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the images: %w", err)
		}
		if *out != asTable {
			return out.encode(st.out, all)
		}
		if len(all) == 0 {
			st.note("No images. '%s push FILE' brings one here; one of another registry comes when an app runs it.", st.name)
			return nil
		}
		imagesTable(all, time.Now()).write(st.out)
		return nil
	}
	cmd.AddCommand(newImagesPrune(st))
	return cmd
}

func imagesTable(all []app.StoredImage, now time.Time) *table {
	var t table
	t.head("Image", "Tags", "Digest", "Size", "From", "On cells", "Last used", "Used by")
	for _, i := range all {
		from, used := "here", "–"
		if i.Cached {
			from = "other registry"
		}
		if i.Built != nil {
			from = "built of " + i.Built.From
		}
		if !i.UsedAt.IsZero() {
			used = ageText(now.Sub(i.UsedAt)) + " ago"
		}
		t.row(field{i.Name, bold}, dash(strings.Join(i.Tags, ",")), shortDigest(i.Digest), sizeText(i.Bytes), from, dash(someText(i.Cells)), used, dash(strings.Join(i.UsedBy, ",")))
	}
	return &t
}

// someText names a few, and says how many more there are.
func someText(names []string) string {
	const few = 3
	if len(names) <= few {
		return strings.Join(names, ",")
	}
	return fmt.Sprintf("%s and %d more", strings.Join(names[:few], ","), len(names)-few)
}

// shortDigest is enough of a digest to tell images apart.
func shortDigest(d string) string {
	_, hex, _ := strings.Cut(d, ":")
	return hex[:min(12, len(hex))]
}

func newImagesPrune(st *streams) *cobra.Command {
	r := api.PruneRequest{}
	unused := 30 * 24 * time.Hour
	cmd := &cobra.Command{
		Use:   "prune",
		Short: "Delete images that nobody uses, on the brain and on cells",
		Long: `Delete images that nobody uses, on the brain and on cells. On the brain what an app
runs or can go back to stays, and what was pushed and has a tag, unless --pushed is
given. On a cell what runs there, or shall, stays.

Without being told, brain and cells delete such images when they were unused for
--image-age (30 days), and sooner when the disk is fuller than --image-disk (85 %).`,
		Example: st.name + " images prune --dry-run\n" + st.name + " images prune --unused 0s --pushed",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().DurationVar(&unused, "unused", unused, "only what nobody asked for in this `TIME`")
	cmd.Flags().BoolVar(&r.Own, "pushed", false, "also what was pushed here and has a tag")
	cmd.Flags().BoolVar(&r.DryRun, "dry-run", false, "only tell what would go")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		r.Unused = app.Duration(unused)
		p, err := c.PruneImages(cmd.Context(), r)
		if err != nil {
			return fmt.Errorf("prune the images: %w", err)
		}
		if *out != asTable {
			return out.encode(st.out, p)
		}
		if len(p.Images) > 0 {
			imagesTable(p.Images, time.Now()).write(st.out)
		}
		verb := "Deleted"
		if r.DryRun {
			verb = "Would delete"
		}
		fmt.Fprintf(st.out, "%s %s, up to %s, on the brain.\n", verb, countText(len(p.Images), "image"), sizeText(p.Bytes))
		if n := len(p.Cells); n > 0 && !r.DryRun {
			fmt.Fprintf(st.out, "%s %s theirs that nothing needs.\n", countText(n, "cell"), map[bool]string{true: "deletes", false: "delete"}[n == 1])
		}
		return nil
	}
	return cmd
}

func newPush(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "push FILE [NAME[:TAG]]",
		GroupID: groupImages,
		Short:   "Bring an image that is a file into the cluster's registry",
		Long: `Bring an image that is a file into the cluster's registry: what 'docker save'
writes, or an OCI archive. Only layers that are not there travel. Apps name it
cluster/NAME. 'docker push' and skopeo work as well, with a token as password.`,
		Example: "docker save web:1 -o web.tar && " + st.name + " push web.tar && " + st.name + " create web cluster/web:1",
		Args:    args(1, 2, "FILE and NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			name := ""
			if len(args) > 1 {
				name = args[1]
			}
			full, err := st.push(cmd.Context(), args[0], name, "")
			if errors.Is(err, errUnnamed) {
				return usage(cmd, "%v", err)
			}
			if err != nil {
				return err
			}
			fmt.Fprintln(st.out, full)
			st.note("Next: %s create APP %s", st.name, full)
			return nil
		},
	}
	return cmd
}

// errUnnamed is returned when an image has no name.
var errUnnamed = errors.New("does not say what its image is called: give NAME")

// push brings a file into the cluster's registry and returns what apps call it:
// the wanted name, else that in the file, else the other one.
func (st *streams) push(ctx context.Context, file, want, other string) (string, error) {
	t, err := currentTarget()
	if err != nil {
		return "", err
	}
	c, err := dial(t)
	if err != nil {
		return "", err
	}
	want = strings.TrimPrefix(want, app.ClusterImages)
	img, err := archive.Open(file, want)
	if err != nil {
		return "", fail(exitFile, err)
	}
	defer img.Close()
	if want = cmp.Or(want, img.Name, other); want == "" {
		return "", fmt.Errorf("%s %w", file, errUnnamed)
	}
	base, via := c.Registry()
	_, err = img.Push(ctx, archive.To{Host: base.Host, Repo: want, Token: t.Token, Via: via, Progress: st.transfer("pushing " + want)})
	if err != nil {
		return "", err
	}
	if st.err.tty {
		io.WriteString(st.err, "\r\x1b[K")
	}
	return app.ClusterImages + want, nil
}

// transfer returns what shows on a terminal how far something is.
func (st *streams) transfer(what string) func(done, total int64) {
	if !st.err.tty {
		return nil
	}
	return func(done, total int64) {
		fmt.Fprintf(st.err, "\r%s %s %s/%s\x1b[K", what, bar(done, total, 20), sizeText(done), sizeText(total))
	}
}
