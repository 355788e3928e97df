package app

import (
	"maps"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Protocol is what the router speaks to instances.
type Protocol string

// The protocols.
const (
	ProtocolAuto  Protocol = "auto"  // HTTP/1.1, but gRPC by HTTP/2
	ProtocolHTTP1 Protocol = "http1" // always HTTP/1.1
	ProtocolH2C   Protocol = "h2c"   // always HTTP/2 without TLS
)

// Balance says which instance gets a request.
type Balance string

// The ways to balance.
const (
	RoundRobin       Balance = "round-robin"
	LeastConnections Balance = "least-connections" // counted to the end of the answer or tunnel
	HashBalance      Balance = "hash"              // the same HashOn goes to the same instance, unless that has a quarter more than its share
)

// RouteOptions say how the requests of a route are treated. The zero value of
// each is what is usual.
type RouteOptions struct {
	Protocol  Protocol `json:"protocol,omitempty"`   // empty: ProtocolAuto
	Balance   Balance  `json:"balance,omitempty"`    // empty: RoundRobin
	HashOn    string   `json:"hash_on,omitempty"`    // of HashBalance: "header:NAME", "cookie:NAME" or "client-ip"
	Sticky    string   `json:"sticky,omitempty"`     // name of a cookie, set by the router, that keeps a client at its instance
	SlowStart Duration `json:"slow_start,omitempty"` // over which a fresh instance's share grows to that of the others

	MaxConnections int `json:"max_connections,omitempty"` // requests and tunnels that an instance has at a time; 0: no limit

	HeaderTimeout Duration `json:"header_timeout,omitempty"` // from the request to the head of the answer; 0: 15m
	IdleTimeout   Duration `json:"idle_timeout,omitempty"`   // without a byte of an answer or in a tunnel; 0: no limit
	TotalTimeout  Duration `json:"total_timeout,omitempty"`  // from the request to the end of the answer, tunnels aside; 0: no limit

	Retries   *int     `json:"retries,omitempty"`    // at other instances after the first; nil: as many as there are
	RetryTime Duration `json:"retry_time,omitempty"` // after which no retry begins; 0: 10s

	RateLimit       string `json:"rate_limit,omitempty"`        // requests of all clients, as "100/s", "30/m" or "500/h"; empty: no limit
	RateBurst       int    `json:"rate_burst,omitempty"`        // how many may come at once; 0: those of one second, at least 1
	ClientRateLimit string `json:"client_rate_limit,omitempty"` // the same for each client's address
	ClientRateBurst int    `json:"client_rate_burst,omitempty"`

	RequestHeaders  *HeaderRules `json:"request_headers,omitempty"`
	ResponseHeaders *HeaderRules `json:"response_headers,omitempty"`

	RedirectHTTPS bool     `json:"redirect_https,omitempty"` // plain HTTP is answered with the https URL
	BasicAuth     []string `json:"basic_auth,omitempty"`     // "USER:HASH" with bcrypt's hash, as `htpasswd -nB USER` prints it: a secret
	Allow         []string `json:"allow,omitempty"`          // addresses and networks of clients; empty: all

	ErrorPages map[string]string `json:"error_pages,omitempty"` // HTML for browsers instead of the router's own errors, by "503" and the like, "4xx", "5xx" or "error" for all others. In it {status}, {reason}, {cause} and {request_id} stand for what is to be told
}

// HeaderRules change the header of a request or an answer. What is to be removed
// goes first.
type HeaderRules struct {
	Set    map[string]string `json:"set,omitempty"` // instead of all fields of that name
	Add    map[string]string `json:"add,omitempty"` // beside those of that name
	Remove []string          `json:"remove,omitempty"`
}

func (h *HeaderRules) copy() *HeaderRules {
	if h == nil {
		return nil
	}
	return &HeaderRules{maps.Clone(h.Set), maps.Clone(h.Add), slices.Clone(h.Remove)}
}

func (h *HeaderRules) empty() bool { return h == nil || len(h.Set)+len(h.Add)+len(h.Remove) == 0 }

// copy returns a copy that shares nothing with o; nil if o says nothing.
func (o *RouteOptions) copy() *RouteOptions {
	if o == nil {
		return nil
	}
	c := *o
	c.ErrorPages = nil
	if len(o.ErrorPages) > 0 {
		c.ErrorPages = maps.Clone(o.ErrorPages)
	}
	c.BasicAuth, c.Allow = cloned(o.BasicAuth), cloned(o.Allow)
	c.RequestHeaders, c.ResponseHeaders = o.RequestHeaders.copy(), o.ResponseHeaders.copy()
	if c.RequestHeaders.empty() {
		c.RequestHeaders = nil
	}
	if c.ResponseHeaders.empty() {
		c.ResponseHeaders = nil
	}
	if o.Retries != nil {
		n := *o.Retries
		c.Retries = &n
	}
	if c.plain() {
		return nil
	}
	return &c
}

// cloned returns a copy of s; nil if it is empty.
func cloned(s []string) []string {
	if len(s) == 0 {
		return nil
	}
	return slices.Clone(s)
}

// plain reports whether nothing is asked for.
func (o *RouteOptions) plain() bool { return reflect.ValueOf(*o).IsZero() }

// ParseRate reads "100/s", "30/m" or "500/h" and returns how many that are a
// second. No text is 0. Errors are ErrInvalid.
func ParseRate(text string) (perSecond float64, err error) {
	if text == "" {
		return 0, nil
	}
	number, unit, _ := strings.Cut(text, "/")
	per := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour}[unit]
	n, err := strconv.Atoi(number)
	if err != nil || n < 1 || n > maxRate || per == 0 {
		return 0, Invalid("%s is no rate: write a number from 1 to %d and /s, /m or /h, as 100/s", quote(text), maxRate)
	}
	return float64(n) / per.Seconds(), nil
}
