package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newGossip(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "gossip rotate",
		GroupID: groupServe,
		Short:   "Replace the key that seals what nodes say to each other",
		Example: st.name + " gossip rotate",
		Args:    onlyCommands,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newGossipRotate(st))
	return cmd
}

func newGossipRotate(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "rotate",
		Short: "Replace the key that seals what nodes say to each other",
		Long: `Replace the key that seals what nodes say to each other.

Nothing stops: all cells get the new key first, then all use it, then the old one
is dropped. A cell that is away gets the new key when it is back.`,
		Example: st.name + " gossip rotate",
		Args:    args(0, 0, ""),
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, err := client()
			if err != nil {
				return err
			}
			r, err := c.RotateGossip(cmd.Context())
			if err != nil {
				return fmt.Errorf("rotate the gossip key: %w", err)
			}
			fmt.Fprintf(st.out, "The gossip key is a new one, on the brain and %s (took %s).\n", countText(len(r.Cells), "cell"), r.Took)
			if len(r.Missing) > 0 {
				st.warn("%s did not answer in time and will get the key when back: %s", countText(len(r.Missing), "cell"), strings.Join(r.Missing, " "))
			}
			return nil
		},
	}
}

// countText returns how many of what there are.
func countText(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
