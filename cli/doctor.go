package cli

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"lattice/api"
	"lattice/app"
	"lattice/internal/doctor"
)

func newDoctor(st *streams) *cobra.Command {
	var host bool
	var h hostFlags
	cmd := &cobra.Command{
		Use:     "doctor",
		GroupID: groupHelp,
		Short:   "Find out what is wrong with the cluster or with this machine",
		Long: `Look at the cluster that you target: its certificates, versions, clocks, disks,
cells, apps and router; or with --host, or when there is no target, at this
machine: its kernel and what a cell needs of it, ports, disk, memory, clock,
names, and what a lattice that ended left behind. Each thing that is wrong comes
with what mends it. What can't be looked at is called unknown.

The exit code is 1 when something is broken; warnings don't count.`,
		Example: st.name + " doctor\n" + "sudo lattice doctor --host\n" + st.name + " doctor -o json",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().BoolVar(&host, "host", false, "look at this machine, not at the cluster")
	h.register(cmd)
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		fs, err := findings(cmd.Context(), st, host, h)
		if err != nil {
			return fmt.Errorf("doctor: %w", err)
		}
		if *out != asTable {
			if err := out.encode(st.out, fs); err != nil {
				return err
			}
		} else {
			writeFindings(st.out, fs)
		}
		if n := counted(fs, app.FindingBroken); n > 0 {
			return &failure{code: exitFailed, err: fmt.Errorf("%d of %d checks say that something is broken", n, len(fs)), hint: "each has what mends it after the arrow"}
		}
		return nil
	}
	return cmd
}

// findings looks at the machine or at the cluster.
func findings(ctx context.Context, st *streams, host bool, h hostFlags) ([]app.Finding, error) {
	t, err := currentTarget()
	if !host && errors.Is(err, errNoTarget) {
		st.note("No target is set, so this is about this machine.")
		host = true
	}
	if host {
		cfg, err := h.config()
		if err != nil {
			return nil, err
		}
		return doctor.Host(ctx, cfg), nil
	}
	if err != nil {
		return nil, err
	}
	b, err := dial(t)
	if err != nil {
		return nil, err
	}
	return examine(ctx, st.name, b)
}

// examine looks at a cluster. It is an error only if the brain can't be asked.
func examine(ctx context.Context, program string, b *api.Client) ([]app.Finding, error) {
	info, err := b.Info(ctx)
	if err != nil {
		return nil, err
	}
	fs := []app.Finding{{Check: "brain", State: app.FindingOK, Says: "lattice " + info.Version + " answers, and is who it shall be"}}
	fs = append(fs, reachable(ctx, info.RouterURL))
	own, err := b.Diagnose(ctx)
	if err != nil {
		fs = append(fs, app.Finding{Check: "brain's host", State: app.FindingUnknown, Says: fmt.Sprintf("the brain could not look at itself: %v", err)})
	}
	fs = append(fs, own...)
	f := doctor.ClusterFacts{Program: program, Now: time.Now(), Client: currentVersion(), Brain: info.Version}
	cells, err := b.Cells(ctx)
	if err != nil {
		return nil, err
	}
	for _, c := range cells {
		f.Cells = append(f.Cells, c.Cell)
	}
	strays, err := b.Strays(ctx)
	if err != nil {
		return nil, err
	}
	f.Strays = len(strays)
	if f.Apps, err = b.Apps(ctx); err != nil {
		return nil, err
	}
	err = b.Events(ctx, app.EventQuery{Kind: app.EventsLost, Lines: allLines}, false, func(e app.Event) error {
		f.Events = append(f.Events, e)
		return nil
	})
	return append(fs, doctor.Cluster(f)...), err
}

// reachable asks the router from here. Any answer is good.
func reachable(ctx context.Context, url string) app.Finding {
	f := app.Finding{Check: "router from here", State: app.FindingWarning, Mend: "let the domain's names lead to the router, in DNS or /etc/hosts, and its port through the firewalls"}
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		f.Says = err.Error()
		return f
	}
	local := strings.HasSuffix(req.URL.Hostname(), ".localhost")
	way := &http.Transport{Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true}
	if local {
		way.Proxy, way.DialContext = nil, dialSelf
	}
	resp, err := (&http.Client{Transport: way}).Do(req)
	switch {
	case err != nil && local:
		return app.Finding{Check: f.Check, State: app.FindingUnknown, Says: url + " leads to the machine itself that asks, and no router is on this one"}
	case err != nil:
		f.Says = fmt.Sprintf("%s can't be reached from this machine: %v", url, errors.Unwrap(err))
		return f
	}
	resp.Body.Close()
	return app.Finding{Check: f.Check, State: app.FindingOK, Says: url + " answers"}
}

// dialSelf connects to this machine, as curl and browsers do for names below
// localhost, for which they ask nobody.
func dialSelf(ctx context.Context, network, addr string) (net.Conn, error) {
	_, port, err := net.SplitHostPort(addr)
	if err != nil {
		return nil, err
	}
	return (&net.Dialer{}).DialContext(ctx, network, net.JoinHostPort("127.0.0.1", port))
}

func counted(fs []app.Finding, state app.FindingState) (n int) {
	for _, f := range fs {
		if f.State == state {
			n++
		}
	}
	return n
}

// writeFindings prints findings, the worst last, where people look first.
func writeFindings(w *screen, fs []app.Finding) {
	order := []app.FindingState{app.FindingOK, app.FindingUnknown, app.FindingWarning, app.FindingBroken}
	rank := func(f app.Finding) int { return slices.Index(order, f.State) }
	fs = slices.Clone(fs)
	slices.SortStableFunc(fs, func(a, b app.Finding) int { return cmp.Compare(rank(a), rank(b)) })
	marks := map[app.FindingState]field{
		app.FindingOK: {"✓", green}, app.FindingUnknown: {"?", cyan}, app.FindingWarning: {"!", yellow}, app.FindingBroken: {"✗", red},
	}
	for _, f := range fs {
		m := marks[f.State]
		fmt.Fprintf(w, "%s %s: %s\n", w.paint(m.as, m.text), w.paint(bold, f.Check), w.clean(f.Says))
		if f.Mend != "" {
			fmt.Fprintf(w, "    → %s\n", f.Mend)
		}
	}
	fmt.Fprintf(w, "\n%d ok, %d unknown, %d warnings, %d broken\n",
		counted(fs, app.FindingOK), counted(fs, app.FindingUnknown), counted(fs, app.FindingWarning), counted(fs, app.FindingBroken))
}
