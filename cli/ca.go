package cli

import (
	"errors"
	"fmt"

	"github.com/spf13/cobra"
)

func newCA(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "ca",
		GroupID: groupTarget,
		Short:   "Print the certificate to trust for https to apps",
		Long: `Print the certificate of the CA that signs for the apps' hosts under the domain.

Who trusts it can open https://APP.DOMAIN without a warning. It is made for that
alone: it can't sign for any host outside of the domain, nor for the API.`,
		Example: st.name + " ca > apps.crt\n" +
			"curl --cacert apps.crt https://hello.lattice.localhost\n" +
			st.name + " ca | sudo tee /usr/local/share/ca-certificates/lattice-apps.crt && sudo update-ca-certificates",
		Args: args(0, 0, ""),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		c, err := client()
		if err != nil {
			return err
		}
		info, err := c.Info(cmd.Context())
		if err != nil {
			return fmt.Errorf("ask the brain: %w", err)
		}
		if info.AppsCA == "" {
			return errors.New("the brain has no CA for apps: it is older than this client")
		}
		if *out != asTable {
			return out.encode(st.out, struct {
				Domain   string `json:"domain"`
				HTTPSURL string `json:"https_url"` // empty: there is no HTTPS
				AppsCA   string `json:"apps_ca"`
			}{info.Domain, info.HTTPSURL, info.AppsCA})
		}
		fmt.Fprint(st.out, info.AppsCA)
		if info.HTTPSURL == "" {
			st.note("The router has no port for HTTPS: start the brain with --https.")
		}
		return nil
	}
	return cmd
}
