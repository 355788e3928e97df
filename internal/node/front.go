package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"syscall"
	"time"

	"lattice/app"
	"lattice/internal/config"
	"lattice/internal/run"
	"lattice/internal/systemd"
	"lattice/router"
	"lattice/router/certs"
)

// A front is the router of a process: what listens for the clients of apps, and
// leads them to instances. A brain has one, and a cell may.
type front struct {
	cfg  config.RouterConfig
	cell string // ID of the cell in this process; empty: none
	log  *slog.Logger

	router *router.Router
	ports  *router.Ports
	access *accessLog // nil: none
	https  secured

	httpLn, metricsLn net.Listener // metricsLn may be nil

	// unreachable is as in router.Options; nil: nobody is told.
	unreachable func(b *router.Backend, times int)

	note    string        // about the ports
	settled chan struct{} // closed when there is a table that is worth going by
}

// secured is a front's part for HTTPS.
type secured struct {
	ln    net.Listener // nil: there is none
	certs *certs.Certs
}

// newFront returns a front that has no ports yet.
func newFront(cfg config.RouterConfig, cell string, log *slog.Logger) front {
	return front{cfg: cfg, cell: cell, log: log, settled: make(chan struct{})}
}

// lines takes lines of apps' logs.
type lines interface{ Append([]app.LogLine) }

// open makes what serves the ports. dir is for accounts and certificates of ACME,
// own gives a certificate of our CA for a name.
func (f *front) open(dir string, own func(name string) (*tls.Certificate, error), to lines) error {
	if f.https.ln != nil {
		if err := f.openCertificates(dir, own); err != nil {
			return err
		}
	}
	o := router.Options{Log: f.log.With("part", "router"), Trusted: f.cfg.Trusted, ProxyProtocol: f.cfg.ProxyProtocol, OnUnreachable: f.unreachable}
	if f.https.ln != nil {
		o.HTTPSPort, o.Challenge = number(f.https.ln), f.https.certs.Challenge
	}
	if f.cfg.ErrorPages != "" {
		var err error
		if o.Pages, err = router.ReadPages(f.cfg.ErrorPages); err != nil {
			return err
		}
	}
	host, _, _ := net.SplitHostPort(f.cfg.HTTP) // it may be empty
	ports := router.PortsConfig{Host: host, Local: f.local, OnUnreachable: f.unreachable, Log: f.log.With("part", "TCP routes")}
	if f.cfg.AccessLog {
		format, err := newAccessFormat(f.cfg.AccessFormat)
		if err != nil {
			return err
		}
		f.access = newAccessLog(to, format)
		o.OnAccess, ports.OnConnection = f.access.add, f.access.add
	}
	f.router, f.ports = router.New(o), router.NewPorts(ports)
	return nil
}

// local is what router.Build asks.
func (f *front) local(cell string) bool { return cell == f.cell }

// listen binds the ports.
func (f *front) listen(sockets *systemd.Sockets) (err error) {
	if f.httpLn, f.note, err = listenHTTP(sockets, f.cfg.HTTP); err != nil {
		return err
	}
	note := ""
	if f.https.ln, note, err = f.listenHTTPS(sockets, f.cfg.HTTPS); err != nil {
		return err
	}
	if f.note != "" && note != "" {
		f.note += "\n"
	}
	f.note += note
	if f.cfg.Metrics != "" {
		if f.metricsLn, err = sockets.Listen("metrics", f.cfg.Metrics); err != nil {
			return fmt.Errorf("the router's metrics can't be on %s: %w", f.cfg.Metrics, err)
		}
	}
	return nil
}

// listenHTTP binds the router's port. When none is configured it is 80, or 8080
// where 80 is taken or not allowed; note says so.
func listenHTTP(sockets *systemd.Sockets, addr string) (ln net.Listener, note string, err error) {
	if addr != "" {
		if ln, err = sockets.Listen("http", addr); err != nil {
			return nil, "", fmt.Errorf("the router can't listen on %s: %w", addr, err)
		}
		return ln, "", nil
	}
	ln, err = sockets.Listen("http-80", ":80")
	if err == nil {
		return ln, "", nil
	}
	why := "in use"
	if errors.Is(err, syscall.EACCES) {
		why = "not allowed"
	}
	if ln, err = sockets.Listen("http-8080", ":8080"); err != nil {
		return nil, "", fmt.Errorf("port 80 is %s and the router can't listen on 8080 either: %w; choose one with --http", why, err)
	}
	return ln, "port 80 is " + why + ", so apps are on port 8080", nil
}

// add adds the front's parts to g.
func (f *front) add(g *run.Group, metrics func() map[string]app.RouterCounts) {
	if f.access != nil {
		g.Add("access log", f.access.Run)
	}
	if f.metricsLn != nil {
		g.Add("metrics", func(ctx context.Context) error { return f.serveMetrics(ctx, metrics) })
	}
	g.Add("router", f.serveHTTP)
	g.Add("TCP routes", f.servePorts)
	if f.https.ln != nil {
		g.Add("certificates", f.https.certs.Run)
		g.Add("router for https", f.serveHTTPS)
	}
}

// close lets go of the ports; parts that run must have ended.
func (f *front) close() {
	for _, ln := range []net.Listener{f.httpLn, f.https.ln, f.metricsLn} {
		if ln != nil {
			ln.Close() // closed already if its server ran
		}
	}
}

func (f *front) serveHTTP(ctx context.Context) error {
	f.waitForTable(ctx)
	return f.router.Serve(ctx, f.httpLn, drain)
}

// servePorts waits for the table as serveHTTP does.
func (f *front) servePorts(ctx context.Context) error {
	f.waitForTable(ctx)
	return f.ports.Run(ctx)
}

// waitForTable waits until the table is as it was before the brain was away:
// connections that come meanwhile are not lost, and would only get a 503 for
// what is healthy. Cells that stay away are not waited for.
func (f *front) waitForTable(ctx context.Context) {
	select {
	case <-f.settled:
	case <-time.After(longestSettling):
	case <-ctx.Done():
	}
}

func (f *front) serveMetrics(ctx context.Context, counts func() map[string]app.RouterCounts) error {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /metrics", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		_ = router.WriteMetrics(io.Writer(w), counts()) // who asked may have gone away
	})
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: 10 * time.Second}
	return run.HTTP(f.metricsLn, srv, drain)(ctx)
}

// counts returns what the router has counted.
func (f *front) counts() app.RouterCounts {
	c := f.router.Counts()
	c.TCP = f.ports.Counts()
	c.Backends = append(c.Backends, f.ports.Backends()...)
	return c
}

// inFlight returns how many requests and connections an instance has.
func (f *front) inFlight(instance string) int {
	return f.router.InFlight(instance) + f.ports.InFlight(instance)
}

// routeStatuses returns all routes, those for TCP last.
func (f *front) routeStatuses() []app.RouteStatus {
	return append(f.router.RouteStatuses(), f.ports.RouteStatuses()...)
}

func port(ln net.Listener) string {
	_, p, _ := net.SplitHostPort(ln.Addr().String())
	return p
}

func number(ln net.Listener) int {
	n, _ := strconv.Atoi(port(ln))
	return n
}
