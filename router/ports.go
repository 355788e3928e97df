package router

import (
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
	OnUnreachable func(b *Backend, times int)

	// OnConnection is told of each connection that has ended. It must not block.
	OnConnection func(*Access)
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
	flows  map[flowKey]*flow     // of routes that are there or have connections
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

// A port is an external one. Either it has one route, or all have names that a
// client of TLS begins with.
type port struct {
	routes  map[string]tcpRoute // by SNI; "": the only one
	ln      *net.TCPListener    // nil: not bound
	problem string              // why it is not
}

// apps returns whose routes the port has, by name.
func (at *port) apps() []string {
	var all []string
	for _, r := range at.routes {
		all = append(all, r.name)
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// NewPorts returns Ports without routes.
func NewPorts(cfg PortsConfig) *Ports {
	if cfg.Log == nil {
		cfg.Log = slog.New(slog.DiscardHandler)
	}
	if cfg.OnUnreachable == nil {
		cfg.OnUnreachable = func(*Backend, int) {}
	}
	if cfg.OnConnection == nil {
		cfg.OnConnection = func(*Access) {}
	}
	if cfg.Local == nil {
		cfg.Local = func(string) bool { return false }
	}
	return &Ports{
		cfg: cfg, poke: make(chan struct{}, 1), dialer: net.Dialer{Timeout: dialTimeout, KeepAliveConfig: keepAlive}, born: time.Now(),
		apps: map[string][]tcpRoute{}, ports: map[int]*port{}, flows: map[flowKey]*flow{}, ends: map[endpoint]*end{}, open: map[*passage]bool{},
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
	used := map[endpoint]bool{}
	for _, at := range p.ports {
		at.routes = map[string]tcpRoute{}
	}
	for _, f := range p.flows {
		f.gone = true
	}
	for _, name := range slices.Sorted(maps.Keys(p.apps)) {
		for _, r := range p.apps[name] {
			if !p.admit(r) {
				continue
			}
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
		if len(at.routes) == 0 {
			at.close()
			delete(p.ports, number)
		}
	}
	maps.DeleteFunc(p.flows, func(_ flowKey, f *flow) bool { return f.gone && f.counts.Open == 0 })
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

// admit makes r a route of its port. It reports false when that can't be, which
// the brain doesn't let happen.
func (p *Ports) admit(r tcpRoute) bool {
	at := p.ports[r.External]
	if at == nil {
		at = &port{routes: map[string]tcpRoute{}}
	}
	_, taken := at.routes[r.SNI]
	_, whole := at.routes[""]
	if r.External == 0 || taken || whole || r.SNI == "" && len(at.routes) > 0 {
		return false
	}
	p.ports[r.External] = at
	at.routes[r.SNI] = r
	key := r.flow()
	if p.flows[key] == nil {
		p.flows[key] = &flow{counts: app.TCPCounts{External: r.External, SNI: r.SNI, App: r.name}}
	}
	p.flows[key].gone = false
	return true
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
				p.cfg.Log.Warn("a TCP route has no port: end what listens there, or give the route another port", "apps", at.apps(), "port", number, "err", err)
			}
			at.problem = err.Error()
			continue
		}
		at.ln, at.problem = ln.(*net.TCPListener), ""
		work.Go(func() { p.accept(ctx, work, number, at, ln.(*net.TCPListener)) })
	}
}

// accept takes connections until ln is closed.
func (p *Ports) accept(ctx context.Context, work *sync.WaitGroup, number int, at *port, ln *net.TCPListener) {
	for {
		conn, err := ln.AcceptTCP()
		if err != nil {
			p.mu.Lock()
			over := p.closed || at.ln != ln
			p.mu.Unlock()
			if over || ctx.Err() != nil {
				return
			}
			p.cfg.Log.Warn("a TCP route can't take connections", "port", number, "err", err)
			time.Sleep(acceptAgain) // there are no files left
			continue
		}
		c := &passage{client: conn, began: time.Now()}
		if !p.enter(c) {
			p.cfg.Log.Warn("a connection was refused: there are too many", "port", number, "most", maxOpen)
			c.refuse()
			continue
		}
		work.Go(func() {
			defer p.leave(c)
			p.pass(ctx, number, c)
		})
	}
}

// noInstance says that nobody takes a connection.
func noInstance(r tcpRoute, tried int) error {
	if tried == 0 {
		return fmt.Errorf("app %q has no healthy instance", r.name)
	}
	return fmt.Errorf("none of the %d instances of app %q that were tried takes a connection", tried, r.name)
}
