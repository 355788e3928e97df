package router

import (
	"sync/atomic"
	"time"
)

// traffic counts an app's requests for as long as the table has a route of it.
type traffic struct {
	refs int // routes in the current table; guarded by Router.mu

	codes   [6]atomic.Uint64 // by class; 0: the client went away
	buckets [len(bounds) + 1]atomic.Uint64
	took    atomic.Int64 // nanoseconds, of all requests
}

// bounds are the upper ends of the buckets of a histogram of durations.
var bounds = [...]time.Duration{
	time.Millisecond, 2500 * time.Microsecond, 5 * time.Millisecond, 10 * time.Millisecond, 25 * time.Millisecond,
	50 * time.Millisecond, 100 * time.Millisecond, 250 * time.Millisecond, 500 * time.Millisecond,
	time.Second, 2500 * time.Millisecond, 5 * time.Second, 10 * time.Second,
}

func (t *traffic) add(code int, took time.Duration) {
	class := code / 100
	if code == statusClientGone || class >= len(t.codes) {
		class = 0
	}
	t.codes[class].Add(1)
	i := 0
	for i < len(bounds) && took > bounds[i] {
		i++
	}
	t.buckets[i].Add(1)
	t.took.Add(int64(took))
}

// An Access is a request, or a connection of a TCP route, that is done with. Its strings are good only while the
// function runs that it is given to.
type Access struct {
	App      string // that has the route
	Index    int    // of the instance; -1: none was reached
	Instance string // Backend.Instance
	Addr     string // of the instance

	Method, Host, Target, Proto          string
	Client                               string // its IP
	UserAgent, Referer, ForwardedFor, ID string // as the client sent them, ID as the instance got it

	At   time.Time // when it came in
	Took time.Duration
	Code int   // 499: the client went away
	Sent int64 // bytes of the answer, header included; -1: not known

	// Of a connection of a TCP route, of which Proto is "TCP", Target ":PORT" and
	// Code 0.
	Received int64  // bytes from the client
	Failure  string // why it came to nothing; empty: it didn't
}

// tally counts a request that is done with. It reports whether somebody wants
// to know more.
func (x *exchange) tally() bool {
	r := x.r
	x.took = r.now() - x.arrived
	switch {
	case x.backend != nil:
		x.traffic.add(x.code, x.took)
	case x.route != nil:
		if t := r.trafficOf(x.route.Apps[0]); t != nil {
			t.add(x.code, x.took)
		}
	default:
		r.count.unrouted.Add(1)
		return false
	}
	return r.onAccess != nil
}

// access returns what an exchange knows of its request after tally.
func (x *exchange) access() *Access {
	a := &Access{At: x.r.born.Add(x.arrived), Took: x.took, Code: x.code}
	if b := x.backend; b != nil {
		a.App, a.Index, a.Instance, a.Addr = b.App, b.Index, b.Instance, b.Addr
	} else {
		a.App, a.Index = x.route.Apps[0], -1
	}
	return a
}

// trafficOf returns the counts of an app; nil when the table has no route of it.
func (r *Router) trafficOf(app string) *traffic {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.traffic[app]
}

// join counts the apps of a route that comes into the table. r.mu must be held.
func (r *Router) join(route *Route) {
	for _, app := range route.Apps {
		t := r.traffic[app]
		if t == nil {
			t = &traffic{}
			r.traffic[app] = t
		}
		t.refs++
	}
}

// part is the opposite of join.
func (r *Router) part(route *Route) {
	for _, app := range route.Apps {
		if t := r.traffic[app]; t.refs > 1 {
			t.refs--
		} else {
			delete(r.traffic, app)
		}
	}
}
