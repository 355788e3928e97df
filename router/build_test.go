package router_test

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/router"
)

// render writes a table as "host/path=app/index@addr,… …".
func render(t *router.Table) string {
	var lines []string
	for _, r := range t.Routes() {
		var bs []string
		for _, b := range r.Backends {
			bs = append(bs, fmt.Sprintf("%s/%d@%s", b.App, b.Index, b.Addr))
		}
		lines = append(lines, r.Host+r.Path+"="+strings.Join(bs, ","))
	}
	return strings.Join(lines, " ")
}

// on is a running instance of "web" on cell c; it has the ports 8080 and 9090.
func on(index int, c string) app.Instance {
	return app.Instance{
		ID: fmt.Sprintf("p%d", index), GUID: fmt.Sprintf("g%d", index), App: "web", Index: index, Cell: c, State: app.Running,
		IP: fmt.Sprintf("10.0.0.%d", index+1), Host: c,
		Ports: []app.PortPair{{Container: 8080, Host: 60000 + 2*index}, {Container: 9090, Host: 60001 + 2*index}},
	}
}

func with(in app.Instance, change func(*app.Instance)) app.Instance {
	change(&in)
	return in
}

func web(routes []app.Route, ins ...app.Instance) app.Status {
	return app.Status{App: app.App{Name: "web", Routes: routes}, Instances: ins}
}

func TestBuild(t *testing.T) {
	w := []app.Route{{Host: "w"}}
	now := time.Now()
	cases := []struct {
		name string
		in   []app.Status
		want string
	}{
		{"nothing", nil, ""},
		{"default routes", []app.Status{web(nil, on(0, "b"))}, "web-8080.lab=web/0@b:60000 web-9090.lab=web/0@b:60001 web.lab=web/0@b:60000"},
		{"local cell", []app.Status{web(w, on(0, "here"), on(1, "b"))}, "w.lab=web/0@10.0.0.1:8080,web/1@b:60002"},
		{"local cell, no address of its own", []app.Status{web(w, with(on(0, "here"), func(i *app.Instance) { i.IP = "" }))}, "w.lab=web/0@here:60000"},
		{"IPv6", []app.Status{web(w, with(on(0, "b"), func(i *app.Instance) { i.Host = "fd00::1" }))}, "w.lab=web/0@[fd00::1]:60000"},
		{"no host port", []app.Status{web(w, with(on(0, "b"), func(i *app.Instance) { i.Ports[0].Host = 0 }))}, "w.lab="},
		{"no ports", []app.Status{web(w, with(on(0, "b"), func(i *app.Instance) { i.Ports = nil }))}, "w.lab="},
		{"no routes", []app.Status{{App: app.App{Name: "web", NoRoutes: true}, Instances: []app.Instance{on(0, "b")}}}, ""},
		{"no instances, ports named", []app.Status{{App: app.App{Name: "web", Ports: []int{80}}}}, "web-80.lab= web.lab="},
		{"only claimed", []app.Status{web(w, with(on(0, "b"), func(i *app.Instance) { i.State = app.Claimed }))}, "w.lab="},
		{"not ready", []app.Status{web(w, with(on(0, "b"), func(i *app.Instance) { i.Unready = true }), on(1, "b"))}, "w.lab=web/1@b:60002"},
		{"draining", []app.Status{web(w, with(on(0, "b"), func(i *app.Instance) { i.Draining = true }), on(1, "b"))}, "w.lab=web/1@b:60002"},
		{"stopping", []app.Status{web(w, with(on(0, "b"), func(i *app.Instance) { i.Stopping = true }), on(1, "b"))}, "w.lab=web/1@b:60002"},
		{"draining", []app.Status{web(w, with(on(0, "b"), func(i *app.Instance) { i.Draining = true }), on(1, "b"))}, "w.lab=web/1@b:60002"},
		{"not ready", []app.Status{web(w, with(on(0, "b"), func(i *app.Instance) { i.Unready = true }), on(1, "b"))}, "w.lab=web/1@b:60002"},
		{"stray", []app.Status{web(nil, with(on(0, "b"), func(i *app.Instance) { i.Stray = true }))}, "web.lab="},
		{"one index twice: newer revision", []app.Status{web(w, on(0, "b"), with(on(0, "c"), func(i *app.Instance) { i.Revision = 1 }))}, "w.lab=web/0@c:60000"},
		{"one index twice: longer running", []app.Status{web(w,
			with(on(0, "b"), func(i *app.Instance) { i.Since = now }),
			with(on(0, "c"), func(i *app.Instance) { i.Since = now.Add(-time.Second) }))}, "w.lab=web/0@c:60000"},
		{"by index", []app.Status{web(w, on(2, "b"), on(0, "b"))}, "w.lab=web/0@b:60000,web/2@b:60004"},
		{"port of a route", []app.Status{web([]app.Route{{Host: "w", Port: 9090}}, on(0, "b"))}, "w.lab=web/0@b:60001"},
		{"port nobody has", []app.Status{web([]app.Route{{Host: "w", Port: 1}}, on(0, "b"))}, "w.lab="},
		{"hosts and paths", []app.Status{web([]app.Route{{Host: "X.org."}, {Host: "*"}, {Host: "*.y.org", Path: "/a/"}, {Host: "x.org", Path: "/"}}, on(0, "b"))},
			"*.lab=web/0@b:60000 *.y.org/a=web/0@b:60000 x.org=web/0@b:60000"},
		{"two ports, one route", []app.Status{web([]app.Route{{Host: "w"}, {Host: "w", Port: 8080}, {Host: "w", Port: 9090}}, on(0, "b"))}, "w.lab=web/0@b:60000,web/0@b:60001"},
		{"two apps, one route", []app.Status{
			web(w, on(1, "b"), on(0, "b")),
			{App: app.App{Name: "also", Routes: w}, Instances: []app.Instance{with(on(5, "b"), func(i *app.Instance) { i.App = "also" })}},
		}, "w.lab=also/5@b:60010,web/0@b:60000,web/1@b:60002"},
		{"host too long", []app.Status{web([]app.Route{{Host: strings.Repeat("a", 260)}}, on(0, "b"))}, ""},
	}
	local := func(cell string) bool { return cell == "here" }
	for _, c := range cases {
		if got := render(router.Build(c.in, "lab", local)); got != c.want {
			t.Errorf("%s:\n got %s\nwant %s", c.name, got, c.want)
		}
		slices.Reverse(c.in)
		if got := render(router.Build(c.in, "lab", local)); got != c.want {
			t.Errorf("%s, other order:\n got %s\nwant %s", c.name, got, c.want)
		}
	}
}

func TestURLs(t *testing.T) {
	cases := []struct {
		status    app.Status
		routerURL string
		want      string
	}{
		{web(nil, on(0, "b")), "http://lab:8080", "[http://web.lab:8080 http://web-8080.lab:8080 http://web-9090.lab:8080]"},
		{web([]app.Route{{Host: "w", Path: "/a"}, {Host: "x.org", Port: 9090}, {Host: "w", Path: "/a/", Port: 1}}), "https://lab", "[https://w.lab/a https://x.org]"},
		{app.Status{App: app.App{Name: "web"}}, "", "[http://web.lab]"},
		{app.Status{App: app.App{Name: "web", NoRoutes: true}}, "http://lab", "[]"},
	}
	for _, c := range cases {
		got := router.URLs(c.status, "lab", c.routerURL)
		if got == nil || fmt.Sprint(got) != c.want {
			t.Errorf("URLs(%+v, %q) = %v, want %v", c.status.App, c.routerURL, got, c.want)
		}
	}
}
