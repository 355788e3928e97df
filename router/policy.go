package router

import (
	"net/netip"
	"reflect"
	"strings"
	"time"

	"lattice/app"
)

// A policy is what the options of a route come to. A route without options has
// none, and costs nothing. Its counts live as long as the options stay as they
// are. It is safe for concurrent use.
type policy struct {
	options *app.RouteOptions // nobody changes them

	balance   app.Balance
	key       keyKind
	keyName   string // of a header field or cookie
	sticky    string
	slowStart time.Duration
	most      int64 // requests an instance has at a time; 0: no limit
	limits    limits

	retries   int // -1: as many as there are instances
	retryTime time.Duration

	allow     []netip.Prefix
	all       limiter
	clients   clientLimiter
	users     *users // nil: everybody
	redirect  bool
	guarded   bool   // some of the five are there
	pages     *Pages // nil: none of its own
	request   *headerRules
	answer    *headerRules
	alwaysH2C bool
	neverH2C  bool
}

// limits are the times of a route; 0: what is usual.
type limits struct{ header, idle, total time.Duration }

// keyKind says what an instance is chosen by.
type keyKind uint8

const (
	noKey keyKind = iota
	byHeader
	byCookie
	byClient
)

// newPolicy returns what o comes to; nil of nil. It wants options that
// app.Validate has seen; of others it makes the strictest.
func newPolicy(o *app.RouteOptions) *policy {
	if o == nil {
		return nil
	}
	p := &policy{
		options: o, balance: o.Balance, sticky: o.Sticky, slowStart: time.Duration(o.SlowStart), most: int64(o.MaxConnections),
		limits:  limits{time.Duration(o.HeaderTimeout), time.Duration(o.IdleTimeout), time.Duration(o.TotalTimeout)},
		retries: -1, retryTime: retryFor,
		all: newLimiter(o.RateLimit, o.RateBurst), clients: newClientLimiter(o.ClientRateLimit, o.ClientRateBurst),
		users: newUsers(o.BasicAuth), redirect: o.RedirectHTTPS,
		pages: newPages(o.ErrorPages), request: newHeaderRules(o.RequestHeaders), answer: newHeaderRules(o.ResponseHeaders),
		alwaysH2C: o.Protocol == app.ProtocolH2C, neverH2C: o.Protocol == app.ProtocolHTTP1,
	}
	if o.Retries != nil {
		p.retries = *o.Retries
	}
	if o.RetryTime > 0 {
		p.retryTime = time.Duration(o.RetryTime)
	}
	p.key, p.keyName = hashOn(o.HashOn)
	for _, a := range o.Allow {
		prefix, _ := app.ParsePrefix(a) // what is none allows nobody
		p.allow = append(p.allow, prefix)
	}
	p.guarded = p.allow != nil || p.redirect || p.users != nil || p.all.rate > 0 || p.clients.rate > 0
	return p
}

func hashOn(text string) (keyKind, string) {
	kind, name, _ := strings.Cut(text, ":")
	switch kind {
	case "header":
		return byHeader, name
	case "cookie":
		return byCookie, name
	case "client-ip":
		return byClient, ""
	}
	return noKey, ""
}

// succeeding returns was if that is the same policy as p would be, counts
// included, else p.
func (p *policy) succeeding(was *policy) *policy {
	if p != nil && was != nil && reflect.DeepEqual(p.options, was.options) {
		return was
	}
	return p
}

// A caller is what a policy asks of a request.
type caller interface {
	values(name string) []string // of a header field
	client() netip.Addr          // by the word of trusted proxies
	secure() bool                // it came by https, by the word of trusted proxies
	path() string                // with the query, as it came
}

// cookie returns the value of a cookie, "" for none.
func cookie(c caller, name string) string {
	for _, header := range c.values("Cookie") {
		for part := range strings.SplitSeq(header, ";") {
			if k, v, ok := strings.Cut(strings.Trim(part, " \t"), "="); ok && k == name {
				return strings.Trim(v, `"`)
			}
		}
	}
	return ""
}

// first returns the first value of a header field, "" for none.
func first(c caller, name string) string {
	if all := c.values(name); len(all) > 0 {
		return all[0]
	}
	return ""
}
