package router

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"maps"
	"net"
	"slices"
	"strconv"
	"sync"
	"time"

	"lattice/app"
)

const (
	bindAgain   = 5 * time.Second // between two tries to listen on a port
	maxOpen     = 20_000          // connections of all TCP routes; more are refused
	acceptAgain = 100 * time.Millisecond
)

// PortsConfig is what Ports need.
type PortsConfig struct {
	Host  string                 // ip to listen on; empty: all
	Local func(cell string) bool // as for Build
	Log   *slog.Logger           // nil: nothing is logged

	// OnUnreachable is as in Options.
	OnUnreachable func(addr string)
}

// Ports serve TCP routes: a listener for each external port, whose connections
// are passed on to the instances of its app.
type Ports struct {
	cfg    PortsConfig
	poke   chan struct{} // the routes have changed
	dialer net.Dialer
	born   time.Time

	mu     sync.Mutex            // guards what follows
	apps   map[string][]tcpRoute // by name; only those with routes
	ports  map[int]*port         // by number; what shall be open, or is
	ends   map[endpoint]*end     // instances in routes or with connections
	open   map[*passage]bool
	turn   int
	closed bool
}

// A tcpRoute is a route with the instances behind it.
type tcpRoute struct {
	app.TCPRoute
	name     string // of the app
	backends []*Backend
}

// A port is an external one.
type port struct {
	route   tcpRoute
	ln      *net.TCPListener // nil: not bound
	problem string           // why it is not
}

// NewPorts returns Ports without routes.
func NewPorts(cfg PortsConfig) *Ports {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.OnUnreachable == nil {
		cfg.OnUnreachable = func(string) {}
	}
	if cfg.Local == nil {
		cfg.Local = func(string) bool { return false }
	}
	return &Ports{
		cfg: cfg, poke: make(chan struct{}, 1), dialer: net.Dialer{Timeout: dialTimeout}, born: time.Now(),
		apps: map[string][]tcpRoute{}, ports: map[int]*port{}, ends: map[endpoint]*end{}, open: map[*passage]bool{},
	}
}

// Set adds an app, or changes it. Behind its routes are the instances that
// Build would take. Connections to others stay until they end.
func (p *Ports) Set(s *app.Status) {
	if len(s.App.TCPRoutes) == 0 {
		p.Remove(s.App.Name)
		return
	}
	pool := candidates(s.Instances, p.cfg.Local)
	routes := make([]tcpRoute, len(s.App.TCPRoutes))
	for i, r := range s.App.TCPRoutes {
		routes[i] = tcpRoute{TCPRoute: r, name: s.App.Name}
		for c := range pool {
			if b := pool[c].backend(r.Port); b != nil {
				routes[i].backends = append(routes[i].backends, b)
			}
		}
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.apps[s.App.Name] = routes
	p.arrange()
}

// Remove takes an app out; one that isn't there is no error.
func (p *Ports) Remove(name string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.apps[name] != nil {
		delete(p.apps, name)
		p.arrange()
	}
}

// arrange makes ports and ends what the apps want. The caller holds p.mu.
func (p *Ports) arrange() {
	wanted := map[int]bool{}
	used := map[endpoint]bool{}
	for _, name := range slices.Sorted(maps.Keys(p.apps)) {
		for _, r := range p.apps[name] {
			if r.External == 0 || wanted[r.External] { // the brain lets neither happen
				continue
			}
			wanted[r.External] = true
			if p.ports[r.External] == nil {
				p.ports[r.External] = &port{}
			}
			p.ports[r.External].route = r
			for _, b := range r.backends {
				key := endpoint{b.Addr, b.Instance}
				used[key] = true
				if p.ends[key] == nil {
					p.ends[key] = &end{}
				}
			}
		}
	}
	for number, at := range p.ports {
		if !wanted[number] {
			at.close()
			delete(p.ports, number)
		}
	}
	for key, e := range p.ends {
		if e.gone = !used[key]; e.gone && e.open == 0 {
			delete(p.ends, key)
		}
	}
	select {
	case p.poke <- struct{}{}:
	default:
	}
}

func (at *port) close() {
	if at.ln != nil {
		at.ln.Close()
		at.ln = nil
	}
}

// Run listens and passes connections on until ctx is done. Then it cuts them.
func (p *Ports) Run(ctx context.Context) error {
	var work sync.WaitGroup
	tick := time.NewTicker(bindAgain)
	defer tick.Stop()
	for ctx.Err() == nil {
		p.bind(ctx, &work)
		select {
		case <-ctx.Done():
		case <-p.poke:
		case <-tick.C:
		}
	}
	p.mu.Lock()
	p.closed = true
	for _, at := range p.ports {
		at.close()
	}
	for c := range p.open {
		c.cut()
	}
	p.mu.Unlock()
	work.Wait()
	return nil
}

// bind listens on the ports that want it.
func (p *Ports) bind(ctx context.Context, work *sync.WaitGroup) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for number, at := range p.ports {
		if at.ln != nil {
			continue
		}
		ln, err := new(net.ListenConfig).Listen(ctx, "tcp", net.JoinHostPort(p.cfg.Host, strconv.Itoa(number)))
		if err != nil {
			if at.problem != err.Error() && ctx.Err() == nil {
				p.cfg.Log.Warn("a TCP route has no port: end what listens there, or give the route another port", "app", at.route.name, "port", number, "err", err)
			}
			at.problem = err.Error()
			continue
		}
		at.ln, at.problem = ln.(*net.TCPListener), ""
		work.Go(func() { p.accept(ctx, work, at, ln.(*net.TCPListener)) })
	}
}

// accept takes connections until ln is closed.
func (p *Ports) accept(ctx context.Context, work *sync.WaitGroup, at *port, ln *net.TCPListener) {
	for {
		conn, err := ln.AcceptTCP()
		if err != nil {
			p.mu.Lock()
			over := p.closed || at.ln != ln
			p.mu.Unlock()
			if over || ctx.Err() != nil {
				return
			}
			p.cfg.Log.Warn("a TCP route can't take connections", "app", at.route.name, "err", err)
			time.Sleep(acceptAgain) // there are no files left
			continue
		}
		p.mu.Lock()
		route, full := at.route, len(p.open) >= maxOpen
		p.mu.Unlock()
		if full {
			p.cfg.Log.Warn("a connection was refused: there are too many", "app", route.name, "port", route.External, "most", maxOpen)
			_ = conn.SetLinger(0)
			conn.Close()
			continue
		}
		work.Go(func() { p.pass(ctx, route, conn) })
	}
}

// InFlight returns how many connections an instance (Backend.Instance) has.
func (p *Ports) InFlight(instance string) (n int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for key, e := range p.ends {
		if key.instance == instance {
			n += e.open
		}
	}
	return n
}

// Problems returns why ports are not open that should be, by port.
func (p *Ports) Problems() map[int]string {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := map[int]string{}
	for number, at := range p.ports {
		if at.problem != "" {
			all[number] = at.problem
		}
	}
	return all
}

// RouteStatuses returns the routes by port.
func (p *Ports) RouteStatuses() []app.RouteStatus {
	p.mu.Lock()
	defer p.mu.Unlock()
	all := make([]app.RouteStatus, 0, len(p.ports))
	for number, at := range p.ports {
		s := app.RouteStatus{External: number, Apps: []string{at.route.name}, Options: at.route.Options(), Problem: at.problem, Backends: []app.BackendStatus{}}
		for _, b := range at.route.backends {
			e := p.ends[endpoint{b.Addr, b.Instance}]
			s.Backends = append(s.Backends, b.status(int64(e.open), e.restUntil != 0))
		}
		all = append(all, s)
	}
	slices.SortFunc(all, func(a, b app.RouteStatus) int { return cmp.Compare(a.External, b.External) })
	return all
}

// noInstance says that nobody takes a connection.
func noInstance(r tcpRoute, tried int) error {
	if tried == 0 {
		return fmt.Errorf("app %q has no healthy instance", r.name)
	}
	return fmt.Errorf("none of the %d instances of app %q that were tried takes a connection", tried, r.name)
}
