package cli

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"lattice/app"
)

// maxPassword bounds what is read from standard input, in bytes.
const maxPassword = 4 << 10

func newRegistry(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "registry",
		GroupID: groupImages,
		Short:   "Tell the cluster of registries, and which images may run",
		Long: `Tell the cluster of registries, and which images may run.

The brain pulls for all cells, so no file is edited on any of them. Passwords are
kept encrypted, and never shown.`,
		Example: "pass show hub | " + st.name + " registry add docker.io --username me --password-stdin\n" +
			st.name + " registry add registry.lan:5000 --ca ca.pem\n" +
			st.name + " registry allow 'registry.lan:5000/**' 'cluster/**'",
		Args: onlyCommands,
		RunE: func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	cmd.AddCommand(newRegistryAdd(st, "add", "Tell the cluster how to reach a registry"),
		newRegistryAdd(st, "login", "Tell the cluster who it is at a registry"),
		newRegistryList(st), newRegistryRemove(st), newRegistryAllow(st), newRegistryDisallow(st), newRegistryAllowed(st))
	return cmd
}

// registryFlags is what 'registry add' is told.
type registryFlags struct {
	app.Registry
	ca             string // a file
	stdin, noCheck bool
}

func newRegistryAdd(st *streams, verb, short string) *cobra.Command {
	var f registryFlags
	cmd := &cobra.Command{
		Use:   verb + " HOST",
		Short: short,
		Long: short + `.

HOST is written as it starts the names of images, docker.io being Docker's own.
The registry is greeted first, unless --no-check says otherwise. Of a registry that
is known already, what no flag is given for stays as it is, and an empty value
takes it away. A password stays as long as it is for the same user and mirror.`,
		Example: "pass show hub | " + st.name + " registry " + verb + " docker.io --username me --password-stdin",
		Args:    args(1, 1, "HOST"),
	}
	fl := cmd.Flags()
	fl.StringVarP(&f.Username, "username", "u", "", "log in as `NAME`")
	fl.BoolVar(&f.stdin, "password-stdin", false, "read the password from standard input instead of asking")
	fl.BoolVar(&f.Insecure, "insecure", false, "don't look at whose certificate it shows")
	fl.BoolVar(&f.PlainHTTP, "plain-http", false, "speak to it without TLS")
	fl.StringVar(&f.ca, "ca", "", "`FILE` with the certificates that sign its own, in PEM")
	fl.StringVar(&f.Mirror, "mirror", "", "ask `URL` first, the registry itself for what that can't give; user and password are for the mirror then")
	fl.BoolVar(&f.noCheck, "no-check", false, "don't greet it first")
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if verb == "login" && f.Username == "" {
			return usage(cmd, "login needs --username")
		}
		f.Host = args[0]
		if err := f.read(st); err != nil {
			return err
		}
		c, err := client()
		if err != nil {
			return err
		}
		known, err := c.Registries(cmd.Context())
		if err != nil {
			return fmt.Errorf("see what is known of %s: %w", f.Host, err)
		}
		r := f.Registry
		if i := slices.IndexFunc(known, func(k app.Registry) bool { return k.Host == app.RegistryHost(r.Host) }); i >= 0 {
			r = changed(known[i], r, fl.Changed)
		}
		if err := c.PutRegistry(cmd.Context(), r, !f.noCheck); err != nil {
			return fmt.Errorf("add the registry: %w", err)
		}
		st.note("The cluster knows %s. Next: %s create APP %s/IMAGE", r.Host, st.name, r.Host)
		return nil
	}
	return cmd
}

// read checks what was given, and brings what isn't on the command line.
func (f *registryFlags) read(st *streams) (err error) {
	if err := f.Validate(); err != nil {
		return asSyntax(err)
	}
	if f.ca != "" {
		pem, err := os.ReadFile(f.ca)
		if err != nil {
			return fail(exitFile, fmt.Errorf("read the CA of %s: %w", f.Host, err))
		}
		f.CA = string(pem)
	}
	if f.Username != "" {
		f.Password, err = st.password(fmt.Sprintf("Password of %s at %s: ", f.Username, f.Host), f.stdin)
	}
	return err
}

// changed returns a registry that is known with what was given of it.
func changed(known, given app.Registry, has func(flag string) bool) app.Registry {
	r := known
	if has("username") {
		r.Username, r.Password = given.Username, given.Password
	}
	if has("insecure") || has("plain-http") || has("ca") { // one way to reach it, not a bit of two
		r.Insecure, r.PlainHTTP, r.CA = given.Insecure, given.PlainHTTP, given.CA
	}
	if has("mirror") {
		r.Mirror = given.Mirror
	}
	return r
}

// password asks for a password, or reads it from standard input.
func (st *streams) password(prompt string, stdin bool) (string, error) {
	if !stdin {
		return st.askSecret(prompt)
	}
	b, err := io.ReadAll(io.LimitReader(st.in, maxPassword))
	if err != nil {
		return "", fail(exitFile, fmt.Errorf("read the password: %w", err))
	}
	password := strings.TrimRight(string(b), "\r\n")
	if password == "" {
		return "", fail(exitSyntax, errors.New("there is no password on standard input"))
	}
	return password, nil
}

func newRegistryList(st *streams) *cobra.Command {
	cmd := &cobra.Command{Use: "list", Aliases: []string{"ls"}, Short: "List the registries that the cluster knows", Example: st.name + " registry list --output json", Args: args(0, 0, "")}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		all, err := c.Registries(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the registries: %w", err)
		}
		if *out != asTable {
			return out.encode(st.out, all)
		}
		if len(all) == 0 {
			st.note("No registries. Public images need none; '%s registry add HOST' adds one.", st.name)
			return nil
		}
		var t table
		t.head("Registry", "User", "Reached", "Mirror")
		for _, r := range all {
			t.row(field{r.Host, bold}, dash(r.Username), reached(r), dash(r.Mirror))
		}
		t.write(st.out)
		return nil
	}
	return cmd
}

// reached says how a registry's identity is known.
func reached(r app.Registry) field {
	switch {
	case r.PlainHTTP:
		return field{"plain HTTP", yellow}
	case r.Insecure:
		return field{"TLS, any certificate", yellow}
	case r.CA != "":
		return field{"TLS, own CA", plain}
	}
	return field{"TLS", plain}
}

func newRegistryRemove(st *streams) *cobra.Command {
	return &cobra.Command{
		Use: "remove HOST", Aliases: []string{"rm"}, Short: "Make the cluster forget a registry", Example: st.name + " registry remove registry.lan:5000", Args: args(1, 1, "HOST"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client()
			if err != nil {
				return err
			}
			if err := c.RemoveRegistry(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("remove the registry: %w", err)
			}
			st.note("The cluster has forgotten %s. Images that came from it stay until they are pruned.", args[0])
			return nil
		},
	}
}

// allowing is a command that changes which images may run.
func allowing(st *streams, use, short string, change func(now, given []string) []string) *cobra.Command {
	return &cobra.Command{
		Use:   use + " PATTERN…",
		Short: short,
		Long: short + `.

In a pattern * stands for anything but a slash, ** at the end for anything. Once
there is a pattern, only images that match one may run; bundled ones always may.
What runs already goes on.`,
		Example: st.name + " registry " + use + " 'registry.lan:5000/team/*' 'cluster/**'",
		Args:    args(1, -1, "PATTERN"),
		RunE: func(cmd *cobra.Command, args []string) error {
			c, err := client()
			if err != nil {
				return err
			}
			now, err := c.AllowedImages(cmd.Context())
			if err == nil {
				now = change(now, args)
				err = c.AllowImages(cmd.Context(), now)
			}
			if err != nil {
				return fmt.Errorf("change which images may run: %w", err)
			}
			if len(now) == 0 {
				st.note("All images may run.")
				return nil
			}
			st.note("Only these may run: %s", strings.Join(now, " "))
			return nil
		},
	}
}

func newRegistryAllow(st *streams) *cobra.Command {
	return allowing(st, "allow", "Let images run that match a pattern, and no others", func(now, given []string) []string {
		all := slices.Concat(now, given)
		slices.Sort(all)
		return slices.Compact(all)
	})
}

func newRegistryDisallow(st *streams) *cobra.Command {
	return allowing(st, "disallow", "Take a pattern back", func(now, given []string) []string {
		return slices.DeleteFunc(now, func(p string) bool { return slices.Contains(given, p) })
	})
}

func newRegistryAllowed(st *streams) *cobra.Command {
	cmd := &cobra.Command{Use: "allowed", Short: "List which images may run", Example: st.name + " registry allowed", Args: args(0, 0, "")}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		all, err := c.AllowedImages(cmd.Context())
		switch {
		case err != nil:
			return fmt.Errorf("list which images may run: %w", err)
		case *out != asTable:
			return out.encode(st.out, all)
		case len(all) == 0:
			st.note("All images may run.")
		}
		for _, p := range all {
			fmt.Fprintln(st.out, p)
		}
		return nil
	}
	return cmd
}
