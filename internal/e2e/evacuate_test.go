package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestEvacuateOnStop stops a cell that moves its instances away first, under
// load, and checks that it takes instances again when it is back.
func TestEvacuateOnStop(t *testing.T) {
	l := newLab(t, "brain", "c1", "c2")
	brain, c1, c2 := l.host("brain"), l.host("c1"), l.host("c2")
	brain.waitReady(brain.start("brain"))
	token := strings.TrimSpace(brain.ltc("token"))
	first := c1.start("cell", "--join", brain.addr, "--token", token, "--evacuate-on-stop")
	c1.waitReady(first)
	brain.ltc("create", "hello", "lattice/hello", "-i", "3")
	c2.waitReady(c2.start("cell", "--join", brain.addr, "--token", token))
	if got := perCell(brain.status("hello")); got["c1"] != 3 {
		t.Fatalf("instances by cell: %v, want all on c1", got)
	}

	asks := sample(t, "the app", 5*time.Millisecond, brain.askApp("hello"))
	start := time.Now()
	if code := first.stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
	t.Logf("SIGTERM to the end of the cell, 3 instances moved: %v", time.Since(start).Round(time.Millisecond))
	if got := perCell(brain.status("hello")); got["c2"] != 3 || len(got) != 1 {
		t.Errorf("instances by cell: %v, want all on c2", got)
	}
	asks.report(t, "the instances move", 100*time.Millisecond)

	c1.waitReady(c1.start("cell"))
	eventually(t, 20*time.Second, "the cell takes instances again", func() string {
		if out := brain.ltc("cells"); strings.Contains(out, "DRAINING") || strings.Count(out, "ALIVE") != 2 {
			return out
		}
		return ""
	})
	brain.ltc("scale", "hello", "6")
	if got := perCell(brain.status("hello")); got["c1"] == 0 {
		t.Errorf("instances by cell: %v, want some on c1", got)
	}
	brain.ltc("remove", "hello")
	eventually(t, 20*time.Second, "nothing is left", func() string {
		if out := brain.ltc("list"); strings.Contains(out, "hello") {
			return fmt.Sprint(out)
		}
		return ""
	})
}
