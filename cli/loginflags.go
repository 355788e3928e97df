package cli

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"lattice/app"
)

// loginFlags say what an image is pulled with.
type loginFlags struct {
	username string
	stdin    bool
}

func (f *loginFlags) register(cmd *cobra.Command) {
	cmd.Flags().StringVar(&f.username, "registry-username", "", "pull the image as `NAME`; for this one only, 'ltc registry login' is for all")
	cmd.Flags().BoolVar(&f.stdin, "registry-password-stdin", false, "read that user's password from standard input instead of asking")
}

// given reports whether there is a login.
func (f *loginFlags) given() bool { return f.username != "" }

func (f *loginFlags) check(cmd *cobra.Command) error {
	if f.stdin && !f.given() {
		return usage(cmd, "--registry-password-stdin needs --registry-username")
	}
	return nil
}

// with returns a context for what names the image, with the login that the flags
// ask for.
func (f *loginFlags) with(ctx context.Context, st *streams) (context.Context, error) {
	if !f.given() {
		return ctx, nil
	}
	password, err := st.password(fmt.Sprintf("Password of %s at the registry: ", f.username), f.stdin)
	if err != nil {
		return ctx, err
	}
	return app.WithLogin(ctx, app.Login{Username: f.username, Password: password}), nil
}
