package router

import (
	"net/http"
	"sync/atomic"
	"time"
)

// An endpoint tells instances apart that had the same address one after the other.
type endpoint struct {
	addr     string
	instance string
}

// An upstream is what the router remembers of one port of one instance for as
// long as tables have it. Its connections are its own, so that none of them
// can ever serve another instance.
type upstream struct {
	dialer  *dialer
	of      *Backend
	traffic *traffic
	born    time.Duration // Router.born
	refs    int           // of routes in the current table; guarded by Router.mu

	gone      atomic.Bool // no table has it: connections are not kept
	inFlight  atomic.Int64
	failures  atomic.Int64 // to connect, one after the other
	failedAt  atomic.Int64 // time.Duration since Router.born, of the last of them
	restUntil atomic.Int64 // time.Duration since Router.born; 0: not resting
	toldAt    atomic.Int64 // the same, of the last OnUnreachable; 0: never
	links     links

	transports [2]atomic.Pointer[http.Transport] // of the library's path, for HTTP/1 and HTTP/2
}

// since returns which routes of t old does not have, and the other way round.
// carry says that t's routes don't know yet whose turn it is.
func (t *Table) since(old *Table) (added, removed []*Route, carry bool) {
	switch {
	case t == old:
		return nil, nil, false
	case t.from != nil && t.from == old.self:
		return t.added, t.removed, false
	}
	return t.Routes(), old.Routes(), true
}

// succeed makes t fit to follow old, and returns the upstreams that t doesn't
// have. r.mu must be held.
func (r *Router) succeed(old, t *Table) (gone []*upstream) {
	added, removed, carry := t.since(old)
	for _, route := range added {
		if was := old.same(route.Host, route.Path); carry && was != nil {
			route.turn.Store(was.turn.Load())
			route.policy = route.policy.succeeding(was.policy)
		}
		r.join(route)
		ups := make([]*upstream, len(route.Backends))
		for i, b := range route.Backends {
			ups[i] = r.upstream(b)
			ups[i].refs++
		}
		route.ups.Store(&ups)
	}
	for _, route := range removed {
		r.part(route)
		for _, b := range route.Backends {
			key := endpoint{b.Addr, b.Instance}
			up := r.upstreams[key]
			if up.refs--; up.refs == 0 {
				delete(r.upstreams, key)
				gone = append(gone, up)
			}
		}
	}
	return gone
}

// upstream returns what is remembered of b, or begins to.
func (r *Router) upstream(b *Backend) *upstream {
	key := endpoint{b.Addr, b.Instance}
	up := r.upstreams[key]
	if up == nil {
		up = &upstream{dialer: r.dialer, of: b, traffic: r.traffic[b.App], born: r.now()}
		r.upstreams[key] = up
	}
	return up
}

// ready reports whether the upstream may be given requests.
func (u *upstream) ready(now time.Duration) bool {
	until := u.restUntil.Load()
	return until == 0 || int64(now) >= until
}

// probing must be called when a request is given to u. If u's rest is over it
// goes on resting, so that this request alone finds out whether u is back and
// not all that come while it waits.
func (u *upstream) probing(now time.Duration) {
	if until := u.restUntil.Load(); until != 0 && int64(now) >= until {
		u.restUntil.CompareAndSwap(until, int64(now+dialTimeout))
	}
}

// reached notes that u took a connection.
func (u *upstream) reached() {
	if u.restUntil.Load() != 0 {
		u.failures.Store(0)
		u.restUntil.Store(0)
	}
}

// rest returns how long an instance is passed over after so many failures.
func rest(failures int64) time.Duration {
	return min(restFor, firstRest<<min(failures-1, 10))
}

// unreachable makes u rest, the longer the more often it has failed. It reports
// whether u was given requests until now, and whether somebody should be told,
// which is once in restFor at most.
func (u *upstream) unreachable(now time.Duration) (ejected, tell bool) {
	failures, last := u.failures.Load(), time.Duration(u.failedAt.Load())
	if (failures == 0 || now >= last+rest(failures)) && u.failures.CompareAndSwap(failures, failures+1) {
		u.failedAt.Store(int64(now)) // else it is one of many that fail at once
		failures++
	}
	ejected = u.restUntil.Swap(int64(now+rest(max(1, failures)))) == 0
	told := u.toldAt.Load()
	return ejected, (told == 0 || int64(now) >= told+int64(restFor)) && u.toldAt.CompareAndSwap(told, int64(now))
}

// roundTripper returns u's transport, which is made on first use: most routes
// of a large table are idle.
func (u *upstream) roundTripper(http2 bool) *http.Transport {
	at := &u.transports[0]
	if http2 {
		at = &u.transports[1]
	}
	if t := at.Load(); t != nil {
		return t
	}
	if t := newTransport(u.dialer, http2); at.CompareAndSwap(nil, t) {
		return t
	}
	return at.Load()
}

// closeIdle closes the connections that no request uses.
func (u *upstream) closeIdle() {
	for i := range u.transports {
		if t := u.transports[i].Load(); t != nil {
			t.CloseIdleConnections()
		}
	}
	u.links.close(false)
}

// leave closes the connections that no request uses, and those that one uses
// now as soon as it has ended.
func (u *upstream) leave() {
	u.gone.Store(true)
	u.closeIdle()
	u.links.close(true)
}

// newTransport returns a transport for one instance: HTTP/1.1, or HTTP/2 without
// TLS; no proxy from the environment, nothing added to requests.
func newTransport(d *dialer, http2 bool) *http.Transport {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(!http2)
	protocols.SetUnencryptedHTTP2(http2)
	return &http.Transport{
		DialContext:            d.DialContext,
		Protocols:              protocols,
		DisableCompression:     true,
		MaxIdleConnsPerHost:    1024,
		IdleConnTimeout:        linkIdle,
		ResponseHeaderTimeout:  answerWait,
		ExpectContinueTimeout:  expectWait,
		MaxResponseHeaderBytes: maxAnswerHead,
	}
}
