package app

import (
	"cmp"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// Typed returns the options as Set takes them, KEY=VALUE, in the order of the
// fields, but with **** for what is secret. Of nil there are none.
func (o *RouteOptions) Typed() []string {
	if o == nil {
		return nil
	}
	var all typed
	all.text("protocol", string(o.Protocol))
	all.text("balance", string(o.Balance))
	all.text("hash-on", o.HashOn)
	all.text("sticky", o.Sticky)
	all.duration("slow-start", o.SlowStart)
	all.number("max-connections", o.MaxConnections)
	all.duration("header-timeout", o.HeaderTimeout)
	all.duration("idle-timeout", o.IdleTimeout)
	all.duration("total-timeout", o.TotalTimeout)
	if o.Retries != nil {
		all.text("retries", strconv.Itoa(*o.Retries))
	}
	all.duration("retry-time", o.RetryTime)
	all.text("rate-limit", o.RateLimit)
	all.number("rate-burst", o.RateBurst)
	all.text("client-rate-limit", o.ClientRateLimit)
	all.number("client-rate-burst", o.ClientRateBurst)
	all.rules("request-header", o.RequestHeaders, func(string) string { return "****" })
	all.rules("response-header", o.ResponseHeaders, func(value string) string { return value })
	if o.RedirectHTTPS {
		all.text("redirect-https", "true")
	}
	for _, u := range o.BasicAuth {
		name, _, _ := strings.Cut(u, ":")
		all.text("basic-auth", name+":****")
	}
	all.text("allow", strings.Join(o.Allow, ","))
	for _, of := range slices.Sorted(maps.Keys(o.ErrorPages)) {
		all.text("error-page", of+":("+strconv.Itoa(len(o.ErrorPages[of]))+" bytes)")
	}
	return all
}

type typed []string

func (t *typed) text(key, value string) {
	if value != "" {
		*t = append(*t, key+"="+value)
	}
}

func (t *typed) duration(key string, d Duration) {
	if d != 0 {
		t.text(key, d.String())
	}
}

func (t *typed) number(key string, n int) {
	if n != 0 {
		t.text(key, strconv.Itoa(n))
	}
}

// rules adds header rules; shown returns what may be seen of a value.
func (t *typed) rules(key string, h *HeaderRules, shown func(string) string) {
	h = cmp.Or(h, &HeaderRules{})
	for _, name := range slices.Sorted(maps.Keys(h.Set)) {
		t.text("set-"+key, name+": "+shown(h.Set[name]))
	}
	for _, name := range slices.Sorted(maps.Keys(h.Add)) {
		t.text("add-"+key, name+": "+shown(h.Add[name]))
	}
	t.text("remove-"+key, strings.Join(h.Remove, ","))
}
