package app

import (
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds of RouteOptions.
const (
	MaxRouteTimeout  = 24 * time.Hour
	MinRouteTimeout  = time.Second // the router looks twice a second
	MaxHeaderRules   = 50          // of a route's requests, and of its answers
	MaxBasicAuth     = 100         // users of a route
	MaxAllow         = 1000        // addresses and networks of a route
	MaxErrorPages    = 10          // of a route
	MaxErrorPage     = 32 << 10    // bytes of one
	maxRate          = 10_000_000
	maxHeaderBytes   = 8 << 10
	bcryptHashLength = 60
)

func (p *problems) options(r Route) {
	o := r.Options
	if o == nil {
		return
	}
	what := "the route " + quote(r.Host+r.Path)
	p.balance(what, o)
	p.limits(what, o)
	p.headers(what+": its requests", o.RequestHeaders)
	p.headers(what+": its answers", o.ResponseHeaders)
	if len(o.BasicAuth) > MaxBasicAuth {
		p.add("%s has %d users: at most %d are possible", what, len(o.BasicAuth), MaxBasicAuth)
	}
	for _, u := range o.BasicAuth {
		if name, hash, _ := strings.Cut(u, ":"); name == "" || !isBcrypt(hash) || strings.ContainsFunc(u, isControl) {
			p.add("%s: each user for basic auth must be USER:HASH with a hash of bcrypt, as 'htpasswd -nB USER' prints it", what)
			break
		}
	}
	if len(o.ErrorPages) > MaxErrorPages {
		p.add("%s has %d error pages: at most %d are possible", what, len(o.ErrorPages), MaxErrorPages)
	}
	for of, page := range o.ErrorPages {
		if !isErrorClass(of) {
			p.add("%s has an error page for %s: write a code from 400 to 599, 4xx, 5xx, or error for all", what, quote(of))
		} else if page == "" || len(page) > MaxErrorPage {
			p.add("%s: its error page for %s has %d bytes: it must have 1 to %d", what, of, len(page), MaxErrorPage)
		}
	}
	if len(o.Allow) > MaxAllow {
		p.add("%s allows %d addresses: at most %d are possible, so name networks", what, len(o.Allow), MaxAllow)
	}
	for _, a := range o.Allow {
		if _, err := ParsePrefix(a); err != nil {
			p.add("%s allows %s", what, err)
			break
		}
	}
}

// isErrorClass reports whether there can be an error page for of.
func isErrorClass(of string) bool {
	code, err := strconv.Atoi(of)
	return of == "4xx" || of == "5xx" || of == "error" || err == nil && code >= 400 && code <= 599 && len(of) == 3
}

func (p *problems) balance(what string, o *RouteOptions) {
	if !slices.Contains([]Protocol{"", ProtocolAuto, ProtocolHTTP1, ProtocolH2C}, o.Protocol) {
		p.add("%s has the protocol %s: there are auto, http1 and h2c", what, quote(string(o.Protocol)))
	}
	if !slices.Contains([]Balance{"", RoundRobin, LeastConnections, HashBalance}, o.Balance) {
		p.add("%s is balanced by %s: there are round-robin, least-connections and hash", what, quote(string(o.Balance)))
	}
	kind, name, _ := strings.Cut(o.HashOn, ":")
	switch {
	case o.Balance == HashBalance && o.HashOn == "":
		p.add("%s is balanced by hash, but not of what: set hash_on to header:NAME, cookie:NAME or client-ip", what)
	case o.Balance != HashBalance && o.HashOn != "":
		p.add("%s has hash_on, but isn't balanced by hash: set balance to hash, or leave hash_on out", what)
	case o.HashOn != "" && o.HashOn != "client-ip" && (kind != "header" && kind != "cookie" || !isToken(name)):
		p.add("%s has hash_on %s: write header:NAME, cookie:NAME or client-ip", what, quote(o.HashOn))
	}
	if o.Sticky != "" && (!isToken(o.Sticky) || len(o.Sticky) > 100) {
		p.add("%s is sticky by the cookie %s: a cookie's name has letters, digits and -_. only", what, quote(o.Sticky))
	}
}

func (p *problems) limits(what string, o *RouteOptions) {
	for _, t := range []struct {
		name  string
		value Duration
	}{
		{"slow_start", o.SlowStart}, {"header_timeout", o.HeaderTimeout}, {"idle_timeout", o.IdleTimeout},
		{"total_timeout", o.TotalTimeout}, {"retry_time", o.RetryTime},
	} {
		if d := time.Duration(t.value); d != 0 && (d < MinRouteTimeout || d > MaxRouteTimeout) {
			p.add("%s has a %s of %s: it can be %s to %s", what, t.name, t.value, MinRouteTimeout, MaxRouteTimeout)
		}
	}
	for _, n := range []struct {
		name  string
		value int
	}{{"max_connections", o.MaxConnections}, {"rate_burst", o.RateBurst}, {"client_rate_burst", o.ClientRateBurst}} {
		if n.value < 0 || n.value > maxRate {
			p.add("%s has a %s of %d: it can be 1 to %d, or 0 for what is usual", what, n.name, n.value, maxRate)
		}
	}
	if o.Retries != nil && (*o.Retries < 0 || *o.Retries > 100) {
		p.add("%s has %d retries: there can be 0 to 100", what, *o.Retries)
	}
	for _, rate := range []string{o.RateLimit, o.ClientRateLimit} {
		if _, err := ParseRate(rate); err != nil {
			p.add("%s: %s", what, err)
		}
	}
	if o.RateBurst > 0 && o.RateLimit == "" || o.ClientRateBurst > 0 && o.ClientRateLimit == "" {
		p.add("%s has a burst without a rate: set rate_limit or client_rate_limit too", what)
	}
}

// routerFields are what the router writes itself.
func routerFields() []string {
	return []string{
		"connection", "content-length", "expect", "forwarded", "host", "http2-settings", "keep-alive", "proxy-connection", "te", "trailer",
		"transfer-encoding", "upgrade", "x-cf-applicationid", "x-cf-instanceid", "x-cf-instanceindex", "x-cf-app-instance",
		"x-forwarded-for", "x-forwarded-host", "x-forwarded-proto", "x-request-id", "x-request-start",
	}
}

func (p *problems) headers(what string, h *HeaderRules) {
	if h == nil {
		return
	}
	if n := len(h.Set) + len(h.Add) + len(h.Remove); n > MaxHeaderRules {
		p.add("%s have %d header rules: at most %d are possible", what, n, MaxHeaderRules)
		return
	}
	names := slices.Clone(h.Remove)
	for _, fields := range []map[string]string{h.Set, h.Add} {
		for name, value := range fields {
			names = append(names, name)
			if strings.ContainsFunc(value, isControl) || len(value) > maxHeaderBytes || strings.TrimSpace(value) != value {
				p.add("%s get the header field %s: its value must be at most %d bytes without control characters, and without spaces at its ends", what, quote(name), maxHeaderBytes)
			}
		}
	}
	slices.Sort(names)
	for _, name := range names {
		switch {
		case !isToken(name) || len(name) > 200:
			p.add("%s have a rule for %s, which is no name of a header field", what, quote(name))
		case slices.Contains(routerFields(), strings.ToLower(name)):
			p.add("%s have a rule for %s: the router takes care of that field itself", what, quote(name))
		}
	}
}

// ParsePrefix reads an address or a network such as 10.0.0.0/8. Errors are
// ErrInvalid.
func ParsePrefix(text string) (netip.Prefix, error) {
	if a, err := netip.ParseAddr(text); err == nil && a.Zone() == "" {
		a = a.Unmap()
		return netip.PrefixFrom(a, a.BitLen()), nil
	}
	p, err := netip.ParsePrefix(text)
	if err != nil {
		return netip.Prefix{}, Invalid("%s, which is neither an address nor a network such as 10.0.0.0/8", quote(text))
	}
	return p.Masked(), nil
}

func isBcrypt(hash string) bool {
	return len(hash) == bcryptHashLength && (strings.HasPrefix(hash, "$2y$") || strings.HasPrefix(hash, "$2a$") || strings.HasPrefix(hash, "$2b$"))
}

// isToken reports whether s can be the name of a header field or a cookie.
func isToken(s string) bool {
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0) {
			return false
		}
	}
	return s != ""
}
