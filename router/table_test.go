package router_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"lattice/app"
	"lattice/router"
)

// routed returns a table in which each "host/path" leads to an app of that name.
func routed(routes ...string) *router.Table {
	var ss []app.Status
	for _, r := range routes {
		host, path, found := strings.Cut(r, "/")
		if found {
			path = "/" + path
		}
		ss = append(ss, app.Status{App: app.App{Name: r, Routes: []app.Route{{Host: host, Path: path}}}})
	}
	return router.Build(ss, "lab", nil)
}

func TestLookup(t *testing.T) {
	table := routed(
		"web.lab", "web.lab/api", "web.lab/api/v2", "web.lab/a",
		"*.lab", "*.deep.lab", "*.deep.lab/only",
		"paths.lab/x", "x.other/one", "*.other/two", "[fd00::7]:80/ip.v6",
	)
	cases := []struct{ host, path, want string }{
		{"web.lab", "/", "web.lab"},
		{"web.lab", "", "web.lab"},
		{"web.lab", "*", "web.lab"},
		{"WEB.Lab", "/", "web.lab"},
		{"web.lab:8080", "/", "web.lab"},
		{"web.lab.", "/", "web.lab"},
		{"web.lab.:80", "/", "web.lab"},
		{"web.lab..", "/", ""},
		{"web.lab", "/api", "web.lab/api"},
		{"web.lab", "/api/", "web.lab/api"},
		{"web.lab", "/api//v2", "web.lab/api"},
		{"web.lab", "/api/x/y", "web.lab/api"},
		{"web.lab", "/apix", "web.lab"},
		{"web.lab", "/ap", "web.lab"},
		{"web.lab", "/API", "web.lab"},
		{"web.lab", "/api/v2", "web.lab/api/v2"},
		{"web.lab", "/api/v2/x", "web.lab/api/v2"},
		{"web.lab", "/api/v22", "web.lab/api"},
		{"web.lab", "/a/" + strings.Repeat("b/", 1000), "web.lab/a"},
		{"one.lab", "/api", "*.lab"},
		{"two.one.lab", "/", "*.lab"},
		{"lab", "/", ""},
		{".lab", "/", ""},
		{"x.deep.lab", "/", "*.deep.lab"},
		{"y.x.deep.lab", "/only/this", "*.deep.lab/only"},
		{"deep.lab", "/", "*.lab"},
		{"paths.lab", "/x", "paths.lab/x"},
		{"paths.lab", "/y", "*.lab"}, // the exact host has no fitting path
		{"x.other", "/one", "x.other/one"},
		{"x.other", "/two", "*.other/two"},
		{"x.other", "/three", ""},
		{"", "/", ""},
		{":80", "/", ""},
		{"[FD00::7]:8080", "/ip.v6", "[fd00::7]/ip.v6"},
		{"[::1", "/", ""},
		{strings.Repeat("a.", 200) + "lab", "/", ""}, // longer than any host name
	}
	for _, c := range cases {
		got := ""
		if r := table.Lookup(c.host, c.path); r != nil {
			got = r.Host + r.Path
		}
		if got != c.want {
			t.Errorf("Lookup(%.40q, %.40q) = %q, want %q", c.host, c.path, got, c.want)
		}
	}
}

// FuzzLookup compares Lookup with a search through all routes.
func FuzzLookup(f *testing.F) {
	f.Add("web.lab web.lab/api *.lab/x *.deep.lab", "A.web.lab:80", "/api/x")
	f.Add("*.a.b *.b/p x.a.b/p/q", "x.a.b.", "/p/q/r")
	f.Add("a.b/ a.b// *.b *. .b", "..b", "//")
	f.Add("a.b/aa a.b/aaaa", "a.b", "/aaa/")
	f.Fuzz(func(t *testing.T, routes, host, path string) {
		table := routed(strings.Fields(routes)...)
		got, want := table.Lookup(host, path), slowLookup(table, host, path)
		if got != want {
			t.Errorf("routes %q: Lookup(%q, %q) = %v, want %v", routes, host, path, got, want)
		}
	})
}

func slowLookup(table *router.Table, host, path string) (best *router.Route) {
	if strings.HasPrefix(host, "[") {
		address, _, closed := strings.Cut(host, "]")
		if host = address + "]"; !closed {
			host = ""
		}
	}
	if !strings.HasPrefix(host, "[") {
		host, _, _ = strings.Cut(host, ":")
	}
	host = strings.TrimSuffix(host, ".")
	if len(host) > 255 {
		host = ""
	}
	host = strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			return r + 'a' - 'A'
		}
		return r
	}, strings.ToValidUTF8(host, "?"))
	rank := -1
	for _, r := range table.Routes() {
		suffix, wild := strings.CutPrefix(r.Host, "*")
		wild = wild && strings.HasPrefix(suffix, ".")
		switch {
		case wild && !(strings.HasSuffix(host, suffix) && len(host) > len(suffix)):
			continue
		case !wild && r.Host != host:
			continue
		case r.Path != "" && path != r.Path && !strings.HasPrefix(path, r.Path+"/"):
			continue
		}
		n := len(r.Path)
		if wild {
			n += len(suffix) << 16
		} else {
			n += 1 << 30
		}
		if n > rank {
			best, rank = r, n
		}
	}
	return best
}

func TestLookupAllocatesNothing(t *testing.T) {
	table := routed("web.lab", "web.lab/api", "*.lab", "*.x.lab/p")
	for _, req := range [][2]string{{"web.lab:8080", "/api/x"}, {"WEB.LAB", "/"}, {"a.b.lab", "/"}, {"nobody.org", "/p"}} {
		if n := testing.AllocsPerRun(100, func() { table.Lookup(req[0], req[1]) }); n != 0 {
			t.Errorf("Lookup(%q, %q) allocates %v times", req[0], req[1], n)
		}
	}
}

// many returns n apps with one running instance each.
func many(n int) []app.Status {
	ss := make([]app.Status, n)
	for i := range ss {
		name := fmt.Sprintf("app-%06d", i)
		ss[i] = app.Status{
			App: app.App{Name: name, Routes: []app.Route{{Host: name}}},
			Instances: []app.Instance{{
				ID: name, App: name, GUID: "guid-" + name, Cell: "a", State: app.Running,
				Host: fmt.Sprintf("10.0.%d.%d", i>>8&255, i&255), Ports: []app.PortPair{{Container: 8080, Host: 60000}},
			}},
		}
	}
	return ss
}

// TestMemoryPerRoute counts the table and all that router and builder keep
// beside it.
func TestMemoryPerRoute(t *testing.T) {
	const n, limit = 100_000, 2 << 10
	ss := many(n)
	before := heap()
	r := router.New(router.Options{})
	b := router.NewBuilder("lab", nil)
	b.Sync(ss)
	r.Swap(b.Table())
	per := (heap() - before) / n
	t.Logf("%d bytes a route", per)
	if per > limit {
		t.Errorf("%d bytes a route, want at most %d", per, limit)
	}
	runtime.KeepAlive(r)
	runtime.KeepAlive(b)
	runtime.KeepAlive(ss)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}

func BenchmarkLookup(b *testing.B) {
	for _, n := range []int{1, 1000, 100_000} {
		table := router.Build(many(n), "lab", nil)
		host := fmt.Sprintf("app-%06d.lab:8080", n/2)
		b.Run(fmt.Sprintf("routes=%d", n), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if table.Lookup(host, "/some/path") == nil {
					b.Fatal("not found")
				}
			}
		})
	}
}

func BenchmarkBuildAndSwap(b *testing.B) {
	for _, n := range []int{1000, 100_000} {
		ss := many(n)
		b.Run(fmt.Sprintf("Build/apps=%d", n), func(b *testing.B) {
			for b.Loop() {
				router.Build(ss, "lab", nil)
			}
		})
		b.Run(fmt.Sprintf("Swap/apps=%d", n), func(b *testing.B) {
			r, t := router.New(router.Options{}), router.Build(ss, "lab", nil)
			for b.Loop() {
				r.Swap(t)
			}
		})
	}
}
