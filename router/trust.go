package router

import (
	"bytes"
	"net/http"
	"net/netip"
	"strings"

	"lattice/router/wire"
)

// trusts reports whether a is a proxy that the router believes. Only from such
// are X-Forwarded-For, -Host, -Proto and Forwarded passed on; those of all
// others are thrown away.
func (r *Router) trusts(a netip.Addr) bool { return within(r.trusted, a) }

// theClient returns the last address of X-Forwarded-For, which may be in
// several fields, that is not a trusted proxy's. peer is who is connected.
func (r *Router) theClient(peer netip.Addr, fields []string) netip.Addr {
	for i := len(fields) - 1; i >= 0 && r.trusts(peer); i-- {
		rest := fields[i]
		for rest != "" && r.trusts(peer) {
			last := rest
			rest = ""
			if comma := strings.LastIndexByte(last, ','); comma >= 0 {
				rest, last = last[:comma], last[comma+1:]
			}
			a, ok := parseNode(strings.TrimSpace(last))
			if !ok {
				return peer // what is before it was written by nobody trusted
			}
			peer = a
		}
	}
	return peer
}

// parseNode reads an address with or without a port.
func parseNode(s string) (netip.Addr, bool) {
	if a, err := netip.ParseAddr(strings.Trim(s, "[]")); err == nil {
		return a.Unmap().WithZone(""), true
	}
	a, err := netip.ParseAddrPort(s)
	return a.Addr().Unmap().WithZone(""), err == nil
}

// node returns an address as it stands in Forwarded.
func node(ip string) string {
	if strings.Contains(ip, ":") {
		return `"[` + ip + `]"`
	}
	return ip
}

// appendForwarded appends the fields that say who asks. scheme is that of the
// connection.
func (c *client) appendForwarded(out []byte) []byte {
	host, scheme := c.req.Host, c.s.scheme
	out = append(out, "X-Forwarded-For: "...)
	if c.trusted {
		out = c.appendValues(out, wire.ForwardedFor)
		if f := c.req.Get(wire.ForwardedHost); f != nil {
			host = f.Value
		}
		if f := c.req.Get(wire.ForwardedProto); f != nil {
			scheme = text(f.Value)
		}
	}
	out = append(out, c.ip...)
	out = append(out, "\r\nX-Forwarded-Host: "...)
	out = append(out, host...)
	out = append(out, "\r\nX-Forwarded-Proto: "...)
	out = append(out, scheme...)
	out = append(out, "\r\nForwarded: "...)
	if c.trusted {
		out = c.appendValues(out, wire.Forwarded)
	}
	out = append(out, "for="...)
	out = append(out, c.node...)
	out = append(out, `;host="`...)
	out = append(out, c.req.Host...)
	out = append(out, `";proto=`...)
	return append(out, c.s.scheme...)
}

// appendValues appends the values of all fields with this ID, each with a comma.
func (c *client) appendValues(out []byte, id wire.ID) []byte {
	for i := range c.req.Fields {
		if f := &c.req.Fields[i]; f.ID == id && len(bytes.TrimSpace(f.Value)) > 0 {
			out = append(out, f.Value...)
			out = append(out, ", "...)
		}
	}
	return out
}

// forward is appendForwarded on the library's path.
func (x *exchange) forward(in, out *http.Request) {
	peer, scheme := httpCaller{x}.peer(), schemeOf(in)
	host, proto, forwardedFor, forwarded := in.Host, scheme, []string(nil), []string(nil)
	if x.r.trusts(peer) {
		forwardedFor, forwarded = in.Header["X-Forwarded-For"], in.Header["Forwarded"]
		if h := in.Header.Get("X-Forwarded-Host"); h != "" {
			host = h
		}
		if p := in.Header.Get("X-Forwarded-Proto"); p != "" {
			proto = p
		}
	}
	add := func(name string, before []string, value string) {
		out.Header[name] = []string{strings.Join(append(append([]string(nil), before...), value), ", ")}
	}
	add("X-Forwarded-For", forwardedFor, peer.String())
	add("X-Forwarded-Host", nil, host)
	add("X-Forwarded-Proto", nil, proto)
	add("Forwarded", forwarded, "for="+node(peer.String())+`;host="`+in.Host+`";proto=`+scheme)
}

// The fast path's caller.

func (c *client) values(name string) (all []string) {
	for i := range c.req.Fields {
		if f := &c.req.Fields[i]; len(f.Name) == len(name) && strings.EqualFold(text(f.Name), name) {
			all = append(all, string(f.Value))
		}
	}
	return all
}

func (c *client) client() netip.Addr {
	if !c.trusted {
		return c.peer
	}
	return c.r.theClient(c.peer, c.values("X-Forwarded-For"))
}

func (c *client) secure() bool {
	return c.s.scheme == "https" || c.trusted && first(c, "X-Forwarded-Proto") == "https"
}

func (c *client) path() string { return string(c.req.Target) }

// An httpCaller is the library path's.
type httpCaller struct{ x *exchange }

func (h httpCaller) values(name string) []string { return h.x.in.Header.Values(name) }

func (h httpCaller) peer() netip.Addr {
	a, _ := netip.ParseAddrPort(h.x.in.RemoteAddr)
	return a.Addr().Unmap().WithZone("")
}

func (h httpCaller) client() netip.Addr {
	return h.x.r.theClient(h.peer(), h.values("X-Forwarded-For"))
}

func (h httpCaller) secure() bool {
	return schemeOf(h.x.in) == "https" || h.x.r.trusts(h.peer()) && first(h, "X-Forwarded-Proto") == "https"
}

func (h httpCaller) path() string { return h.x.in.URL.RequestURI() }
