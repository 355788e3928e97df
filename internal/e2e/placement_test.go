package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestRebalanceUnderLoad lets all instances be on one of two cells and moves half
// of them while requests come: none may fail. Then rules say what may not be.
func TestRebalanceUnderLoad(t *testing.T) {
	_, brain, _ := cluster(t, "c1", "c2")
	brain.ltc("cell", "drain", "c2")
	brain.ltc("create", "hello", "lattice/hello", "-i", "4")
	brain.ltc("cell", "undrain", "c2")
	if got := perCell(brain.status("hello")); got["c1"] != 4 {
		t.Fatalf("instances by cell: %v, want all on c1", got)
	}
	if out := brain.ltc("rebalance", "--dry-run"); strings.Count(out, "c2") < 2 {
		t.Errorf("to move:\n%s", out)
	}
	load := brain.load("hello", 200)
	start := time.Now()
	brain.ltc("rebalance")
	eventually(t, 60*time.Second, "two on each cell", func() string {
		if got := perCell(brain.status("hello")); got["c1"] != 2 || got["c2"] != 2 || len(brain.status("hello").Instances) != 4 {
			return fmt.Sprint(got)
		}
		return ""
	})
	load.end(t, fmt.Sprintf("rebalance (%v)", time.Since(start).Round(time.Millisecond)))

	code, _, errs := brain.lattice("create", "alone", "lattice/hello", "-i", "3", "--one-per-cell")
	if code != 11 || !strings.Contains(errs, "2 cells run one of its instances already") {
		t.Errorf("three on two cells, one each: exit code %d, want 11 with the reason:\n%s", code, errs)
	}
	if got := perCell(brain.status("alone")); got["c1"] != 1 || got["c2"] != 1 {
		t.Errorf("instances by cell: %v, want one on each", got)
	}
	code, _, errs = brain.lattice("create", "elsewhere", "lattice/hello", "--require", "gpu")
	if code != 11 || !strings.Contains(errs, "2 cells lack label gpu=*") {
		t.Errorf("a label that no cell has: exit code %d, want 11 with the reason:\n%s", code, errs)
	}
	if code, out, _ := brain.lattice("simulate", "--live", "--lose", "c2"); code != 11 || !strings.Contains(out, "alone") {
		t.Errorf("simulate the loss of c2: exit code %d, want 11:\n%s", code, out)
	}
}
