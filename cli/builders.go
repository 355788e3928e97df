package cli

import (
	"fmt"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lattice/app"
)

// A builder is an image with buildpacks.
type builder struct {
	Image string `json:"image"`
	About string `json:"about,omitempty"`
	Here  bool   `json:"here"`  // the cluster's registry has it
	Built int    `json:"built"` // images of the cluster that it has built
}

// knownBuilders are those of others that many use.
func knownBuilders() []builder {
	return []builder{
		{Image: "paketobuildpacks/builder-jammy-base", About: "Go, Java, Node.js, .NET, Python, Ruby, web servers"},
		{Image: "paketobuildpacks/builder-jammy-full", About: "the same and PHP, with more system libraries"},
		{Image: "paketobuildpacks/builder-jammy-tiny", About: "Go and native Java, on next to nothing"},
		{Image: "heroku/builder:24", About: "Go, Java, Node.js, PHP, Python, Ruby, Scala, .NET"},
		{Image: "gcr.io/buildpacks/builder:google-22", About: "Go, Java, Node.js, Python, Ruby, PHP, .NET"},
	}
}

func newBuilders(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "builders",
		GroupID: groupImages,
		Short:   "List images with buildpacks, for 'build --builder'",
		Long: `List images with buildpacks, for 'build --builder': those that many use, and those
that built an image of the cluster. Any other builder does as well. One that is not
here yet comes from its registry with the first build.`,
		Example: st.name + " builders",
		Args:    args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		b, err := client()
		if err != nil {
			return err
		}
		stored, err := b.Images(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the builders: %w", err)
		}
		all := builders(stored)
		if *out != asTable {
			return out.encode(st.out, all)
		}
		var t table
		t.head("Builder", "Here", "Built", "Of use for")
		for _, b := range all {
			here := "-"
			if b.Here {
				here = "yes"
			}
			t.row(field{b.Image, bold}, here, countText(b.Built, "image"), dash(b.About))
		}
		t.write(st.out)
		return nil
	}
	return cmd
}

// builders returns what is known of builders beside what the registry has.
func builders(stored []app.StoredImage) []builder {
	all := knownBuilders()
	for _, i := range stored {
		if i.Built == nil || !i.Built.Packs {
			continue
		}
		at := slices.IndexFunc(all, func(b builder) bool { return b.Image == i.Built.By })
		if at < 0 {
			at = len(all)
			all = append(all, builder{Image: i.Built.By})
		}
		all[at].Built++
	}
	for i, b := range all {
		name, _, _ := strings.Cut(b.Image, "@")
		if at := strings.LastIndexByte(name, ':'); at > strings.LastIndexByte(name, '/') {
			name = name[:at]
		}
		all[i].Here = slices.ContainsFunc(stored, func(s app.StoredImage) bool { return s.Name == name })
	}
	return all
}
