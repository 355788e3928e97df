package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"os/signal"
	"runtime"
	"strconv"
	"syscall"
	"time"

	"lattice/app"
	"lattice/router"
)

// serve is one of the proxies in Go until it gets SIGTERM.
func serve(part, listen, backend string, routes int) error {
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, syscall.SIGINT)
	defer stop()
	if part == "stdlib" {
		srv := &http.Server{Handler: plain(backend, routes)}
		ln, err := net.Listen("tcp", listen)
		if err != nil {
			return err
		}
		context.AfterFunc(ctx, func() { _ = srv.Close() })
		if err := srv.Serve(ln); err != http.ErrServerClosed {
			return err
		}
		return nil
	}
	table, _, err := routed(backend, routes)
	if err != nil {
		return err
	}
	r := router.New(router.Options{})
	r.Swap(table)
	ln, err := net.Listen("tcp", listen) // now: the benchmark begins when it can connect
	if err != nil {
		return err
	}
	return r.Serve(ctx, ln, 100*time.Millisecond)
}

// plain is what a Go programmer writes in ten lines; only the number of idle
// connections is raised, because with the default of two it is slower still.
func plain(backend string, routes int) http.Handler {
	target := &url.URL{Scheme: "http", Host: backend}
	table := make(map[string]*url.URL, routes)
	for i := range routes {
		table[hostName(i)] = target
	}
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.MaxIdleConns, transport.MaxIdleConnsPerHost = 0, 1024
	proxy := &httputil.ReverseProxy{Transport: transport, Rewrite: func(p *httputil.ProxyRequest) {
		p.SetURL(table[p.In.Host])
		p.Out.Host = p.In.Host
		p.SetXForwarded()
	}}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if table[req.Host] == nil {
			http.NotFound(w, req)
			return
		}
		proxy.ServeHTTP(w, req)
	})
}

// routed returns a table of one app a route, each with one instance, and the
// builder that made it.
func routed(backend string, routes int) (*router.Table, *router.Builder, error) {
	host, p, err := net.SplitHostPort(backend)
	if err != nil {
		return nil, nil, err
	}
	port, err := strconv.Atoi(p)
	if err != nil {
		return nil, nil, err
	}
	b := router.NewBuilder("lab", nil)
	for i := range routes {
		name := "app-" + strconv.Itoa(i)
		b.Set(&app.Status{
			App: app.App{Name: name, Ports: []int{8080}, Routes: []app.Route{{Host: name}}},
			Instances: []app.Instance{{
				App: name, GUID: fmt.Sprintf("%032x", i), State: app.Running, Host: host,
				Ports: []app.PortPair{{Container: 8080, Host: port}},
			}},
		})
	}
	return b.Table(), b, nil
}

// bytesPerRoute returns how much memory router and builder need for each of n
// routes, names included.
func bytesPerRoute(n int) float64 {
	before := heap()
	r := router.New(router.Options{})
	table, b, err := routed("10.0.0.1:80", n)
	if err != nil {
		panic(err) // the address is right there
	}
	r.Swap(table)
	after := heap()
	runtime.KeepAlive(r)
	runtime.KeepAlive(b)
	return float64(after-before) / float64(n)
}

func heap() uint64 {
	runtime.GC()
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
