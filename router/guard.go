package router

import (
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

// guard returns why the request may not go on; nil when it may.
func (x *exchange) guard(c caller) *refusal {
	p := x.policy
	if p == nil || !p.guarded {
		return nil
	}
	if p.allow != nil && !within(p.allow, c.client()) {
		return &refusal{code: http.StatusForbidden, cause: "ip_not_allowed", reason: "this address may not use the app"}
	}
	if p.redirect && !c.secure() {
		return x.r.toHTTPS(x.wish.host, c.path())
	}
	now := x.r.now()
	if wait := p.all.take(now); wait > 0 {
		return tooMany("there are too many requests to the app at the moment", wait)
	}
	if p.clients.rate > 0 {
		if wait := p.clients.take(now, c.client()); wait > 0 {
			return tooMany("there are too many requests from this address", wait)
		}
	}
	if p.users != nil {
		return p.users.admit(first(c, "Authorization"), x.wish.host)
	}
	return nil
}

// within reports whether one of the networks has the address.
func within(networks []netip.Prefix, a netip.Addr) bool {
	for _, n := range networks {
		if n.Contains(a) {
			return true
		}
	}
	return false
}

func tooMany(reason string, wait time.Duration) *refusal {
	seconds := strconv.Itoa(int(math.Ceil(wait.Seconds())))
	return &refusal{code: http.StatusTooManyRequests, cause: "rate_limited", reason: reason, more: [][2]string{{"Retry-After", seconds}}}
}

// toHTTPS sends the client to the same URL by https.
func (r *Router) toHTTPS(host, target string) *refusal {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
		if strings.Contains(name, ":") {
			host = "[" + name + "]"
		}
	}
	if r.httpsPort != 0 && r.httpsPort != 443 {
		host += ":" + strconv.Itoa(r.httpsPort)
	}
	if !strings.HasPrefix(target, "/") {
		target = "/"
	}
	url := "https://" + host + target
	return &refusal{code: http.StatusPermanentRedirect, cause: "https_only", reason: "use https", more: [][2]string{{"Location", url}}}
}
