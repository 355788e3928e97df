//go:build linux

package network

import (
	"context"
	"os"
	"slices"
	"testing"
	"time"
)

// BenchmarkAttach measures Attach and Release of one container on a host that
// has twenty others, and how soon after the start of Attach the container
// answers. Each container is a new namespace, as in life, whose making isn't
// counted.
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
	var attach, answer, release []time.Duration
	for b.Loop() {
		l, err := n.Reserve("x", []int{8080})
		check(b, err)
		c := newNode(b, "x", 0)
		c.listen(":8080")
		start := time.Now()
		check(b, n.Attach(context.Background(), l, c.pid))
		attach = append(attach, time.Since(start))
		hostReaches(b, box{c, l}.direct(), "x", gateway(n.subnet).String())
		answer = append(answer, time.Since(start))
		start = time.Now()
		check(b, n.Release(context.Background(), "x"))
		release = append(release, time.Since(start))
	}
	report(b, "attach", attach)
	report(b, "answer", answer)
	report(b, "release", release)
}

func report(b *testing.B, what string, took []time.Duration) {
	slices.Sort(took)
	for name, at := range map[string]int{"-p50-ms": len(took) / 2, "-p95-ms": len(took) * 95 / 100} {
		b.ReportMetric(float64(took[at].Microseconds())/1000, what+name)
	}
}
