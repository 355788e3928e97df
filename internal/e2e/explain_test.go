package e2e

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"lattice/app"
	"lattice/internal/story"
)

// explain returns what `ltc explain NAME -o json` tells.
func (h *host) explain(name string) (s story.Story) {
	h.t.Helper()
	if err := json.Unmarshal([]byte(h.ltc("explain", name, "-o", "json")), &s); err != nil {
		h.t.Fatalf("explain %s: %v", name, err)
	}
	return s
}

// journal returns the events that are kept.
func (h *host) journal(args ...string) (es []app.Event) {
	h.t.Helper()
	dec := json.NewDecoder(strings.NewReader(h.ltc(append([]string{"events", "-n", "-1", "-o", "json"}, args...)...)))
	for dec.More() {
		var e app.Event
		if err := dec.Decode(&e); err != nil {
			h.t.Fatalf("events: %v", err)
		}
		es = append(es, e)
	}
	return es
}

// TestExplain asks why of apps that can't run, each for another reason, and of
// what happened before the brain was killed.
func TestExplain(t *testing.T) {
	h := newLab(t, "one").host("one")
	p := h.up()

	h.ltc("create", "noimage", "registry.invalid/none/such:1", "--no-wait")
	h.ltc("create", "nowhere", "lattice/hello", "-m", "900G", "--no-wait")
	h.ltc("create", "noport", "lattice/hello", "-p", "8080,9999", "-M", "9999", "--start-timeout", "1s", "--no-wait")
	h.ltc("create", "crasher", "lattice/hello")
	in := h.status("crasher").Instances[0]
	if _, _, err := h.at(in, "/exit?code=3"); err != nil {
		t.Logf("it ended before it had answered: %v", err)
	}
	h.waitFor(30*time.Second, "crasher", "is back after its crash", func(in app.Instance) bool { return in.State == app.Running && in.Crashes == 1 })

	for _, tt := range []struct {
		app     string
		well    bool
		verdict string
		step    string // one of what happened
		next    string // one of what to type
	}{
		{"noimage", false, "can't be started: image registry.invalid/none/such:1: registry registry.invalid", "instance 0 crashed: image", "lattice update noimage --image"},
		{"nowhere", false, "no cell takes nowhere/0: it needs 921600 MiB", "instance 0 finds no cell: needs 921600 MiB", "lattice cell --join"},
		{"noport", false, "not healthy within 1s: port 9999", "instance 0 crashed: not healthy within 1s", "lattice update noport -M PORT"},
		{"crasher", true, "instance 0 runs, but crashed 1 time before; the last time: exited with code 3", "instance 0 crashed: exited with code 3", "lattice logs crasher -i 0"},
		{"one", true, "one is well", "joined: at ", ""},
	} {
		eventually(t, 60*time.Second, "the story of "+tt.app, func() string {
			s := h.explain(tt.app)
			step := slices.ContainsFunc(s.Steps, func(st story.Step) bool { return strings.Contains(st.What, tt.step) })
			next := tt.next == "" || slices.ContainsFunc(s.Next, func(a story.Advice) bool { return strings.Contains(a.Type, tt.next) })
			if s.Well == tt.well && strings.Contains(s.Verdict, tt.verdict) && step && next {
				return ""
			}
			return h.ltc("explain", tt.app)
		})
	}
	t.Logf("\n%s\n%s", h.ltc("explain", "crasher"), h.ltc("explain", "noport"))
	h.eventsSurvive(p)
}

// eventsSurvive kills the brain: what happened before is known afterwards, in
// order and once, and who asked for it.
func (h *host) eventsSurvive(p *proc) {
	t := h.t
	h.ltc("scale", "crasher", "2")
	eventually(t, 30*time.Second, "the scaling is on disk", func() string { return h.onDisk("app.scaled") })
	before := h.journal()
	p.kill()
	h.up()
	after := h.journal()
	if !slices.IsSortedFunc(after, func(a, b app.Event) int { return int(int64(a.Seq) - int64(b.Seq)) }) {
		t.Errorf("the numbers of events don't grow: %v", after)
	}
	var starts int
	for _, e := range after {
		if e.Kind == app.BrainStarted {
			starts++
		}
	}
	i := slices.IndexFunc(after, func(e app.Event) bool { return e.Kind == app.AppScaled })
	if starts != 2 || i < 0 || after[i].Actor != "admin" || after[i].Message != "from 1 to 2 instances" {
		t.Errorf("after the kill: %d starts of the brain, want 2, and the scaling by admin: %+v", starts, after)
	}
	scaled := slices.IndexFunc(before, func(e app.Event) bool { return e.Kind == app.AppScaled })
	if len(after) < scaled || !slices.Equal(after[:scaled], before[:scaled]) {
		t.Errorf("before the kill\n%+v\nafter it\n%+v", before[:scaled], after)
	}
	if got := h.journal("crasher", "--kind", "instance.crashed"); len(got) != 1 {
		t.Errorf("crashes of crasher: %+v, want one and no other event", got)
	}
}

// onDisk returns "" when the journal's files have a text.
func (h *host) onDisk(text string) string {
	files, err := filepath.Glob(filepath.Join(h.data(), "brain", "events", "*.jsonl"))
	if err != nil {
		return err.Error()
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err == nil && strings.Contains(string(b), text) {
			return ""
		}
	}
	return "it is in none of " + strings.Join(files, ", ")
}
