package cli

import (
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"lattice/api"
	"lattice/app"
)

func newUser(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "user",
		GroupID: groupTarget,
		Short:   "Add, list and remove those who may use the brain",
		Long: `Add, list and remove those who may use the brain, beside who has the admin token.

An admin may do everything. A viewer may look at everything that is no secret, and
change nothing. Each has a token, for 'target' and the dashboard; a password is for
the dashboard only.`,
		Example: st.name + " user add ann --role viewer\n" +
			st.name + " user list\n" +
			st.name + " user passwd ann\n" +
			st.name + " user remove ann",
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newUserAdd(st), newUserList(st), newUserPasswd(st), newUserToken(st), newUserRemove(st))
	return cmd
}

func newUserAdd(st *streams) *cobra.Command {
	var role string
	var stdin bool
	cmd := &cobra.Command{
		Use:   "add NAME",
		Short: "Add a user and print its token",
		Long: `Add a user and print its token, this once: the brain keeps only a hash of it.

With --password-stdin the user can log in to the dashboard with its name, too.`,
		Example: st.name + " user add ann --role viewer > ann-token\n" +
			"pass show lattice | " + st.name + " user add bob --role admin --password-stdin",
		Args: args(1, 1, "NAME"),
	}
	cmd.Flags().StringVar(&role, "role", "viewer", "`ROLE`: admin, or viewer, who can change nothing")
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read a password from standard input (default: none, the token only)")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		password, err := passwordFrom(st, stdin)
		if err != nil {
			return err
		}
		u, err := c.AddUser(cmd.Context(), api.UserRequest{Name: args[0], Role: role, Password: password})
		if err != nil {
			return fmt.Errorf("add the user %s: %w", args[0], err)
		}
		return showUserToken(st, *out, u)
	}
	return cmd
}

// showUserToken prints a fresh token.
func showUserToken(st *streams, as format, u api.NewUser) error {
	if as != asTable {
		return as.encode(st.out, u)
	}
	fmt.Fprintln(st.out, u.Token)
	st.note("%s is %s and uses it so: %s target URL --token-file FILE", u.Name, withArticle(u.Role), st.name)
	return nil
}

func withArticle(role string) string {
	if role == "admin" {
		return "an admin"
	}
	return "a " + role
}

// passwordFrom reads a password from standard input if it is wanted.
func passwordFrom(st *streams, wanted bool) (string, error) {
	if !wanted {
		return "", nil
	}
	text, err := readLimited(st.in)
	text = strings.TrimRight(text, "\r\n")
	if err == nil && text == "" {
		err = errors.New("standard input is empty")
	}
	if err != nil {
		return "", fail(exitFile, fmt.Errorf("read the password: %w", err))
	}
	return text, nil
}

func newUserList(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "list",
		Aliases: []string{"ls"},
		Short:   "List the users",
		Example: st.name + " user list",
		Args:    args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		users, err := c.Users(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the users: %w", err)
		}
		if *out != asTable {
			return out.encode(st.out, append([]api.UserStatus{}, users...))
		}
		if len(users) == 0 {
			st.note("No users but who has the admin token. Add one: %s user add NAME", st.name)
			return nil
		}
		var t table
		t.head("Name", "Role", "Logs in by", "Created")
		for _, u := range users {
			by := "token"
			if u.Password {
				by = "token, password"
			}
			t.row(field{u.Name, bold}, u.Role, by, localTime(u.CreatedAt))
		}
		t.write(st.out)
		return nil
	}
	return cmd
}

func newUserPasswd(st *streams) *cobra.Command {
	var stdin bool
	cmd := &cobra.Command{
		Use:     "passwd NAME",
		Short:   "Give a user another password; what it has open is closed",
		Example: st.name + " user passwd ann",
		Args:    args(1, 1, "NAME"),
	}
	cmd.Flags().BoolVar(&stdin, "password-stdin", false, "read it from standard input instead of asking")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		password, err := passwordFrom(st, stdin)
		if !stdin {
			password, err = askPassword(st)
		}
		if err != nil {
			return err
		}
		if _, err := c.ChangeUser(cmd.Context(), args[0], api.UserChange{Password: password}); err != nil {
			return userFailure(st, err)
		}
		fmt.Fprintf(st.out, "Password of %s changed.\n", args[0])
		return nil
	}
	return cmd
}

// askPassword lets the user type a password unseen, twice.
func askPassword(st *streams) (string, error) {
	first, err := st.askSecret("Password: ")
	if err != nil {
		return "", err
	}
	again, err := st.askSecret("Again: ")
	if err == nil && first != again {
		err = fail(exitSyntax, errors.New("the two passwords differ"))
	}
	return first, err
}

// askSecret lets the user type a password unseen.
func (st *streams) askSecret(prompt string) (string, error) {
	f, ok := st.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", fail(exitSyntax, errors.New("there is no terminal to type the password at: use --password-stdin"))
	}
	fmt.Fprint(st.err, prompt)
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(st.err)
	if err != nil {
		return "", fail(exitFile, fmt.Errorf("read the password: %w", err))
	}
	return string(b), nil
}

func newUserToken(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "token NAME",
		Short:   "Give a user another token and print it; the old one is useless then",
		Example: st.name + " user token ann > ann-token",
		Args:    args(1, 1, "NAME"),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		u, err := c.ChangeUser(cmd.Context(), args[0], api.UserChange{})
		if err != nil {
			return userFailure(st, err)
		}
		return showUserToken(st, *out, u)
	}
	return cmd
}

func newUserRemove(st *streams) *cobra.Command {
	return &cobra.Command{
		Use:     "remove NAME…",
		Aliases: []string{"rm"},
		Short:   "Remove users; what they have open is closed",
		Example: st.name + " user remove ann",
		Args:    args(1, -1, "the name of at least one user"),
		RunE: func(cmd *cobra.Command, names []string) error {
			c, err := client()
			if err != nil {
				return err
			}
			for _, name := range names {
				if err := c.RemoveUser(cmd.Context(), name); err != nil {
					return userFailure(st, err)
				}
				fmt.Fprintf(st.out, "User %s removed.\n", name)
			}
			return nil
		},
	}
}

func userFailure(st *streams, err error) error {
	if errors.Is(err, app.ErrNotFound) {
		return &failure{code: exitCommand, err: err, hint: "'" + st.name + " user list' shows the users"}
	}
	return err
}
