package containerd_test

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"lattice/cells"
)

// BenchmarkStart measures Start with the image present.
func BenchmarkStart(b *testing.B) {
	r := open(b, config(b))
	img, err := r.Pull(b.Context(), imageName, nil)
	if err != nil {
		b.Fatal(err)
	}
	var took []time.Duration
	n := 0
	for b.Loop() {
		guid := fmt.Sprintf("bench-%d", n)
		n++
		begin := time.Now()
		err := r.Start(b.Context(), cells.Spec{
			GUID: guid, App: "web", Image: img.Name, Args: []string{"/bin/app", "run"}, MemoryMB: 64, CPUWeight: 100,
		})
		took = append(took, time.Since(begin))
		if err != nil {
			b.Fatal(err)
		}
		b.StopTimer()
		if err := r.Remove(b.Context(), guid); err != nil {
			b.Fatal(err)
		}
		b.StartTimer()
	}
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, "p50-ms")
	b.ReportMetric(float64(took[len(took)*95/100].Microseconds())/1000, "p95-ms")
}
