package cli

import (
	"fmt"

	"github.com/spf13/cobra"

	"lattice/api"
)

func newSSHKey(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ssh-key",
		GroupID: groupSSH,
		Short:   "Add, list and remove the public keys that open the brain's SSH port",
		Long: `Add, list and remove the public keys that open the brain's SSH port, in place of the
token as password. A key stands for who added it, and ends with that user.`,
		Example: st.name + " ssh-key add ~/.ssh/id_ed25519.pub\n" + st.name + " ssh-key list\n" + st.name + " ssh-key remove ann@laptop",
		Args:    onlyCommands,
		RunE:    func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newSSHKeyAdd(st), newSSHKeyList(st), newSSHKeyRemove(st))
	return cmd
}

func newSSHKeyAdd(st *streams) *cobra.Command {
	var name string
	cmd := &cobra.Command{
		Use:     "add FILE",
		Short:   "Add the public key in FILE; - is standard input",
		Example: st.name + " ssh-key add ~/.ssh/id_ed25519.pub\nssh-add -L | head -1 | " + st.name + " ssh-key add - --name laptop",
		Args:    args(1, 1, "FILE"),
	}
	cmd.Flags().StringVar(&name, "name", "", "`NAME` of the key [its comment]")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		var text string
		var err error
		if args[0] == "-" {
			text, err = readLimited(st.in)
		} else {
			text, err = readSmallFile(args[0])
		}
		if err != nil {
			return fail(exitFile, fmt.Errorf("read the key: %w", err))
		}
		c, err := client()
		if err != nil {
			return err
		}
		k, err := c.AddSSHKey(cmd.Context(), api.SSHKeyRequest{Name: name, Key: text})
		if err != nil {
			return &failure{code: exitCode(err), err: fmt.Errorf("add the key: %w", err), hint: "'" + st.name + " ssh-key list' shows the keys"}
		}
		if *out != asTable {
			return out.encode(st.out, k)
		}
		fmt.Fprintf(st.out, "Added %s, %s\n", k.Name, k.Fingerprint)
		return nil
	}
	return cmd
}

func newSSHKeyList(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the public keys that open the SSH port",
		Example: st.name + " ssh-key list",
		Args:    args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		keys, err := c.SSHKeys(cmd.Context())
		if err != nil {
			return err
		}
		if *out != asTable {
			return out.encode(st.out, keys)
		}
		if len(keys) == 0 {
			st.note("No keys yet: '%s ssh-key add FILE' adds one.", st.name)
			return nil
		}
		var t table
		t.row(field{"Name", bold}, field{"User", bold}, field{"Type", bold}, field{"Fingerprint", bold}, field{"Added", bold})
		for _, k := range keys {
			t.row(k.Name, k.User, k.Type, k.Fingerprint, k.CreatedAt.Local().Format("2006-01-02 15:04"))
		}
		t.write(st.out)
		return nil
	}
	return cmd
}

func newSSHKeyRemove(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "remove NAME",
		Aliases: []string{"rm"},
		Short:   "Remove a public key, and end what it has open",
		Example: st.name + " ssh-key remove ann@laptop",
		Args:    args(1, 1, "NAME"),
	}
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		if err := c.RemoveSSHKey(cmd.Context(), args[0]); err != nil {
			return &failure{code: exitCode(err), err: fmt.Errorf("remove the key: %w", err), hint: "'" + st.name + " ssh-key list' shows the keys"}
		}
		fmt.Fprintf(st.out, "Removed %s\n", args[0])
		return nil
	}
	return cmd
}
