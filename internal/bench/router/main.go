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
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"time"
)

func main() {
	log.SetFlags(0)
	o := options{}
	flag.DurationVar(&o.each, "each", 2*time.Second, "how long each run of wrk takes")
	flag.IntVar(&o.rounds, "rounds", 7, "how often the runs that the last line tells of are made")
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
	var told map[string][]sample
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

// summary returns the last line. Its ratios are medians of those within one
// round, which the machine's other load disturbs least. Peers that did not run
// have no ratio.
func summary(got map[string][]sample) result {
	rate := func(s sample) float64 { return s.rate }
	ratio := func(peer string, of func(sample) float64) float64 {
		var all []float64
		for i := range min(len(got["lattice"]), len(got[peer])) {
			all = append(all, of(got["lattice"][i])/of(got[peer][i]))
		}
		return round(median(all))
	}
	var cpu []float64
	for _, s := range got["lattice"] {
		cpu = append(cpu, s.cpu)
	}
	return result{
		HAProxy: ratio("haproxy", rate), Caddy: ratio("caddy", rate), Stdlib: ratio("stdlib", rate), Nginx: ratio("nginx", rate),
		P99: ratio("haproxy", func(s sample) float64 { return float64(s.p99) }),
		CPU: round(median(cpu)), BytesPerRoute: round(bytesPerRoute(100_000)),
	}
}

// median returns the middle one; 0 of none.
func median(all []float64) float64 {
	if len(all) == 0 {
		return 0
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// table prints the run with the median rate of each.
func table(all []*contender, s scenario, got map[string][]sample) {
	fmt.Printf("\n%d connections, %s, %d routes\n", s.conns, s.path[1:], s.routes)
	fmt.Printf("%-10s %10s %10s %10s %12s\n", "", "req/s", "p50", "p99", "CPU µs/req")
	for _, c := range all {
		runs := slices.SortedFunc(slices.Values(got[c.name]), func(a, b sample) int { return cmp.Compare(a.rate, b.rate) })
		g := runs[len(runs)/2]
		fmt.Printf("%-10s %10.0f %10v %10v %12.1f\n", c.name, g.rate, g.p50, g.p99, g.cpu)
	}
}

func round(f float64) float64 { return float64(int64(f*100+0.5)) / 100 }
