package router

import (
	"log"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	firstRest   = 500 * time.Millisecond // how long an instance is passed over that refused a connection
	restFor     = 5 * time.Second        // the longest, when it has refused several
	retryFor    = 10 * time.Second       // after a request came in no new try begins later than this
	dialTimeout = 2 * time.Second        // long enough for one lost packet
)

// Options of a Router. The zero value is ready to use.
type Options struct {
	Log *slog.Logger // nil: nothing is logged

	// OnUnreachable is told of an instance to which no connection could be made so
	// many times one after the other, at most once every few seconds for each. It
	// is called while a request waits, maybe several times at once: it must not block.
	OnUnreachable func(b *Backend, times int)

	// OnAccess is told of each request for which there is a route, when it is
	// done with. It is called before the connection's next request is read: it
	// must not block.
	OnAccess func(*Access)

	// Trusted are the networks of proxies whose word about the client is
	// believed: X-Forwarded-For, -Host, -Proto and Forwarded of all others are
	// thrown away.
	Trusted []netip.Prefix

	// ProxyProtocol says that connections begin with a header of the PROXY
	// protocol: those of Trusted, or all if there are none.
	ProxyProtocol bool

	// HTTPSPort is where clients reach ServeTLS, for redirects; 0 is 443.
	HTTPSPort int

	// Pages are for browsers, instead of the router's own errors. nil: plain text.
	Pages *Pages

	// Challenge answers a request below /.well-known/acme-challenge/, or reports
	// false: then the request goes to the app. nil: all go there.
	Challenge func(w http.ResponseWriter, req *http.Request) bool
}

const challengePath = "/.well-known/acme-challenge/"

// A Router is an http.Handler that passes requests on to the instances in its
// current Table. Requests read the table without a lock.
type Router struct {
	log           *slog.Logger
	proxyLog      *log.Logger // for net/http, which takes no slog.Logger
	onUnreachable func(b *Backend, times int)
	onAccess      func(*Access) // nil: nobody wants to know
	trusted       []netip.Prefix
	proxied       bool
	httpsPort     int
	pages         *Pages
	challenge     func(http.ResponseWriter, *http.Request) bool

	table   atomic.Pointer[Table]
	born    time.Time // times are kept as durations since then, which no clock change bends
	dialer  *dialer
	buffers bufferPool
	works   works
	date    date
	count   counters

	mu        sync.Mutex // guards upstreams; held for one Swap
	upstreams map[endpoint]*upstream
	traffic   map[string]*traffic // by app
	leaving   map[*upstream]bool  // out of the table, with requests still open

	idleMu  sync.Mutex // guards what follows
	idle    []*links   // that may have idle connections
	loops   []*loop    // of all servers
	noLoops bool       // each connection has a goroutine; for tests
}

// New returns a Router that answers 404 until the first Swap.
func New(o Options) *Router {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnUnreachable == nil {
		o.OnUnreachable = func(*Backend, int) {}
	}
	r := &Router{
		log:           o.Log,
		proxyLog:      slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		onUnreachable: o.OnUnreachable,
		born:          time.Now(),
		dialer:        newDialer(),
		onAccess:      o.OnAccess,
		trusted:       o.Trusted,
		proxied:       o.ProxyProtocol,
		httpsPort:     o.HTTPSPort,
		pages:         o.Pages,
		challenge:     o.Challenge,
		upstreams:     make(map[endpoint]*upstream),
		traffic:       make(map[string]*traffic),
	}
	r.table.Store(newTable())
	return r
}

// Swap replaces the whole table. Requests on their way are not disturbed, and
// each route goes on with the instance whose turn it is. Connections to
// instances that are gone are closed as soon as nothing uses them.
func (r *Router) Swap(t *Table) {
	r.mu.Lock()
	gone := r.succeed(r.table.Load(), t)
	r.table.Store(t)
	r.see(gone)
	r.mu.Unlock()
	r.leave(gone)
}

// leave closes the connections to upstreams that are in the table no more.
func (r *Router) leave(gone []*upstream) {
	if len(gone) == 0 {
		return
	}
	for _, up := range gone {
		up.leave()
	}
	r.idleMu.Lock()
	defer r.idleMu.Unlock()
	for _, l := range r.loops {
		l.post(func() {
			for _, up := range gone {
				l.closeIdle(up)
			}
		})
	}
}

// haveLoops notes loops that begin or end.
func (r *Router) haveLoops(all []*loop, begin bool) {
	r.idleMu.Lock()
	defer r.idleMu.Unlock()
	if begin {
		r.loops = append(r.loops, all...)
		return
	}
	r.loops = slices.DeleteFunc(r.loops, func(l *loop) bool { return slices.Contains(all, l) })
}

// Routes reports whether the table has this very host; a wildcard doesn't count.
func (r *Router) Routes(host string) bool {
	var buf [maxHost]byte
	t := r.table.Load()
	return t.exact.at(t.seed, hostKey(&buf, host)) != nil
}

// closeIdle closes all connections to instances that no request uses.
func (r *Router) closeIdle() {
	r.mu.Lock()
	all := slices.Collect(maps.Values(r.upstreams))
	r.mu.Unlock()
	for _, up := range all {
		up.closeIdle()
	}
}

// ServeHTTP passes the request on to an instance, and to another one if that
// can't be reached. Its own answers say why in the header X-Cf-RouterError.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	if r.challenge != nil && strings.HasPrefix(req.URL.Path, challengePath) && r.challenge(w, req) {
		return
	}
	r.count.requests.Add(1)
	if req.Method == http.MethodConnect {
		r.refuse(w, req, nil, refusal{code: http.StatusBadRequest, cause: "connect_refused", reason: "this router makes no tunnels to other hosts: CONNECT is refused"})
		return
	}
	if req.Host == "" {
		r.refuse(w, req, nil, refusal{code: http.StatusBadRequest, cause: "empty_host", reason: "the request names no host: send a Host header"})
		return
	}
	x := exchange{r: r, in: req, arrived: r.now(), wish: wish{host: req.Host, path: req.URL.Path}}
	if want := req.Header["X-Cf-App-Instance"]; len(want) > 0 {
		x.wish.addressed, x.wish.instance = true, want[0]
	}
	defer x.record()
	if why := x.aim(r.table.Load()); why != nil {
		x.code = why.code
		r.refuse(w, req, x.route, *why)
		return
	}
	if x.policy != nil {
		c := httpCaller{&x}
		if why := x.guard(c); why != nil {
			x.code = why.code
			r.refuse(w, req, x.route, *why)
			return
		}
		x.read(c)
	}
	if why := x.begin(); why != nil {
		x.code = why.code
		r.refuse(w, req, x.route, *why)
		return
	}
	defer x.end()
	x.serve(writer(w, req), req)
	x.whole = true
}

// writer returns w made fit for what the request may lead to.
func writer(w http.ResponseWriter, req *http.Request) http.ResponseWriter {
	if req.ContentLength != 0 {
		// Without this the server throws away what it has of the body when
		// the app begins to answer before it has read all. An error means
		// that w can do so anyway, or is no server's.
		_ = http.NewResponseController(w).EnableFullDuplex()
	}
	if req.Header["Upgrade"] != nil {
		return tunnelWriter{w}
	}
	return w
}

// now returns the time since the router was made.
func (r *Router) now() time.Duration { return time.Since(r.born) }
