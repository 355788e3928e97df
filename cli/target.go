package cli

import (
	"bufio"
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"strings"

	"github.com/spf13/cobra"
	"golang.org/x/term"

	"lattice/api"
)

// errNoTarget is returned when no command has yet said which brain to talk to.
var errNoTarget = errors.New("no target set")

// maxSecretFile is the most that is read of a token or certificate file.
const maxSecretFile = 1 << 20

type targetFlags struct {
	tokenFile  string
	tokenStdin bool
	caFile     string
	domain     bool
}

func newTarget(st *streams) *cobra.Command {
	var f targetFlags
	cmd := &cobra.Command{
		Use:     "target [URL]",
		Aliases: []string{"ta"},
		GroupID: groupTarget,
		Short:   "Show or set the brain to talk to",
		Long: `Show or set the brain to talk to.

The targets are kept in .lattice/config.json below $LATTICE_CLI_HOME or your home
folder. LATTICE_TARGET (a name or a URL), LATTICE_TOKEN and LATTICE_CA (a file) go
before it.`,
		Example: st.name + " target\n" +
			st.name + " target https://10.0.0.5:7443 --token-file token --ca ca.pem\n" +
			"ssh brain cat token | " + st.name + " target https://10.0.0.5:7443 --token-stdin",
		Args: args(0, 1, "one URL"),
	}
	cmd.AddCommand(targetCommands(st)...)
	f.register(cmd)
	cmd.Flags().BoolVarP(&f.domain, "domain", "d", false, "print only the domain")
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		if len(args) == 0 {
			if f.tokenFile != "" || f.tokenStdin || f.caFile != "" {
				return usage(cmd, "a token or a CA needs the URL it is for")
			}
			return showTarget(st, f.domain, *out)
		}
		if err := exclusive(cmd, "token-file", "token-stdin"); err != nil {
			return err
		}
		ts, err := loadTargets()
		if err != nil {
			return err
		}
		if _, isName := ts.Targets[args[0]]; isName {
			return usage(cmd, "%q is the name of a target: '%s use %s' chooses it", args[0], cmd.CommandPath(), args[0])
		}
		return setTarget(cmd, st, ts.Current, args[0], f, true)
	}
	return cmd
}

// register gives cmd the flags that say what a target is.
func (f *targetFlags) register(cmd *cobra.Command) {
	f.registerToken(cmd)
	cmd.Flags().StringVar(&f.caFile, "ca", "", "trust the certificates in `FILE` (PEM) instead of the system's")
}

func (f *targetFlags) registerToken(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.tokenFile, "token-file", "", "read the token from `FILE`")
	cmd.Flags().BoolVar(&f.tokenStdin, "token-stdin", false, "read the token from standard input")
}

// showTarget prints where commands go. It does not print the token.
func showTarget(st *streams, domain bool, as format) error {
	t, err := currentTarget()
	if err != nil {
		return err
	}
	if domain {
		fmt.Fprintln(st.out, t.Domain)
		return nil
	}
	if as != asTable {
		return as.encode(st.out, map[string]any{"url": t.URL, "domain": t.Domain, "token": t.Token != "", "ca": t.CA != ""})
	}
	var tab table
	tab.row("Target:", field{t.URL, bold})
	tab.row("Domain:", cmp.Or(t.Domain, "not known"))
	tab.row("Token:", map[bool]string{true: "set", false: "none"}[t.Token != ""])
	tab.row("CA:", map[bool]string{true: "pinned", false: "the system's"}[t.CA != ""])
	tab.write(st.out)
	return nil
}

// setTarget makes sure that the brain answers and saves it under name, as the
// current target if it is to be used or there is none.
func setTarget(cmd *cobra.Command, st *streams, name, address string, f targetFlags, use bool) error {
	ts, err := loadTargets()
	if err != nil {
		return err
	}
	t := target{}
	if t.URL, err = targetURL(address); err != nil {
		return err
	}
	if old := ts.Targets[name]; old.URL == t.URL {
		t = old
	}
	if f.caFile != "" {
		if t.CA, err = readCA(f.caFile); err != nil {
			return err
		}
	}
	if t.Token, err = readToken(st, f, t.Token); err != nil {
		return err
	}
	info, err := check(cmd.Context(), &t)
	if err != nil {
		return err
	}
	ts.Targets[name] = t
	if _, ok := ts.Targets[ts.Current]; use || !ok {
		ts.Current = name
	}
	if err := saveTargets(ts); err != nil {
		return err
	}
	if name == ts.Current {
		st.did(name, "Target set: %s, apps are at NAME.%s", t.URL, t.Domain)
	} else {
		st.did(name, "Target %s added: %s; '%s target use %s' chooses it", name, t.URL, st.name, name)
	}
	warnSkew(st, info.Version)
	return nil
}

// check asks t's brain who it is, and keeps its domain in t.
func check(ctx context.Context, t *target) (api.Info, error) {
	b, err := dial(*t)
	if err != nil {
		return api.Info{}, err
	}
	info, err := b.Info(ctx)
	if err != nil {
		return info, fail(exitBadTarget, fmt.Errorf("target %s: %w", t.URL, err))
	}
	t.Domain = info.Domain
	return info, nil
}

// targetURL completes what a user types as the brain's address.
func targetURL(s string) (string, error) {
	if !strings.Contains(s, "://") {
		s = "https://" + s
	}
	u, err := url.Parse(strings.TrimRight(s, "/"))
	switch {
	case err != nil || u.Hostname() == "":
		return "", fail(exitSyntax, fmt.Errorf("%q is not the URL of a brain: it looks like https://10.0.0.5:7443", s))
	case u.Scheme != "https":
		return "", fail(exitSyntax, fmt.Errorf("the URL of a brain starts with https://, not %s://: nothing else keeps the token secret", u.Scheme))
	case u.User != nil || u.RawQuery != "" || u.Fragment != "" || u.Path != "":
		return "", fail(exitSyntax, fmt.Errorf("the URL of a brain is only https://HOST:PORT; the token goes into --token-file"))
	}
	return u.String(), nil
}

// readToken returns the token that the flags or the environment name, else old,
// else what the user types.
func readToken(st *streams, f targetFlags, old string) (string, error) {
	token := cmp.Or(os.Getenv("LATTICE_TOKEN"), old)
	var err error
	switch {
	case f.tokenStdin:
		token, err = readLimited(st.in)
	case f.tokenFile != "":
		token, err = readSmallFile(f.tokenFile)
	case token == "":
		token, err = askToken(st)
	}
	if err != nil {
		return "", fail(exitFile, fmt.Errorf("read the token: %w", err))
	}
	token = strings.TrimSpace(token)
	if token == "" || strings.ContainsFunc(token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return "", &failure{code: exitBadTarget, err: errors.New("that is no token: it must be one word"), hint: "the token is in the data folder of the brain; give it with --token-file FILE"}
	}
	return token, nil
}

// askToken lets the user type the token unseen. Where nobody can, there is none.
func askToken(st *streams) (string, error) {
	f, ok := st.in.(*os.File)
	if !ok || !term.IsTerminal(int(f.Fd())) {
		return "", nil
	}
	fmt.Fprint(st.err, "Token: ")
	b, err := term.ReadPassword(int(f.Fd()))
	fmt.Fprintln(st.err)
	return string(b), err
}

// readCA returns the certificates in the file at path.
func readCA(path string) (string, error) {
	pem, err := readSmallFile(path)
	if err != nil {
		return "", fail(exitFile, fmt.Errorf("read the CA: %w", err))
	}
	if !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
		return "", fail(exitBadTarget, fmt.Errorf("%s has no certificate in PEM", path))
	}
	return pem, nil
}

func readSmallFile(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	return readLimited(f)
}

func readLimited(r io.Reader) (string, error) {
	b, err := io.ReadAll(io.LimitReader(bufio.NewReader(r), maxSecretFile+1))
	if err == nil && len(b) > maxSecretFile {
		err = fmt.Errorf("is larger than %s", sizeText(maxSecretFile))
	}
	return string(b), err
}
