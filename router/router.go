package router

import (
	"log"
	"log/slog"
	"net"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

const (
	restFor     = 5 * time.Second  // how long an instance that refused a connection is passed over
	retryFor    = 10 * time.Second // after a request came in no new try begins later than this
	dialTimeout = 2 * time.Second  // long enough for one lost packet
)

// Options of a Router. The zero value is ready to use.
type Options struct {
	Log *slog.Logger // nil: nothing is logged

	// OnUnreachable is told the address of an instance to which no connection
	// could be made, at most once every few seconds for each. It is called
	// while a request waits, maybe several times at once: it must not block.
	OnUnreachable func(addr string)
}

// A Router is an http.Handler that passes requests on to the instances in its
// current Table. Requests read the table without a lock.
type Router struct {
	log           *slog.Logger
	proxyLog      *log.Logger // for net/http, which takes no slog.Logger
	onUnreachable func(addr string)

	live    atomic.Pointer[live]
	born    time.Time // times are kept as durations since then, which no clock change bends
	dialer  net.Dialer
	buffers bufferPool
	count   counters

	mu        sync.Mutex // guards upstreams; held for one Swap
	upstreams map[endpoint]*upstream
}

// New returns a Router that answers 404 until the first Swap.
func New(o Options) *Router {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	if o.OnUnreachable == nil {
		o.OnUnreachable = func(string) {}
	}
	r := &Router{
		log:           o.Log,
		proxyLog:      slog.NewLogLogger(o.Log.Handler(), slog.LevelDebug),
		onUnreachable: o.OnUnreachable,
		born:          time.Now(),
		dialer:        net.Dialer{Timeout: dialTimeout},
		upstreams:     make(map[endpoint]*upstream),
	}
	r.live.Store(&live{table: Build(nil, "", nil)})
	return r
}

// Swap replaces the whole table. Requests on their way are not disturbed, and
// each route goes on with the instance whose turn it is. Connections to
// instances that are gone are closed as soon as nothing uses them.
func (r *Router) Swap(t *Table) {
	r.mu.Lock()
	next, gone := r.succeed(r.live.Load(), t)
	r.live.Store(next)
	r.mu.Unlock()
	for _, up := range gone {
		up.closeIdle()
	}
}

// ServeHTTP passes the request on to an instance, and to another one if that
// can't be reached. Its own answers say why in the header X-Cf-RouterError.
func (r *Router) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	r.count.requests.Add(1)
	if req.Method == http.MethodConnect {
		r.refuse(w, refusal{http.StatusBadRequest, "connect_refused", "this router makes no tunnels to other hosts: CONNECT is refused"})
		return
	}
	if req.Host == "" {
		r.refuse(w, refusal{http.StatusBadRequest, "empty_host", "the request names no host: send a Host header"})
		return
	}
	x := exchange{r: r, in: req, arrived: r.now()}
	if why := x.aim(r.live.Load()); why != nil {
		r.refuse(w, *why)
		return
	}
	if req.Header["Upgrade"] != nil {
		w = tunnelWriter{w}
	}
	x.begin()
	defer x.end()
	x.proxy().ServeHTTP(w, req)
	x.whole = true
}

// now returns the time since the router was made.
func (r *Router) now() time.Duration { return time.Since(r.born) }

// A refusal is an answer of the router itself.
type refusal struct {
	code   int
	cause  string // for X-Cf-RouterError
	reason string // a sentence for the person who sees it
}

// statusClientGone is what nginx and gorouter write down for a request whose
// client did not wait for the answer. Nobody sees it.
const statusClientGone = 499

func (r *Router) refuse(w http.ResponseWriter, why refusal) {
	r.count.answered(why.code)
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store") // a 404 may be cached otherwise
	h.Set("X-Cf-Routererror", why.cause)
	if why.code == http.StatusServiceUnavailable {
		h.Set("Retry-After", "1")
	}
	w.WriteHeader(why.code)
	// An error here is the client's going away, which is no news.
	_, _ = w.Write([]byte(why.reason + "\n"))
}

// aim finds the instances that l has for the request. When there are none it
// returns why.
func (x *exchange) aim(l *live) *refusal {
	route := l.table.Lookup(x.in.Host, x.in.URL.Path)
	if route == nil {
		return &refusal{http.StatusNotFound, "unknown_route", "no app is routed to " + strconv.QuoteToASCII(x.in.Host)}
	}
	if len(route.Backends) == 0 {
		return &refusal{http.StatusServiceUnavailable, "no_endpoints", "the app behind " + strconv.QuoteToASCII(x.in.Host) + " has no healthy instance at the moment"}
	}
	pool := route.Backends
	if want := x.in.Header["X-Cf-App-Instance"]; len(want) > 0 {
		if pool = addressed(pool, want[0]); pool == nil {
			return &refusal{http.StatusBadRequest, "unknown_route", "X-Cf-App-Instance must be APP:INDEX of a healthy instance; there is no " + strconv.QuoteToASCII(want[0])}
		}
	}
	x.live, x.route, x.pool = l, route, pool
	return nil
}

// addressed returns the part of pool that is meant by "APP:INDEX"; nil when
// nothing is.
func addressed(pool []*Backend, want string) []*Backend {
	name, number, _ := strings.Cut(want, ":")
	index, err := strconv.Atoi(number)
	if err != nil {
		return nil
	}
	for i, b := range pool {
		if b.App == name && b.Index == index {
			return pool[i : i+1]
		}
	}
	return nil
}
