package cli

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"
)

func newCellRevoke(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:   "revoke CELL",
		Short: "Put a cell out of the cluster at once",
		Long: `Put a cell out of the cluster at once, as when its machine is lost or stolen.

Its certificate is refused from now on, it gets no more work and no more gossip,
and its instances run elsewhere. What still runs on its machine goes on until
'lattice down' there. It can join anew with a fresh token.`,
		Example: st.name + " cell revoke c2",
		Args:    args(1, 1, "the ID of a CELL"),
		RunE: func(cmd *cobra.Command, ids []string) error {
			c, err := client()
			if err != nil {
				return err
			}
			r, err := c.RevokeCell(cmd.Context(), ids[0])
			if err != nil {
				return st.aboutCell(fmt.Errorf("put out %s: %w", ids[0], err))
			}
			fmt.Fprintf(st.out, "Cell %s is out of the cluster; its instances move to other cells.\n", r.Cell)
			if len(r.Tokens) > 0 {
				st.note("Revoked with it: %s that it joined with (%s).", countText(len(r.Tokens), "token"), strings.Join(r.Tokens, " "))
			}
			return nil
		},
	}
}
