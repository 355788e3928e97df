package node

import (
	"context"
	"net"
	"strconv"

	"lattice/app"
	"lattice/router"
)

// newPorts returns the TCP routes, on the address of plain HTTP.
func (b *brain) newPorts() *router.Ports {
	host, _, _ := net.SplitHostPort(b.cfg.HTTP) // it may be empty
	return router.NewPorts(router.PortsConfig{
		Host: host, Local: func(cell string) bool { return cell == b.localCell }, Log: b.log.With("part", "TCP routes"),
	})
}

// servePorts waits for the table as serveApps does.
func (b *brain) servePorts(ctx context.Context) error {
	b.waitForTable(ctx)
	return b.ports.Run(ctx)
}

// inFlight returns how many requests and connections an instance has.
func (b *brain) inFlight(instance string) int {
	return b.router.InFlight(instance) + b.ports.InFlight(instance)
}

// reserved returns what of ours has which port, for scheduler.Config.
func (b *brain) reserved() map[int]string {
	all := map[int]string{number(b.apiLn): "the API", number(b.httpLn): "the router"}
	if b.https.ln != nil {
		all[number(b.https.ln)] = "the router for HTTPS"
	}
	if b.metricsLn != nil {
		all[number(b.metricsLn)] = "the port of the router's metrics"
	}
	if b.ssh != nil && b.ssh.ln != nil {
		all[number(b.ssh.ln)] = "the SSH port"
	}
	if _, port, err := net.SplitHostPort(b.cfg.Gossip); err == nil {
		if n, err := strconv.Atoi(port); err == nil {
			all[n] = "gossip"
		}
	}
	return all
}

// ingress is api.Router: all routes, those for TCP last.
type ingress struct{ b *brain }

func (i ingress) RouteStatuses() []app.RouteStatus {
	return append(i.b.router.RouteStatuses(), i.b.ports.RouteStatuses()...)
}

// tcpAddresses returns where the app's TCP routes can be reached.
func (b *brain) tcpAddresses(a app.App) []app.TCPAddress {
	if len(a.TCPRoutes) == 0 {
		return nil
	}
	problems := b.ports.Problems()
	all := make([]app.TCPAddress, len(a.TCPRoutes))
	for i, r := range a.TCPRoutes {
		all[i] = app.TCPAddress{Address: net.JoinHostPort(b.cfg.Domain, strconv.Itoa(r.External)), Port: r.Port, Problem: problems[r.External]}
	}
	return all
}
