// Command router compares our router with nginx, HAProxy, Caddy and a plain
// httputil.ReverseProxy: wrk against each, all to the same backend, in turns on
// the same machine over loopback. The last line it prints is one JSON object
// with the figures for 32 connections, small bodies and one route.
//
// Each proxy adds X-Forwarded-For and keeps its connections to the backend;
// each may use all cores; none writes an access log. The peers are configured
// to be fast, not to be like ours: ours adds a request id and more headers.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"
)

func main() {
	log.SetFlags(0)
	o := options{}
	flag.DurationVar(&o.each, "each", 2*time.Second, "how long each run of wrk takes")
	flag.IntVar(&o.rounds, "rounds", 3, "how often the runs that the last line tells of are made")
	flag.StringVar(&o.only, "only", "", "comma-separated names of the proxies to run; empty: all")
	flag.BoolVar(&o.quick, "quick", false, "make only the runs that the last line tells of")
	part := flag.String("part", "", "be one of the proxies in Go: lattice or stdlib (used by the benchmark itself)")
	listen := flag.String("listen", "", "with -part: the address to listen on")
	backend := flag.String("backend", "", "with -part: the backend's address")
	routes := flag.Int("routes", 1, "with -part: the number of routes")
	flag.Parse()
	var err error
	if *part != "" {
		err = serve(*part, *listen, *backend, *routes)
	} else {
		err = bench(o)
	}
	if err != nil {
		log.Fatal("bench-router: ", err)
	}
}

type options struct {
	each   time.Duration
	rounds int
	only   string
	quick  bool
}

// result is the last line. Ratios are ours to the peer's.
type result struct {
	HAProxy       float64 `json:"haproxy_ratio"`
	Caddy         float64 `json:"caddy_ratio"`
	Stdlib        float64 `json:"stdlib_ratio"`
	Nginx         float64 `json:"nginx_ratio"`
	P99           float64 `json:"p99_haproxy_ratio"`
	CPU           float64 `json:"cpu_us_per_request"`
	BytesPerRoute float64 `json:"bytes_per_route"`
}

func bench(o options) error {
	dir, err := os.MkdirTemp("", "lattice-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	h := &host{dir: dir}
	defer h.stop()
	backend, err := h.backend()
	if err != nil {
		return err
	}
	all := contenders(o.only)
	head := scenario{conns: 32, path: "/small", routes: 1}
	var told map[string]sample
	for _, routes := range []int{1, 100_000} {
		if o.quick && routes > 1 {
			break
		}
		if err := h.start(all, backend, routes); err != nil {
			return err
		}
		for _, s := range scenarios(routes, o.quick) {
			rounds := 1
			if s == head {
				rounds = o.rounds
			}
			got, err := race(all, s, o.each, rounds)
			if err != nil {
				return err
			}
			table(all, s, got)
			if s == head {
				told = got
			}
		}
		h.stopProxies()
	}
	return json.NewEncoder(os.Stdout).Encode(summary(told))
}

// summary returns the last line. Peers that did not run have no ratio.
func summary(got map[string]sample) result {
	ours := got["lattice"]
	r := result{CPU: round(ours.cpu), BytesPerRoute: round(bytesPerRoute(100_000))}
	ratio := func(peer string) float64 {
		if got[peer].rate == 0 {
			return 0
		}
		return round(ours.rate / got[peer].rate)
	}
	r.HAProxy, r.Caddy, r.Stdlib, r.Nginx = ratio("haproxy"), ratio("caddy"), ratio("stdlib"), ratio("nginx")
	if p := got["haproxy"].p99; p > 0 {
		r.P99 = round(float64(ours.p99) / float64(p))
	}
	return r
}

func table(all []*contender, s scenario, got map[string]sample) {
	fmt.Printf("\n%d connections, %s, %d routes\n", s.conns, s.path[1:], s.routes)
	fmt.Printf("%-10s %10s %10s %10s %12s\n", "", "req/s", "p50", "p99", "CPU µs/req")
	for _, c := range all {
		g := got[c.name]
		fmt.Printf("%-10s %10.0f %10v %10v %12.1f\n", c.name, g.rate, g.p50, g.p99, g.cpu)
	}
}

func round(f float64) float64 { return float64(int64(f*100+0.5)) / 100 }
