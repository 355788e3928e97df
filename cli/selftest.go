package cli

import (
	"cmp"
	"context"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/internal/selftest"
)

func newTest(st *streams) *cobra.Command {
	timeout := 5 * time.Minute
	router := ""
	cmd := &cobra.Command{
		Use:     "test",
		Aliases: []string{"te"},
		GroupID: groupHelp,
		Short:   "Try out whether the cluster does what it promises",
		Long: "Try out whether the cluster does what it promises: with an app of its own, which is removed afterwards.\n" +
			"It takes half a minute, no internet, and room for four instances of 64 MiB.",
		Example: st.name + " test\n" + st.name + " test --timeout 1m",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().DurationVarP(&timeout, "timeout", "t", timeout, "give up after `DURATION`")
	cmd.Flags().StringVar(&router, "router", "", "`HOST:PORT` of the router to ask; empty: the brain's")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if timeout <= 0 {
			return usage(cmd, "--timeout %v: must be more than 0", timeout)
		}
		t, err := currentTarget()
		if err != nil {
			return err
		}
		b, err := dial(t)
		if err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), timeout)
		defer cancel()
		info, err := b.Info(ctx)
		if err != nil {
			return fmt.Errorf("test: %w", err)
		}
		return st.selfTest(ctx, b, info, cmp.Or(router, routerAddress(t.URL, info.RouterURL)))
	}
	return cmd
}

// routerAddress returns where the router is: on the host of the API, at the
// port of the cluster's URL.
func routerAddress(apiURL, routerURL string) string {
	a, err := url.Parse(apiURL)
	if err != nil {
		return ""
	}
	r, err := url.Parse(routerURL)
	if err != nil {
		return ""
	}
	return net.JoinHostPort(a.Hostname(), cmp.Or(r.Port(), "80"))
}

func (st *streams) selfTest(ctx context.Context, b *api.Client, info api.Info, router string) error {
	passed, began := 0, time.Now()
	failed, err := selftest.Run(ctx, selftest.Config{
		Brain: b, Router: router, Domain: info.Domain,
		Each: func(name string, took time.Duration, err error) {
			mark, why := field{"ok", green}, ""
			if err == nil {
				passed++
			} else {
				mark, why = field{"FAILED", red}, ": "+err.Error()
			}
			fmt.Fprintf(st.out, "%s  %s (%.1f s)%s\n", st.out.paint(mark.as, fmt.Sprintf("%-6s", mark.text)), name, took.Seconds(), st.out.clean(why))
		},
	})
	switch {
	case err != nil:
		return fmt.Errorf("test: %w", err)
	case failed > 0:
		return &failure{code: exitFailed, err: fmt.Errorf("test: %d failed, %d passed", failed, passed), hint: "look for the cause with: " + st.name + " doctor"}
	}
	fmt.Fprintf(st.out, "%s in %.0f s\n", st.out.paint(green, fmt.Sprintf("All %d passed", passed)), time.Since(began).Seconds())
	return nil
}
