package e2e

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// TestChangeUnderLoad changes an app in every way while requests come all the
// time: none may fail.
func TestChangeUnderLoad(t *testing.T) {
	_, brain, _ := cluster(t, "c1", "c2")
	brain.ltc("create", "hello", "lattice/hello", "-i", "3", "-e", "COLOUR=blue")
	for _, step := range []struct {
		name string
		do   func()
	}{
		{"scale 3 to 1", func() { brain.ltc("scale", "hello", "1") }},
		{"scale 1 to 3", func() { brain.ltc("scale", "hello", "3") }},
		{"rolling update", func() { brain.ltc("update", "hello", "-e", "COLOUR=green") }},
		{"rollback", func() { brain.ltc("rollback", "hello") }},
		{"restart", func() { brain.ltc("restart", "hello") }},
		{"drain", func() { brain.ltc("cell", "drain", "c2") }},
		{"undrain and scale", func() { brain.ltc("cell", "undrain", "c2"); brain.ltc("scale", "hello", "4") }},
	} {
		load := brain.load("hello", 200)
		time.Sleep(300 * time.Millisecond) // some before,
		start := time.Now()
		step.do()
		took := time.Since(start)
		time.Sleep(300 * time.Millisecond) // and some after
		load.end(t, fmt.Sprintf("%s (%v)", step.name, took.Round(time.Millisecond)))
	}
	if got := perCell(brain.status("hello")); got["c1"]+got["c2"] != 4 || got["c2"] == 0 {
		t.Errorf("instances by cell: %v", got)
	}
}

// TestUpdateThatFailsComesBack rolls out what can't start.
func TestUpdateThatFailsComesBack(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	h.ltc("create", "hello", "lattice/hello", "-i", "2")
	before := guids(h.status("hello"))
	load := h.load("hello", 100)
	code, _, errs := h.lattice("update", "hello", "--", "/nope")
	load.end(t, "an update that fails")
	if code != 14 || !strings.Contains(errs, "/nope") || !strings.Contains(errs, "revision 1") {
		t.Errorf("exit code %d, want 14 with the reason and the revision that is back:\n%s", code, errs)
	}
	h.running("hello", 2, anywhere)
	st := h.status("hello")
	if after := guids(st); after[0] != before[0] || after[1] != before[1] {
		t.Errorf("containers before: %v, after: %v", before, after)
	}
	if st.App.Revision != 1 || st.App.Rollout == nil || st.App.Rollout.State != app.RolloutFailed {
		t.Errorf("after the failure: revision %d, rollout %+v", st.App.Revision, st.App.Rollout)
	}
	if code, out, _ := h.lattice("revisions", "hello"); code != 0 || !strings.Contains(out, "2") {
		t.Errorf("revisions: %d %s", code, out)
	}
}

// TestCanary updates one instance, looks, and goes on.
func TestCanary(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	h.ltc("create", "hello", "lattice/hello", "-i", "2")
	h.ltc("update", "hello", "-e", "COLOUR=green", "--strategy", "canary")
	colours := func() string {
		return fmt.Sprint(strings.Contains(h.envOf(0), "COLOUR=green"), strings.Contains(h.envOf(1), "COLOUR=green"))
	}
	if got := colours(); got != "true false" {
		t.Errorf("after the canary: green is %s, want the first only", got)
	}
	h.ltc("update", "hello", "--promote")
	if got := colours(); got != "true true" {
		t.Errorf("after the promotion: green is %s, want both", got)
	}
	h.ltc("stop", "hello")
	if code, body, err := h.get("hello."+domain, "/"); code != 503 || err != nil {
		t.Errorf("a stopped app: %d %v %s, want 503", code, err, body)
	}
	h.ltc("start", "hello")
	h.mustGet("hello."+domain, "/")
}

// envOf asks one instance of hello for its environment.
func (h *host) envOf(index int) string {
	h.t.Helper()
	out, err := h.command("curl", "-s", "-m", "5", "-H", fmt.Sprintf("X-Cf-App-Instance: hello:%d", index), "http://hello."+domain+"/env").CombinedOutput()
	if err != nil {
		h.t.Fatalf("ask instance %d: %v %s", index, err, out)
	}
	return string(out)
}
