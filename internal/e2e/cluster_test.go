package e2e

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// cluster starts a brain on the first host and a cell on each other one.
func cluster(t *testing.T, cells ...string) (*lab, *host, map[string]*proc) {
	t.Helper()
	l := newLab(t, append([]string{"brain"}, cells...)...)
	brain := l.host("brain")
	brain.waitReady(brain.start("brain"))
	token := strings.TrimSpace(brain.ltc("token"))
	procs := map[string]*proc{}
	for _, name := range cells {
		c := l.host(name)
		procs[name] = c.start("cell", "--join", brain.addr, "--token", token)
	}
	for _, name := range cells {
		l.host(name).waitReady(procs[name])
	}
	return l, brain, procs
}

// perCell counts the running instances of an app by cell.
func perCell(st app.Status) map[string]int {
	m := map[string]int{}
	for _, in := range st.Instances {
		if in.State == app.Running && !in.Stopping {
			m[in.Cell]++
		}
	}
	return m
}

func TestKilledCellIsReplaced(t *testing.T) {
	l, brain, procs := cluster(t, "c1", "c2")
	if out := brain.ltc("cells"); !strings.Contains(out, "c1") || !strings.Contains(out, "c2") {
		t.Fatalf("ltc cells:\n%s", out)
	}
	brain.ltc("create", "hello", "lattice/hello", "-i", "4")
	if got := perCell(brain.status("hello")); !maps.Equal(got, map[string]int{"c1": 2, "c2": 2}) {
		t.Errorf("spread: %v, want two on each cell", got)
	}
	all := []string{"0", "1", "2", "3"}
	if got := brain.indices("hello", 20); !slices.Equal(got, all) {
		t.Errorf("answers came from %v", got)
	}

	procs["c2"].kill()
	start := time.Now()
	eventually(t, 30*time.Second, "all four run on c1", func() string {
		st := brain.status("hello")
		if got := perCell(st); maps.Equal(got, map[string]int{"c1": 4}) {
			return ""
		}
		return fmt.Sprintf("%+v", st.Instances)
	})
	t.Logf("kill -9 of the cell to all running elsewhere: %v", time.Since(start).Round(time.Millisecond))
	if got := brain.indices("hello", 20); !slices.Equal(got, all) {
		t.Errorf("after the kill: answers came from %v", got)
	}

	// The cell comes back with its containers still running: they are surplus.
	back := l.host("c2").start("cell")
	l.host("c2").waitReady(back)
	eventually(t, 20*time.Second, "the surplus is stopped", func() string {
		if st := brain.status("hello"); len(st.Instances) != 4 {
			return fmt.Sprintf("%+v", st.Instances)
		}
		return ""
	})
}
