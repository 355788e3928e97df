package node

import (
	"context"
	"crypto/tls"
	"encoding/hex"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/cluster"
	"lattice/events"
	"lattice/images"
	"lattice/internal/config"
	"lattice/internal/pki"
	"lattice/internal/run"
	"lattice/internal/systemd"
	"lattice/logs"
	"lattice/router"
	"lattice/scheduler"
	"lattice/sessions"
	"lattice/store"
	"lattice/web"
)

// brain is the brain half of a process.
type brain struct {
	front

	cfg     config.BrainConfig
	version string
	log     *slog.Logger

	ca      *pki.CA
	appsCA  *pki.AppsCA
	secrets *pki.Secrets
	users   *pki.Users
	store   *store.Store
	sched   *scheduler.Scheduler
	hub     *logs.Hub
	journal *events.Journal
	routers *routers // on cells
	members *cluster.Cluster

	registries *images.Settings
	registry   *images.Registry

	crowd     Crowd  // nil: none
	presence  signal // somebody came, went, or was put out
	confirmed confirmations

	broker *sessions.Broker
	ssh    *sshPort // nil: none

	history *history

	sockets *systemd.Sockets
	apiLn   net.Listener
}

// openBrain opens files and binds ports, so that what can fail fails at once.
func openBrain(cfg config.BrainConfig, localCell, version string, log *slog.Logger) (_ *brain, err error) {
	b := &brain{front: newFront(cfg.Router, localCell, log), cfg: cfg, version: version, log: log}
	defer func() {
		if err != nil {
			b.close()
		}
	}()
	dir := filepath.Join(cfg.DataDir, "brain")
	if b.ca, err = pki.OpenCA(dir); err != nil {
		return nil, err
	}
	if b.appsCA, err = pki.OpenAppsCA(dir, cfg.Domain); err != nil {
		return nil, err
	}
	if b.secrets, err = pki.OpenSecrets(dir); err != nil {
		return nil, err
	}
	if b.users, err = pki.OpenUsers(dir); err != nil {
		return nil, err
	}
	if b.store, err = store.Open(filepath.Join(dir, "brain.db")); err != nil {
		return nil, err
	}
	if b.journal, err = events.Open(filepath.Join(dir, "events"), events.Limits{}, log.With("part", "events")); err != nil {
		return nil, err
	}
	if b.sockets, err = systemd.Inherit(); err != nil {
		return nil, err
	}
	if b.apiLn, err = b.sockets.Listen("api", cfg.API); err != nil {
		return nil, fmt.Errorf("the API can't listen on %s: %w", cfg.API, err)
	}
	if err := b.listen(b.sockets); err != nil {
		return nil, err
	}
	if err := b.listenSSH(dir); err != nil {
		return nil, err
	}
	if err := b.sockets.Release(); err != nil {
		return nil, err
	}
	b.sched, err = scheduler.New(scheduler.Config{
		Store: b.store, Members: b.cells, Domain: cfg.Domain, Grace: away, Log: log.With("part", "scheduler"),
		Rebalance:    cfg.Rebalance,
		Choose:       scheduler.Options{Pack: cfg.Pack, MaxStarts: cfg.MaxStarts, MaxStartsPerCell: cfg.MaxStartsPerCell},
		Open:         b.openRequests,
		FirstTCPPort: cfg.Router.FirstTCPPort, LastTCPPort: cfg.Router.LastTCPPort, Reserved: b.reserved,
		Emit: b.journal.Emit,
		Gone: func(task string) { b.hub.Forget(task) },
	})
	if err != nil {
		return nil, err
	}
	b.broker = sessions.New(sessions.Config{
		Cells: b.sched.Cells, Changed: b.sched.Changed, Emit: b.journal.Emit, Log: log.With("part", "sessions"),
	})
	if err = b.openRegistry(); err != nil {
		return nil, err
	}
	b.hub = logs.New()
	b.unreachable = b.tellUnreachable
	if err = b.front.open(dir, b.appsCA.Certificate, b.hub); err != nil {
		return nil, err
	}
	b.routers = newRouters()
	b.history = newHistory(b.sched.Statuses, b.totals)
	return b, nil
}

// close lets go of everything; parts that run must have ended.
func (b *brain) close() {
	b.front.close()
	if b.apiLn != nil {
		b.apiLn.Close() // closed already if its server ran
	}
	if b.ssh != nil && b.ssh.ln != nil {
		b.ssh.ln.Close() // likewise
	}
	if b.store != nil {
		if err := b.store.Close(); err != nil {
			b.log.Error("store not closed", "err", err)
		}
	}
}

// gossip opens the membership; local is the cell in this process, or nil.
func (b *brain) gossip(local *config.CellConfig) (*cluster.Cluster, error) {
	host, err := os.Hostname()
	if err != nil {
		return nil, fmt.Errorf("name of this host: %w", err)
	}
	meta := cluster.Meta{API: net.JoinHostPort(b.cfg.Advertise, port(b.apiLn)), Version: b.version}
	name := "brain-" + host
	if local != nil {
		name = local.ID
		describe(&meta, *local)
	}
	b.members, err = openGossip(b.cfg.Common, name, b.secrets.Ring().Order(), b.label(), meta, b.log)
	return b.members, err
}

// add adds the brain's parts to g, each after those it needs.
func (b *brain) add(g *run.Group, members *cluster.Cluster) {
	b.journal.Emit(app.Event{Kind: app.BrainStarted, Message: "lattice " + b.version})
	g.Add("events", b.journal.Run)
	g.Add("gossip", members.Run)
	g.Add("presence", b.keepPresence)
	g.Add("gossip keys", b.keepKeys)
	g.Add("scheduler", b.sched.Run)
	g.Add("callbacks", newCaller(b.sched, b.log.With("part", "callbacks")).Run)
	g.Add("routes", b.keepTable)
	g.Add("history", b.history.Run)
	g.Add("registry", b.registry.Run)
	g.Add("logins", b.tidyLogins)
	g.Add("api", b.serveAPI)
	g.Add("sessions", b.broker.Run)
	if b.ssh.ln != nil {
		g.Add("ssh", b.serveSSH)
	}
	g.Add("routers on cells", b.keepRouters)
	b.front.add(g, b.allCounts)
}

// keepTable brings the router's table up to date at each change.
func (b *brain) keepTable(ctx context.Context) error {
	routes := router.NewBuilder(b.cfg.Domain, b.local)
	settled, feed := false, b.sched.NewFeed()
	began, late := time.Now(), time.After(settling)
	for {
		changed := b.sched.Changed()
		heard := !settled && b.heard(time.Since(began)) // before the statuses are taken
		apps, gone := feed.Next()
		for i := range apps {
			routes.Set(&apps[i])
			b.ports.Set(&apps[i])
		}
		for _, name := range gone {
			routes.Remove(name)
			b.ports.Remove(name)
		}
		b.router.Swap(routes.Table())
		if heard {
			settled = true
			close(b.settled)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-changed:
		case <-late:
		}
	}
}

// heard reports whether the cells have told what they run, or are not worth
// waiting for any longer, so long after the start.
func (b *brain) heard(after time.Duration) bool {
	unheard := b.sched.Unheard()
	if len(unheard) == 0 || after < settling {
		return len(unheard) == 0
	}
	cells, _ := b.cells()
	return !slices.ContainsFunc(cells, func(c app.Cell) bool {
		return c.State == app.CellAlive && slices.Contains(unheard, c.ID)
	})
}

func (b *brain) serveAPI(ctx context.Context) error {
	streams, endStreams := context.WithCancel(context.Background())
	defer endStreams()
	log := b.log.With("part", "api")
	srv := &http.Server{
		Handler: api.NewServer(api.ServerConfig{
			Apps: shownApps{b.sched, b}, Cells: admitted{b.sched, b}, Tasks: loggedTasks{b.sched, b}, Volumes: b.sched, Images: stock{b}, Builds: builds{b}, Registry: b.registry, Logs: b.hub, Trust: trust{b}, Auth: auth{b.secrets}, Store: b.store, Programs: newPrograms(filepath.Join(b.cfg.DataDir, "clients")),
			Info:  api.Info{Version: b.version, Domain: b.cfg.Domain, RouterURL: b.routerURL(), HTTPSURL: b.httpsURL(), AppsCA: string(b.appsCA.PEM()), Cluster: b.store.ID(), SSH: b.ssh.info()},
			Execs: execs{b.broker, b}, SSHKeys: sshKeys{b.ssh.keys},
			Events: b.journal, Router: ingress{b}, Routers: cellRouters{b}, Doctor: patient{b}, Log: log, Done: streams,
			Users: users{b.users, b.ca}, History: b.history, Web: web.Handler(),
		}),
		TLSConfig:         b.ca.TLSConfig(serverNames(), serverIPs(b.cfg.Advertise)),
		ReadHeaderTimeout: 10 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    64 << 10,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	srv.RegisterOnShutdown(endStreams)
	return run.HTTP(tls.NewListener(run.Gathering(b.apiLn, srv), srv.TLSConfig), srv, drain)(ctx)
}

// admit lets the cell of this process in, without a token.
func (b *brain) admit(id string) (*stay, error) {
	csr, key, err := pki.NewRequest(id)
	if err != nil {
		return nil, err
	}
	cert, err := b.secrets.Admit(b.ca, id, csr, b.cfg.CertificateLife)
	if err != nil {
		return nil, err
	}
	s, hash := &stay{}, b.ca.Hash()
	return s, s.update(func(j *joined) {
		*j = joined{URL: "https://" + b.apiAddress(), CAHash: hex.EncodeToString(hash[:]), Cell: id, Certificate: string(cert), Key: string(key), Membership: api.Membership{CA: string(b.ca.PEM())}}
	})
}

// waitForCell waits until the cell is there and may be given work.
func (b *brain) waitForCell(ctx context.Context, id string) bool {
	for {
		changed := b.sched.Changed()
		for _, c := range b.sched.Cells() {
			if c.ID == id && c.State == app.CellAlive {
				return true
			}
		}
		select {
		case <-ctx.Done():
			return false
		case <-changed:
		}
	}
}

func (b *brain) apiAddress() string {
	host, _, _ := net.SplitHostPort(b.apiLn.Addr().String())
	if ip := net.ParseIP(host); ip == nil || ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	return net.JoinHostPort(host, port(b.apiLn))
}

// routerURL returns the URL of the domain.
func (b *brain) routerURL() string {
	if p := port(b.httpLn); p != "80" {
		return "http://" + b.cfg.Domain + ":" + p
	}
	return "http://" + b.cfg.Domain
}

func (b *brain) ready() Ready {
	return Ready{
		Roles: "brain", API: "https://" + b.apiAddress(), CA: string(b.ca.PEM()),
		Token:  string(b.secrets.Admin()),
		Domain: b.cfg.Domain, RouterURL: b.routerURL(), Note: b.note,
		Address: joinAddress(b.cfg.Advertise, port(b.apiLn)), DataDir: b.cfg.DataDir,
	}
}

// joinAddress leaves the API's usual port out.
func joinAddress(host, port string) string {
	if port == "7443" {
		return host
	}
	return net.JoinHostPort(host, port)
}

// serverNames and serverIPs are what a browser may call the API by; our own
// clients go by pki.ServerName.
func serverNames() []string {
	names := []string{"localhost"}
	if host, err := os.Hostname(); err == nil {
		names = append(names, strings.ToLower(host))
	}
	return names
}

func serverIPs(advertise string) []net.IP {
	ips := []net.IP{net.IPv4(127, 0, 0, 1), net.IPv6loopback}
	if ip := net.ParseIP(advertise); ip != nil {
		ips = append(ips, ip)
	}
	return ips
}
