package router

import (
	"errors"
	"net"
	"net/http"
	"net/http/httptrace"
	"strings"
	"sync/atomic"
	"syscall"
)

// RoundTrip sends the request to its instance, and to others as long as that
// fails in a way that lets it be sent again.
func (x *exchange) RoundTrip(out *http.Request) (*http.Response, error) {
	for {
		t := newTry(out)
		res, err := x.up.roundTripper(x.byHTTP2(out)).RoundTrip(t.req)
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
	if x.in.Context().Err() != nil || x.deadline.over() {
		return false
	}
	x.r.log.Debug("try failed", "app", x.backend.App, "instance", x.backend.Index, "addr", x.backend.Addr, "err", err)
	if isDial(err) {
		x.unreachable(err)
		return t.unread() && x.next()
	}
	x.up.reached()
	return t.harmless(err) && x.next()
}

// byHTTP2 reports whether the instance gets the request by HTTP/2: if its route
// says so, and else gRPC, which can't be had by HTTP/1. An upgrade can't be had
// by HTTP/2.
func (x *exchange) byHTTP2(req *http.Request) bool {
	if req.Header["Upgrade"] != nil || x.policy != nil && x.policy.neverH2C {
		return false
	}
	return x.policy != nil && x.policy.alwaysH2C ||
		req.ProtoMajor == 2 && strings.HasPrefix(req.Header.Get("Content-Type"), "application/grpc")
}

// isDial reports whether no connection could be made, so nothing was sent.
func isDial(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

// isTimeout reports whether the instance kept us waiting for too long. That its host
// is gone, which the kernel calls a timeout, is another matter.
func isTimeout(err error) bool {
	var late net.Error
	return errors.As(err, &late) && late.Timeout() && (isDial(err) || !errors.Is(err, syscall.ETIMEDOUT))
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

// unread reports whether the whole body is still there for another try, and
// keeps this one from reading it.
func (t *try) unread() bool { return t.body == nil || t.body.seal() }

// harmless reports whether the request can be sent again although it may have
// reached the instance: the connection was closed without a byte of an answer,
// and either none of the body had been sent or the method allows it.
func (t *try) harmless(err error) bool {
	if t.answered.Load() || isTimeout(err) {
		return false
	}
	if t.body != nil {
		return t.unread()
	}
	switch t.req.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodTrace, http.MethodPut, http.MethodDelete:
		return true
	}
	return t.req.Header["Idempotency-Key"] != nil || t.req.Header["X-Idempotency-Key"] != nil
}
