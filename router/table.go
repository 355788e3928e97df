package router

import (
	"cmp"
	"hash/maphash"
	"slices"
	"strings"
	"sync/atomic"
)

// maxHost is the longest host name there can be, in bytes (RFC 1035).
const maxHost = 255

// A Table says which instances serve which host and path. It never changes;
// Build and Builder make new ones. It is for one Router, which keeps with each
// route whose turn it is.
type Table struct {
	seed  maphash.Seed
	exact hosts // by host
	wild  hosts // by what follows "*."; nil: there are none
	count int   // of routes

	// A Builder's table says how it differs from the one before.
	self, from     *origin
	added, removed []*Route
}

// An origin is a table's identity, which does not keep the table itself in
// memory.
type origin struct{ _ byte }

// hosts is a map from host to site in parts, so that a changed copy needs new
// parts only where it differs.
type hosts []map[string]*site

// parts is how many parts hosts has.
const parts = 1 << 10

// A Route is one host and path prefix with the instances behind it.
type Route struct {
	Host     string     // lower case; "*.x.y" matches one or more labels before x.y
	Path     string     // prefix on segment borders, without a trailing slash; empty: all
	Apps     []string   // that have the route, by name
	Backends []*Backend // by app, then index; empty: no instance is healthy

	policy *policy        // nil: the route has no options
	turn   *atomic.Uint64 // whose turn it is; kept by what follows the route
	ups    atomic.Pointer[[]*upstream]
}

// A Backend is one port of a healthy instance.
type Backend struct {
	App      string
	Index    int
	Instance string // unique for each container: its GUID, or the placement's ID when it has none
	Addr     string // host:port to connect to
	Port     int    // of the container
}

// newTable returns an empty table.
func newTable() *Table {
	return &Table{seed: maphash.MakeSeed(), exact: make(hosts, parts), self: new(origin)}
}

// Routes returns all routes by host and path. The caller must not change them.
func (t *Table) Routes() []*Route {
	all := make([]*Route, 0, t.count)
	for _, h := range []hosts{t.exact, t.wild} {
		for _, part := range h {
			for _, s := range part {
				all = s.appendTo(all)
			}
		}
	}
	slices.SortFunc(all, func(a, b *Route) int {
		return cmp.Or(strings.Compare(a.Host, b.Host), strings.Compare(a.Path, b.Path))
	})
	return all
}

// Lookup returns the route for a request's Host header, with or without a port,
// and its unescaped path; nil when there is none. An exact host goes before a
// wildcard, a longer wildcard before a shorter, and under one host the longest
// path wins. A host without a fitting path is as good as no host.
func (t *Table) Lookup(host, path string) *Route {
	var buf [maxHost]byte
	h := hostKey(&buf, host)
	if r := t.exact.at(t.seed, h).find(path); r != nil {
		return r
	}
	if t.wild == nil {
		return nil
	}
	for i := 1; i < len(h); i++ { // from 1: the wildcard stands for at least one character
		if h[i] != '.' {
			continue
		}
		if r := t.wild.at(t.seed, h[i+1:]).find(path); r != nil {
			return r
		}
	}
	return nil
}

// at returns the site of a host, or nil.
func (h hosts) at(seed maphash.Seed, host []byte) *site {
	// string(host) as a map index is not copied, so nothing is allocated.
	return h[maphash.Bytes(seed, host)%parts][string(host)]
}

// hostKey writes host to buf as tables spell it: lower case, without port and
// final dot. It is empty when host is no possible host name.
func hostKey(buf *[maxHost]byte, host string) []byte {
	end := len(host)
	if strings.HasPrefix(host, "[") { // an IPv6 address
		end = strings.IndexByte(host, ']') + 1
	} else if i := strings.IndexByte(host, ':'); i >= 0 {
		end = i
	}
	host = strings.TrimSuffix(host[:end], ".")
	if len(host) > maxHost {
		return nil
	}
	for i := range len(host) {
		c := host[i]
		if 'A' <= c && c <= 'Z' {
			c += 'a' - 'A'
		}
		buf[i] = c
	}
	return buf[:len(host)]
}

// A site is all routes of one host.
type site struct {
	root    *Route            // for every path; may be nil
	paths   map[string]*Route // by Path; nil when there is only a root
	longest int               // length of the longest key of paths
	of      *origin           // the table it was made for; no other may change it
}

// find returns the route with the longest path that path lies under. It looks
// at no more of path than the longest route has, so a client can't make it slow.
func (s *site) find(path string) *Route {
	if s == nil {
		return nil
	}
	if len(s.paths) > 0 {
		end := len(path)
		if end > s.longest {
			end = strings.LastIndexByte(path[:s.longest+1], '/')
		}
		for end > 0 {
			if r := s.paths[path[:end]]; r != nil {
				return r
			}
			end = strings.LastIndexByte(path[:end], '/')
		}
	}
	return s.root
}

// at returns the route with exactly this path, or nil.
func (s *site) at(path string) *Route {
	if s == nil {
		return nil
	}
	if path == "" {
		return s.root
	}
	return s.paths[path]
}

func (s *site) appendTo(all []*Route) []*Route {
	if s.root != nil {
		all = append(all, s.root)
	}
	for _, r := range s.paths {
		all = append(all, r)
	}
	return all
}

// same returns the route with this host and path, or nil.
func (t *Table) same(host, path string) *Route {
	suffix, wild := strings.CutPrefix(host, "*.")
	if !wild {
		return t.exact[maphash.String(t.seed, host)%parts][host].at(path)
	}
	if t.wild == nil {
		return nil
	}
	return t.wild[maphash.String(t.seed, suffix)%parts][suffix].at(path)
}
