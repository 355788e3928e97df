package cli

import (
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
)

func newToken(st *streams) *cobra.Command {
	cmd := newTokenCreate(st)
	cmd.Use, cmd.GroupID, cmd.Args = "token", groupServe, onlyCommands
	cmd.Short = "Make a token with which cells join, and list and revoke them"
	cmd.Long = `Make a token with which cells join, and print it.

It is printed this once: lattice keeps only a hash of it. A cell needs it only to
join; from then on it has a certificate of its own. Each call makes a fresh token,
which lives for 24 hours unless --ttl says otherwise.`
	cmd.Example = st.name + " token > join-token\n" +
		st.name + " token create --ttl 10m --uses 1\n" +
		st.name + " token list\n" +
		st.name + " token revoke 1a2b3c4d"
	cmd.AddCommand(newTokenCreate(st), newTokenList(st), newTokenRevoke(st))
	return cmd
}

func newTokenCreate(st *streams) *cobra.Command {
	var ttl time.Duration
	var uses int
	cmd := &cobra.Command{
		Use:     "create",
		Short:   "Make a token with which cells join, and print it",
		Example: st.name + " token create --ttl 30m --uses 3 > join-token",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().DurationVar(&ttl, "ttl", api.DefaultTokenTTL, "`TIME` for which it can be used, such as 30m or 24h")
	cmd.Flags().IntVar(&uses, "uses", 0, "let in at most `NUMBER` cells (default: any number)")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if ttl <= 0 {
			return usage(cmd, "--ttl %v: a token must live for at least a second", ttl)
		}
		c, err := client()
		if err != nil {
			return err
		}
		t, err := c.CreateToken(cmd.Context(), api.TokenRequest{TTL: app.Duration(ttl), Uses: uses})
		if err != nil {
			return fmt.Errorf("make a token: %w", err)
		}
		if *out != asTable {
			return out.encode(st.out, t)
		}
		fmt.Fprintln(st.out, t.Token)
		st.note("Cells can join with it until %s; '%s token revoke %s' ends it earlier.", localTime(t.ExpiresAt), st.name, t.ID)
		return nil
	}
	return cmd
}

func newTokenList(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the join tokens, without their secrets",
		Example: st.name + " token list",
		Args:    args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		tokens, err := c.Tokens(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the tokens: %w", err)
		}
		if *out != asTable {
			return out.encode(st.out, append([]api.TokenStatus{}, tokens...))
		}
		if len(tokens) == 0 {
			st.note("No tokens. Make one: %s token", st.name)
			return nil
		}
		tokenTable(tokens).write(st.out)
		return nil
	}
	return cmd
}

func tokenTable(tokens []api.TokenStatus) *table {
	var t table
	t.head("ID", "State", "Created", "Expires", "Used", "Cells")
	for _, token := range tokens {
		state := field{token.State, green}
		if token.State != "valid" {
			state.as = yellow
		}
		used := fmt.Sprint(token.Used)
		if token.Uses > 0 {
			used += fmt.Sprintf("/%d", token.Uses)
		}
		t.row(field{token.ID, bold}, state, localTime(token.CreatedAt), localTime(token.ExpiresAt), used, dash(strings.Join(token.Cells, " ")))
	}
	return &t
}

func newTokenRevoke(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:     "revoke ID…",
		Short:   "Make join tokens useless; cells that joined with them stay",
		Example: st.name + " token revoke ID",
		Args:    args(1, -1, "the ID of at least one token"),
		RunE: func(cmd *cobra.Command, ids []string) error {
			c, err := client()
			if err != nil {
				return err
			}
			for _, id := range ids {
				err := c.RevokeToken(cmd.Context(), id)
				if errors.Is(err, app.ErrNotFound) {
					return &failure{code: exitCommand, err: err, hint: "'" + st.name + " token list' shows the tokens"}
				}
				if err != nil {
					return fmt.Errorf("revoke the token %s: %w", id, err)
				}
				fmt.Fprintf(st.out, "Token %s revoked.\n", id)
			}
			return nil
		},
	}
}

func localTime(t time.Time) string { return t.Local().Format("2006-01-02 15:04:05") }
