// Command start measures how long an app takes from `create` to its first
// answer through the router, beside `ctr run` of the same image to its first
// answer, in turns on the same machine; and what lattice takes when idle and
// for each container. The last line it prints is one JSON object.
//
// Both run in a network namespace of their own, with folders of their own. ctr
// and its containerd are built from the versions that go.mod pins, and use the
// runc and shim that are bundled with lattice. ctr is given the easier task: its
// container has the host's network, no user namespace and no limits.
package main

import (
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
	runs := flag.Int("runs", 20, "how often each is started")
	flag.Parse()
	if err := bench(*runs); err != nil {
		log.Fatal("bench-start: ", err)
	}
}

// result is the last line.
type result struct {
	P50         float64 `json:"create_to_200_p50_ms"`
	P95         float64 `json:"create_to_200_p95_ms"`
	CtrP50      float64 `json:"ctr_p50_ms"`
	CtrP95      float64 `json:"ctr_p95_ms"`
	Ratio       float64 `json:"ratio"` // of the p50s
	IdleMB      float64 `json:"idle_rss_mb"`
	ContainerMB float64 `json:"per_container_mb"` // proportional set size of shim and logger, and our own growth
}

func bench(runs int) (err error) {
	dir, err := os.MkdirTemp("", "lattice-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	h, err := newHost(dir)
	if err != nil {
		return err
	}
	defer h.close()
	fmt.Println("building ctr, containerd and the image")
	ours, peer := &lattice{host: h}, &ctr{host: h}
	for _, c := range []contender{ours, peer} {
		if err := c.up(); err != nil {
			return err
		}
		defer c.down()
	}
	var r result
	if r.IdleMB, err = ours.idle(); err != nil {
		return err
	}
	mine, theirs, err := race(ours, peer, runs)
	if err != nil {
		return err
	}
	if r.ContainerMB, err = ours.perContainer(10); err != nil {
		return err
	}
	r.P50, r.P95 = at(mine, 50), at(mine, 95)
	r.CtrP50, r.CtrP95 = at(theirs, 50), at(theirs, 95)
	r.Ratio = r.P50 / r.CtrP50
	fmt.Printf("\n%-34s %8s %8s\n", fmt.Sprintf("%d runs, milliseconds", runs), "p50", "p95")
	fmt.Printf("%-34s %8.0f %8.0f\n", "lattice: create to 200 by router", r.P50, r.P95)
	fmt.Printf("%-34s %8.0f %8.0f\n", "ctr run to 200", r.CtrP50, r.CtrP95)
	fmt.Printf("\nidle: %.0f MB resident; each container: %.1f MB\n\n", r.IdleMB, r.ContainerMB)
	return json.NewEncoder(os.Stdout).Encode(r)
}

// A contender starts apps.
type contender interface {
	up() error
	start(i int) (time.Duration, error) // until the first 200; leaves nothing running
	down()
}

// race lets both start apps in turns, after a warm-up of one each.
func race(a, b contender, runs int) (as, bs []time.Duration, err error) {
	for i := range runs + 1 {
		ta, err := a.start(i)
		if err != nil {
			return nil, nil, err
		}
		tb, err := b.start(i)
		if err != nil {
			return nil, nil, err
		}
		if i > 0 {
			as, bs = append(as, ta), append(bs, tb)
		}
	}
	return as, bs, nil
}

// at returns a percentile in milliseconds.
func at(ds []time.Duration, percent int) float64 {
	ds = slices.Sorted(slices.Values(ds))
	i := min(len(ds)-1, len(ds)*percent/100)
	return float64(ds[i].Microseconds()) / 1000
}
