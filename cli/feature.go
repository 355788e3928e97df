package cli

import (
	"fmt"
	"time"

	"github.com/spf13/cobra"
)

func newFeature(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "feature",
		GroupID: groupImages,
		Short:   "Take features away from all users, and give them back",
		Long: `Take features away from all users, and give them back. Only admins may.

Without docker-images nothing runs that needs an image of another registry: new
apps and tasks are refused, instances of those that there are stop, and run again
when it is enabled. Tasks that were submitted before still run. Bundled images, and
those that were pushed to the cluster or built in it, go on.`,
		Example: st.name + " feature disable docker-images\n" + st.name + " feature list",
		Args:    onlyCommands,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newFeatureSet(st, "enable", "Give a feature back", true), newFeatureSet(st, "disable", "Take a feature away", false), newFeatureList(st))
	return cmd
}

func newFeatureSet(st *streams, verb, short string, enabled bool) *cobra.Command {
	return &cobra.Command{
		Use: verb + " NAME", Short: short, Example: st.name + " feature " + verb + " docker-images", Args: args(1, 1, "NAME"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client()
			if err != nil {
				return err
			}
			f, err := c.SetFeature(cmd.Context(), args[0], enabled)
			if err != nil {
				return fmt.Errorf("%s the feature: %w; '%s feature list' shows all", verb, err, st.name)
			}
			fmt.Fprintf(st.out, "%s is %sd.\n", f.Name, verb)
			st.note("'%s list' shows the apps as they follow.", st.name)
			return nil
		},
	}
}

func newFeatureList(st *streams) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the features", Example: st.name + " feature list --output json", Args: args(0, 0, "")}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		all, err := c.Features(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the features: %w", err)
		}
		if *out != asTable {
			return out.encode(st.out, all)
		}
		var t table
		t.head("Feature", "State", "Changed", "By", "With it")
		for _, f := range all {
			state, changed := field{"enabled", green}, "-"
			if !f.Enabled {
				state = field{"disabled", yellow}
			}
			if !f.ChangedAt.IsZero() {
				changed = ageText(time.Since(f.ChangedAt)) + " ago"
			}
			t.row(field{f.Name, bold}, state, changed, dash(f.ChangedBy), f.About)
		}
		t.write(st.out)
		return nil
	}
	return cmd
}
