package e2e

import (
	"strings"
	"testing"
)

// TestSelfTest runs `ltc test` on one machine and on a cluster: it must be
// green and leave nothing behind.
func TestSelfTest(t *testing.T) {
	check := func(t *testing.T, h *host) {
		t.Helper()
		out := h.ltc("test")
		t.Log("\n" + out)
		if !strings.Contains(out, "passed") || strings.Contains(out, "FAILED") {
			t.Errorf("ltc test:\n%s", out)
		}
		if left := h.ltc("list"); strings.Contains(left, "lattice-test") {
			t.Errorf("it left behind:\n%s", left)
		}
	}
	t.Run("one machine", func(t *testing.T) {
		h := newLab(t, "one").host("one")
		h.up()
		check(t, h)
	})
	t.Run("three machines", func(t *testing.T) {
		_, brain, _ := cluster(t, "c1", "c2")
		check(t, brain)
	})
}
