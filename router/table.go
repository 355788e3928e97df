package router

import "strings"

// maxHost is the longest host name there can be, in bytes (RFC 1035).
const maxHost = 255

// A Table says which instances serve which host and path. It never changes;
// Build makes a new one.
type Table struct {
	exact    map[string]*site // by host
	wild     map[string]*site // by what follows "*."
	routes   []*Route         // by Route.id
	backends []*Backend       // by Backend.id
}

// A Route is one host and path prefix with the instances behind it.
type Route struct {
	Host     string     // lower case; "*.x.y" matches one or more labels before x.y
	Path     string     // prefix on segment borders, without a trailing slash; empty: all
	Backends []*Backend // by app, then index; empty: no instance is healthy

	id int
}

// A Backend is one port of a healthy instance.
type Backend struct {
	App      string
	Index    int
	Instance string // unique for each container: its GUID, or the placement's ID when it has none
	Addr     string // host:port to connect to

	id int
}

// Routes returns all routes in a stable order. The caller must not change them.
func (t *Table) Routes() []*Route { return t.routes }

// Lookup returns the route for a request's Host header, with or without a port,
// and its unescaped path; nil when there is none. An exact host goes before a
// wildcard, a longer wildcard before a shorter, and under one host the longest
// path wins. A host without a fitting path is as good as no host.
func (t *Table) Lookup(host, path string) *Route {
	var buf [maxHost]byte
	h := hostKey(&buf, host)
	// string(h) as a map index is not copied, so nothing is allocated.
	if r := t.exact[string(h)].find(path); r != nil {
		return r
	}
	if len(t.wild) == 0 {
		return nil
	}
	for i := 1; i < len(h); i++ { // from 1: the wildcard stands for at least one character
		if h[i] != '.' {
			continue
		}
		if r := t.wild[string(h[i+1:])].find(path); r != nil {
			return r
		}
	}
	return nil
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

// add puts r into the site. There must be no route with its path yet.
func (s *site) add(r *Route) {
	if r.Path == "" {
		s.root = r
		return
	}
	if s.paths == nil {
		s.paths = make(map[string]*Route, 1)
	}
	s.paths[r.Path] = r
	s.longest = max(s.longest, len(r.Path))
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

// sites returns the map that host belongs in, and its key there.
func (t *Table) sites(host string) (map[string]*site, string) {
	if suffix, ok := strings.CutPrefix(host, "*."); ok {
		return t.wild, suffix
	}
	return t.exact, host
}

// same returns the route of t that has r's host and path, or nil.
func (t *Table) same(r *Route) *Route {
	m, key := t.sites(r.Host)
	return m[key].at(r.Path)
}
