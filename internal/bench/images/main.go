// Command images measures how long an image of 200 MB in 10 layers takes until it
// is pulled and unpacked, by lattice and by ctr, on one cell and on three at once;
// and how much of it leaves the registry for three cells. The last line it prints
// is one JSON object. What a pull costs the cell's process, and ctr's containerd, in
// processor time is measured too: it is what the others on this machine don't disturb.
//
// Everything runs in network namespaces on one machine: the registry, the brain,
// and three hosts, each with a cell and with a containerd of its own for ctr, which
// are built from the version that go.mod pins. Each round has an image of its own,
// of random bytes, so that nobody has any of it. lattice's time is from `create`
// until all instances have failed because the image has no command, which is the
// first thing that happens after the pull: it includes the request, the choice of
// the digest, the placement and the report.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	layerCount = 10
	layerBytes = 20 << 20
)

func main() {
	log.SetFlags(0)
	rounds := flag.Int("rounds", 7, "how often each is measured")
	flag.Parse()
	if err := bench(*rounds); err != nil {
		log.Fatal("bench-images: ", err)
	}
}

// result is the last line.
type result struct {
	One      float64 `json:"lattice_one_cell_s"`
	CtrOne   float64 `json:"ctr_one_s"`
	Three    float64 `json:"lattice_three_cells_s"`
	CtrThree float64 `json:"ctr_three_s"`

	PullRatio  float64 `json:"pull_ratio_to_ctr"`
	ThreeRatio float64 `json:"three_cells_ratio"`
	CPURatio   float64 `json:"cell_cpu_ratio_to_ctr"` // of the first cell, when it alone pulls
	Upstream   float64 `json:"upstream_ratio"`        // what left the registry for three cells, of the image
}

func bench(rounds int) (err error) {
	dir, err := os.MkdirTemp("", "lattice-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	l, err := newLab(dir)
	if err != nil {
		return err
	}
	defer l.close()
	reg, err := newRegistry(l.hosts["reg"])
	if err != nil {
		return err
	}
	fmt.Println("building ctr and containerd, starting a brain and three cells")
	ours, peer := &lattice{lab: l}, &ctr{lab: l}
	for _, c := range []contender{ours, peer} {
		defer c.down()
		if err := c.up(); err != nil {
			return err
		}
	}
	took, busy := map[string][]float64{}, map[string][]float64{}
	var upstream []float64
	for round := range rounds {
		for _, n := range []int{1, 3} {
			for _, c := range []contender{peer, ours} {
				image, size, err := reg.fresh(fmt.Sprintf("bench/%s-%d-%d", c.name(), n, round))
				if err != nil {
					return err
				}
				before := cpuTime(c.cell())
				t, err := c.pull(image, n)
				cpu := cpuTime(c.cell()) - before
				if err = errors.Join(err, c.forget(image, n)); err != nil {
					return fmt.Errorf("%s on %d: %w", c.name(), n, err)
				}
				left := float64(reg.left.Load()) / float64(size)
				fmt.Printf("round %d: %-7s on %d: %6.2f s, %.2f s of processor on the first, %.2f of the image left the registry\n", round+1, c.name(), n, t.Seconds(), cpu.Seconds(), left)
				if n == 1 {
					busy[c.name()] = append(busy[c.name()], cpu.Seconds())
				}
				took[fmt.Sprint(c.name(), n)] = append(took[fmt.Sprint(c.name(), n)], t.Seconds())
				if n == 3 && c == contender(ours) {
					upstream = append(upstream, left)
				}
			}
		}
	}
	r := result{One: median(took["lattice1"]), CtrOne: median(took["ctr1"]), Three: median(took["lattice3"]), CtrThree: median(took["ctr3"]), Upstream: median(upstream)}
	r.PullRatio, r.ThreeRatio, r.CPURatio = r.One/r.CtrOne, r.Three/r.CtrThree, median(busy["lattice"])/median(busy["ctr"])
	fmt.Println()
	return json.NewEncoder(os.Stdout).Encode(r)
}

// A contender pulls images on one or three hosts.
type contender interface {
	name() string
	up() error
	pull(image string, hosts int) (time.Duration, error)
	cell() int // the process that pulls on the first host
	forget(image string, hosts int) error
	down()
}

// cpuTime returns the processor time that a process has used, with the children that
// it has waited for: they unpack.
func cpuTime(pid int) time.Duration {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0
	}
	_, rest, _ := strings.Cut(string(stat), ") ")
	f := strings.Fields(rest)
	var ticks int
	for _, text := range f[11:15] {
		n, _ := strconv.Atoi(text) // the kernel writes numbers
		ticks += n
	}
	return time.Duration(ticks) * 10 * time.Millisecond
}

func median(all []float64) float64 {
	slices.Sort(all)
	return all[len(all)/2]
}
