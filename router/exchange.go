package router

import (
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// An exchange is one request on its way to an instance: where it may go, where
// it has been, and where it is.
type exchange struct {
	r       *Router
	in      *http.Request // on the library's path; nil on the fast one
	arrived time.Duration
	wish    wish

	deadline *deadline // on the library's path; nil: none
	id       string    // X-Request-Id, on the library's path

	table  *Table
	route  *Route
	policy *policy     // of route; nil: it has no options
	key    string      // the policy's, that the instance is chosen by
	stick  string      // value of the sticky cookie
	https  bool        // the client came by it; known if there is a policy
	pool   []*Backend  // of route, those the request may go to; never empty
	ups    []*upstream // parallel to pool
	turn   uint64

	tried   []*upstream // begins in few
	few     [2]*upstream
	backend *Backend  // that has the request
	up      *upstream // the same; nil: none has it
	traffic *traffic  // of backend's app
	code    int       // of the answer
	whole   bool      // the answer went out to its end
	took    time.Duration
}

// A wish is what a request says about where it wants to go.
type wish struct {
	host      string // Host, with or without a port
	path      string // unescaped
	addressed bool   // it has X-Cf-App-Instance
	instance  string // its value
}

// aim finds the instances that t has for the request. When there are none it
// returns why.
func (x *exchange) aim(t *Table) *refusal {
	route := t.Lookup(x.wish.host, x.wish.path)
	if x.route = route; route == nil {
		return &refusal{code: http.StatusNotFound, cause: "unknown_route", reason: "no app is routed to " + strconv.QuoteToASCII(x.wish.host)}
	}
	if len(route.Backends) == 0 {
		return &refusal{code: http.StatusServiceUnavailable, cause: "no_endpoints", reason: "the app behind " + strconv.QuoteToASCII(x.wish.host) + " has no healthy instance at the moment"}
	}
	pool, ups := route.Backends, *route.ups.Load()
	if x.wish.addressed {
		i := addressed(pool, x.wish.instance)
		if i < 0 {
			return &refusal{code: http.StatusBadRequest, cause: "unknown_route", reason: "X-Cf-App-Instance must be APP:INDEX of a healthy instance; there is no " + strconv.QuoteToASCII(x.wish.instance)}
		}
		pool, ups = pool[i:i+1], ups[i:i+1]
	}
	x.table, x.policy, x.pool, x.ups = t, route.policy, pool, ups
	return nil
}

// addressed returns which of pool is meant by "APP:INDEX"; -1 when none is.
func addressed(pool []*Backend, want string) int {
	name, number, _ := strings.Cut(want, ":")
	index, err := strconv.Atoi(number)
	if err != nil {
		return -1
	}
	for i, b := range pool {
		if b.App == name && b.Index == index {
			return i
		}
	}
	return -1
}

// begin gives the request to the first instance. When none has room it returns
// that.
func (x *exchange) begin() *refusal {
	x.tried = x.few[:0]
	x.turn = x.route.turn.Add(1) - 1
	if !x.take(x.r.now()) {
		return crowded()
	}
	return nil
}

// take gives the request to the instance whose turn it is. It reports false
// when there is none.
func (x *exchange) take(now time.Duration) bool {
	for {
		i := x.choose(now)
		if i < 0 {
			return false
		}
		if x.give(i, now) {
			return true
		}
	}
}

// end must be called when the answer is out, or can't go out any more.
func (x *exchange) end() {
	x.release()
	if !x.whole {
		x.r.count.aborted.Add(1)
	}
}

// next gives the request to an instance that has not had it. It reports false
// when there is none or it is too late. A table that came in meanwhile counts.
func (x *exchange) next() bool {
	x.release()
	now := x.r.now()
	if !x.mayRetry(now) {
		return false
	}
	if t := x.r.table.Load(); t != x.table {
		_ = x.aim(t) // if the route is gone, the instances it had must do
	}
	if !x.take(now) {
		return false
	}
	x.r.count.retries.Add(1)
	return true
}

// mayRetry reports whether there may be one more try.
func (x *exchange) mayRetry(now time.Duration) bool {
	if p := x.policy; p != nil {
		return now-x.arrived <= p.retryTime && (p.retries < 0 || len(x.tried) <= p.retries)
	}
	return now-x.arrived <= retryFor
}

// give gives the request to the ith of pool. It reports false when that has no
// room for it.
func (x *exchange) give(i int, now time.Duration) bool {
	up := x.ups[i]
	x.tried = append(x.tried, up)
	if n := up.inFlight.Add(1); x.policy != nil && x.policy.most > 0 && n > x.policy.most {
		up.inFlight.Add(-1)
		return false
	}
	x.backend, x.up, x.traffic = x.pool[i], up, up.traffic
	up.probing(now)
	return true
}

func (x *exchange) release() {
	if x.up != nil {
		x.up.inFlight.Add(-1)
		x.up = nil
	}
}

// choose returns which of pool has its turn. If that one rests or was tried,
// its share is spread evenly over those that don't and weren't; if all others
// rest, over those that weren't tried. It returns -1 when all were tried.
func (x *exchange) choose(now time.Duration) int {
	if x.policy != nil {
		return x.byPolicy(now)
	}
	n := uint64(len(x.ups))
	if i := int(x.turn % n); x.may(x.ups[i], now, false) {
		return i
	}
	for _, desperate := range []bool{false, true} {
		var open uint64
		for _, up := range x.ups {
			if x.may(up, now, desperate) {
				open++
			}
		}
		if open == 0 {
			continue
		}
		if i := x.pick(x.turn/n%open, now, desperate); i >= 0 {
			return i
		}
	}
	return -1
}

// pick returns the nth that may have the request, or the last that may when
// others have begun to rest meanwhile.
func (x *exchange) pick(nth uint64, now time.Duration, desperate bool) int {
	last := -1
	for i, up := range x.ups {
		if !x.may(up, now, desperate) {
			continue
		}
		if last = i; nth == 0 {
			break
		}
		nth--
	}
	return last
}

func (x *exchange) may(up *upstream, now time.Duration, desperate bool) bool {
	return (desperate || up.ready(now)) && !slices.Contains(x.tried, up)
}

// unreachable notes that no connection could be made to the instance, unless
// that is this host's fault.
func (x *exchange) unreachable(err error) {
	x.r.count.unreachable.Add(1)
	for _, ours := range []error{syscall.EMFILE, syscall.ENFILE, syscall.ENOBUFS, syscall.ENOMEM, syscall.EADDRNOTAVAIL} {
		if errors.Is(err, ours) {
			return
		}
	}
	ejected, tell := x.up.unreachable(x.r.now())
	if ejected {
		x.r.count.ejections.Add(1)
	}
	if tell {
		x.r.log.Warn("instance unreachable", "app", x.backend.App, "instance", x.backend.Index, "addr", x.backend.Addr, "err", err)
		x.r.onUnreachable(x.backend, int(x.up.failures.Load()))
	}
}
