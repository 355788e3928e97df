package router

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"slices"
	"sync/atomic"
	"syscall"
	"time"
)

// An exchange is one request on its way to an instance: where it may go, where
// it has been, and where it is.
type exchange struct {
	r       *Router
	in      *http.Request
	arrived time.Duration

	live  *live
	route *Route
	pool  []*Backend // of route, those the request may go to; never empty
	turn  uint64

	tried   []*upstream
	backend *Backend  // that has the request
	up      *upstream // the same; nil: none has it
	whole   bool      // the answer went out to its end
}

// begin gives the request to the first instance.
func (x *exchange) begin() {
	x.turn = x.live.turns[x.route.id].Add(1) - 1
	x.give(x.choose(x.r.now()))
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
	if now-x.arrived > retryFor {
		return false
	}
	if l := x.r.live.Load(); l != x.live {
		_ = x.aim(l) // if the route is gone, the instances it had must do
	}
	b := x.choose(now)
	if b == nil {
		return false
	}
	x.r.count.retries.Add(1)
	x.give(b)
	return true
}

func (x *exchange) give(b *Backend) {
	x.backend, x.up = b, x.live.upstreams[b.id]
	x.up.probing(x.r.now())
	x.up.inFlight.Add(1)
	x.tried = append(x.tried, x.up)
}

func (x *exchange) release() {
	if x.up != nil {
		x.up.inFlight.Add(-1)
		x.up = nil
	}
}

// choose returns the instance whose turn it is. If that one rests or was tried,
// its share is spread evenly over those that don't and weren't; if all others
// rest, over those that weren't tried. It returns nil when all were tried.
func (x *exchange) choose(now time.Duration) *Backend {
	n := uint64(len(x.pool))
	if b := x.pool[x.turn%n]; x.may(b, now, false) {
		return b
	}
	for _, desperate := range []bool{false, true} {
		var open uint64
		for _, b := range x.pool {
			if x.may(b, now, desperate) {
				open++
			}
		}
		if open == 0 {
			continue
		}
		if b := x.pick(x.turn/n%open, now, desperate); b != nil {
			return b
		}
	}
	return nil
}

// pick returns the nth instance that may have the request, or the last that
// may when others have begun to rest meanwhile.
func (x *exchange) pick(nth uint64, now time.Duration, desperate bool) (last *Backend) {
	for _, b := range x.pool {
		if !x.may(b, now, desperate) {
			continue
		}
		if last = b; nth == 0 {
			break
		}
		nth--
	}
	return last
}

func (x *exchange) may(b *Backend, now time.Duration, desperate bool) bool {
	up := x.live.upstreams[b.id]
	return (desperate || up.ready(now)) && !slices.Contains(x.tried, up)
}

// RoundTrip sends the request to its instance, and to others as long as that
// fails in a way that lets it be sent again.
func (x *exchange) RoundTrip(out *http.Request) (*http.Response, error) {
	for {
		t := newTry(out)
		res, err := x.up.roundTripper().RoundTrip(t.req)
		if err == nil {
			x.up.reached()
			return res, nil
		}
		if !x.again(t, err) {
			return nil, err
		}
		out = x.redirect(out)
	}
}

// again reports whether another instance has the request now, after t failed
// with err.
func (x *exchange) again(t *try, err error) bool {
	if x.in.Context().Err() != nil {
		return false
	}
	x.r.log.Debug("try failed", "app", x.backend.App, "instance", x.backend.Index, "addr", x.backend.Addr, "err", err)
	if isDial(err) {
		x.unreachable(err)
		return x.next()
	}
	x.up.reached()
	return t.harmless(err) && x.next()
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
	if x.up.unreachable(x.r.now()) {
		x.r.log.Warn("instance unreachable, others take over", "app", x.backend.App, "instance", x.backend.Index, "addr", x.backend.Addr, "err", err)
		x.r.onUnreachable(x.backend.Addr)
	}
}

// isDial reports whether no connection could be made, so nothing was sent.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// isTimeout reports whether the instance kept us waiting for too long.
func isTimeout(err error) bool {
	var late net.Error
	return errors.As(err, &late) && late.Timeout()
}

// A try is one attempt to have a request answered by one instance.
type try struct {
	req      *http.Request
	body     *tryBody    // nil: the request has none
	answered atomic.Bool // at least a byte came back
}

func newTry(out *http.Request) *try {
	t := &try{}
	trace := &httptrace.ClientTrace{GotFirstResponseByte: func() { t.answered.Store(true) }}
	t.req = out.WithContext(httptrace.WithClientTrace(out.Context(), trace))
	if out.Body != nil {
		t.body = &tryBody{from: out.Body}
		t.req.Body = t.body
	}
	return t
}

// harmless reports whether the request can be sent again although it may have
// reached the instance: the connection was closed without a byte of an answer,
// and either none of the body had been sent or the method allows it.
func (t *try) harmless(err error) bool {
	if t.answered.Load() || isTimeout(err) {
		return false
	}
	if t.body != nil {
		return t.body.seal()
	}
	switch t.req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return t.req.Header["Idempotency-Key"] != nil || t.req.Header["X-Idempotency-Key"] != nil
}
