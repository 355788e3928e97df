package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"lattice/app"
)

func newRoutes(st *streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:     "routes [APP]",
		GroupID: groupSee,
		Short:   "List the routes and the instances they lead to now",
		Long: `List the routes as the brain's router has them now, of one app or of all, and the
healthy instances behind each: where the router connects to, how many requests and
connections they have, and which of them it passes over because it can't reach them.
What the routers of cells lead there is counted, too.`,
		Example: st.name + " routes\n" + st.name + " routes web\n" + st.name + " routes -o json",
		Args:    args(0, 1, "APP"),
	}
	out := formatFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		b, err := client()
		if err != nil {
			return err
		}
		routes, err := b.Routes(cmd.Context())
		if err != nil {
			return fmt.Errorf("list the routes: %w", err)
		}
		if len(args) > 0 {
			if _, err := b.App(cmd.Context(), args[0]); err != nil {
				return fmt.Errorf("list the routes: %w", err)
			}
			routes = slices.DeleteFunc(routes, func(r app.RouteStatus) bool { return !slices.Contains(r.Apps, args[0]) })
		}
		return list(st, *out, routes, routeName, routesTable, "No routes.")
	}
	return cmd
}

func routeName(r app.RouteStatus) string {
	if r.External != 0 {
		return strings.TrimSpace("tcp :" + strconv.Itoa(r.External) + " " + r.Host)
	}
	return r.Host + r.Path
}

func routesTable(routes []app.RouteStatus) *table {
	var t table
	t.head("Route", "App", "Port", "Instance", "Address", "State", "In flight", "Options", "Traffic")
	for _, r := range routes {
		options, traffic := strings.Join(r.Options, ", "), tcpTraffic(r.Connections)
		if len(r.Backends) == 0 || r.Problem != "" {
			why := cmp.Or(r.Problem, "no healthy instance")
			t.row(field{routeName(r), bold}, strings.Join(r.Apps, ", "), "-", "-", "-", field{why, red}, "-", options, traffic)
		}
		for i, b := range r.Backends {
			name := field{routeName(r), bold}
			if i > 0 || r.Problem != "" {
				name, options, traffic = field{}, "", ""
			}
			t.row(name, b.App, b.Port, strconv.Itoa(b.Index), b.Address, backendState(b), b.InFlight, options, traffic)
		}
	}
	return &t
}

func backendState(b app.BackendStatus) field {
	switch {
	case b.Ejected:
		return field{"ejected", yellow}
	case len(b.EjectedBy) > 0:
		return field{"ejected by " + strings.Join(b.EjectedBy, ", "), yellow}
	}
	return field{"healthy", green}
}

// tcpTraffic says what went through a TCP route; "" of nil.
func tcpTraffic(c *app.TCPCounts) string {
	if c == nil {
		return ""
	}
	text := fmt.Sprintf("%d open, %d in all", c.Open, c.Total)
	if c.Failed > 0 {
		text += fmt.Sprintf(", %d failed", c.Failed)
	}
	return text + ", " + sizeText(int64(c.Received)) + " in, " + sizeText(int64(c.Sent)) + " out"
}
