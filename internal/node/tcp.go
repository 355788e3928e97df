package node

import (
	"net"
	"strconv"

	"lattice/app"
)

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

// tcpAddresses returns where the app's TCP routes can be reached.
func (b *brain) tcpAddresses(a app.App) []app.TCPAddress {
	if len(a.TCPRoutes) == 0 {
		return nil
	}
	problems := b.ports.Problems()
	all := make([]app.TCPAddress, len(a.TCPRoutes))
	for i, r := range a.TCPRoutes {
		all[i] = app.TCPAddress{Address: net.JoinHostPort(b.cfg.Domain, strconv.Itoa(r.External)), SNI: r.SNI, Port: r.Port, Problem: problems[r.External]}
	}
	return all
}
