//go:build linux

package network

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"

	"lattice/cells"
)

// BenchmarkAttach measures Attach and Release of one container on a host that
// has twenty others. Each container is a new namespace, as in life, whose
// making isn't counted.
func BenchmarkAttach(b *testing.B) {
	if os.Getenv(hostEnv) == "" {
		out, err := hostCommand(b.Context(), "-test.run=^$", "-test.bench=^BenchmarkAttach$", "-test.benchtime=100x").CombinedOutput()
		b.Logf("%s", out)
		if err != nil {
			b.Fatal(err)
		}
		return
	}
	loopbackUp(b)
	n, err := Open(Config{Name: testName, Dir: b.TempDir()})
	check(b, err)
	defer n.Close()
	check(b, n.Restore(b.Context(), nil))
	for i := range 20 {
		l, err := n.Reserve(string(rune('a'+i)), []int{8080})
		check(b, err)
		check(b, n.Attach(b.Context(), l, newNode(b, l.GUID, 0).pid))
	}
	var attach, release []time.Duration
	for b.Loop() {
		l, err := n.Reserve("x", []int{8080})
		check(b, err)
		attach = append(attach, attachNew(b, n, l))
		start := time.Now()
		check(b, n.Release(context.Background(), "x"))
		release = append(release, time.Since(start))
	}
	report(b, "attach", attach)
	report(b, "release", release)
}

func attachNew(b *testing.B, n *Network, l cells.Lease) time.Duration {
	c := newNode(b, "x", 0)
	start := time.Now()
	check(b, n.Attach(context.Background(), l, c.pid))
	return time.Since(start)
}

func report(b *testing.B, what string, took []time.Duration) {
	slices.Sort(took)
	for name, at := range map[string]int{"-p50-ms": len(took) / 2, "-p95-ms": len(took) * 95 / 100} {
		b.ReportMetric(float64(took[at].Microseconds())/1000, what+name)
	}
}
