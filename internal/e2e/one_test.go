package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

const domain = "lattice.localhost"

// up starts brain and cell in one process and waits until it is ready.
func (h *host) up(args ...string) *proc {
	h.t.Helper()
	p := h.start(append([]string{"up"}, args...)...)
	h.waitReady(p)
	return p
}

// waitReady waits until the process says that it is ready.
func (h *host) waitReady(p *proc) {
	h.t.Helper()
	eventually(h.t, 30*time.Second, h.name+" is ready", func() string {
		b, _ := os.ReadFile(p.log)
		if strings.Contains(string(b), "is ready") {
			return ""
		}
		return "its log: " + string(tail(b, 2000))
	})
}

// indices asks an app many times and returns which instances answered.
func (h *host) indices(name string, requests int) []string {
	h.t.Helper()
	seen := map[string]bool{}
	for range requests {
		seen[strings.TrimSpace(h.mustGet(name+"."+domain, "/index"))] = true
	}
	return slices.Sorted(maps.Keys(seen))
}

// guids returns the containers of an app by index.
func guids(st app.Status) map[int]string {
	m := map[int]string{}
	for _, in := range st.Instances {
		if !in.Stopping {
			m[in.Index] = in.GUID
		}
	}
	return m
}

func count(st app.Status, state app.State) (n int) {
	for _, in := range st.Instances {
		if in.State == state && !in.Stopping {
			n++
		}
	}
	return n
}

// TestLifeOnOneMachine is the story of the README's first page, and of what
// may go wrong on it.
func TestLifeOnOneMachine(t *testing.T) {
	h := newLab(t, "one").host("one")
	p := h.up()

	h.ltc("create", "hello", "lattice/hello", "--instances", "3")
	if got := h.indices("hello", 12); !slices.Equal(got, []string{"0", "1", "2"}) {
		t.Errorf("answers came from %v, want three instances", got)
	}
	h.scaleUpAndDown()
	h.crashAndReturn()
	h.logsOfAll()
	p = h.killAndTakeOver(p)
	h.removeLeavesNothing()

	if code := p.stop(); code != 0 {
		t.Errorf("SIGTERM: exit code %d", code)
	}
}

func (h *host) scaleUpAndDown() {
	for _, n := range []int{1, 5} {
		h.ltc("scale", "hello", fmt.Sprint(n))
		eventually(h.t, 20*time.Second, fmt.Sprintf("%d instances", n), func() string {
			st := h.status("hello")
			if len(st.Instances) == n && count(st, app.Running) == n {
				return ""
			}
			return fmt.Sprintf("%+v", st.Instances)
		})
		if got := h.indices("hello", 4*n); len(got) != n {
			h.t.Errorf("scaled to %d: answers came from %v", n, got)
		}
	}
}

func (h *host) crashAndReturn() {
	before := guids(h.status("hello"))
	start := time.Now()
	h.get("hello."+domain, "/exit") // the answer may or may not come through
	eventually(h.t, 20*time.Second, "one instance crashed and all five run", func() string {
		st := h.status("hello")
		for _, in := range st.Instances {
			if in.Crashes == 1 && strings.Contains(in.Reason, "exited with code 1") && count(st, app.Running) == 5 {
				if in.GUID == before[in.Index] {
					return "the crashed instance kept its GUID"
				}
				return ""
			}
		}
		return fmt.Sprintf("%+v", st.Instances)
	})
	h.t.Logf("crash to running again: %v", time.Since(start).Round(time.Millisecond))
}

func (h *host) logsOfAll() {
	eventually(h.t, 10*time.Second, "lines of all instances", func() string {
		out := h.ltc("logs", "hello", "--no-follow", "-n", "500")
		for i := range 5 {
			if !regexp.MustCompile(fmt.Sprintf(`\[APP\|%d\] .*hello`, i)).MatchString(out) {
				return fmt.Sprintf("no line of instance %d in:\n%s", i, out)
			}
		}
		return ""
	})
}

// killAndTakeOver kills lattice and starts it again: the containers must not notice.
func (h *host) killAndTakeOver(p *proc) *proc {
	before := guids(h.status("hello"))
	lines := h.lastSeq("hello")
	p.kill()
	p = h.up()
	eventually(h.t, 10*time.Second, "all five run again", func() string {
		st := h.status("hello")
		if count(st, app.Running) == 5 {
			return ""
		}
		return fmt.Sprintf("%+v", st.Instances)
	})
	if after := guids(h.status("hello")); !maps.Equal(before, after) {
		h.t.Errorf("containers before kill -9: %v, after: %v", before, after)
	}
	if got := h.indices("hello", 20); len(got) != 5 {
		h.t.Errorf("after kill -9: answers came from %v", got)
	}
	eventually(h.t, 10*time.Second, "the logs go on without a gap", func() string { return h.logsGoOn(lines) })
	return p
}

// lastSeq returns the number of the last line of each container of an app.
func (h *host) lastSeq(name string) map[string]uint64 {
	last := map[string]uint64{}
	for _, l := range h.logLines(name) {
		last[l.GUID] = max(last[l.GUID], l.Seq)
	}
	return last
}

func (h *host) logLines(name string) []app.LogLine {
	h.t.Helper()
	var lines []app.LogLine
	for text := range strings.Lines(h.ltc("logs", name, "--no-follow", "-n", "-1", "-o", "json")) {
		var l app.LogLine
		if err := json.Unmarshal([]byte(text), &l); err != nil {
			h.t.Fatalf("log line %q: %v", text, err)
		}
		lines = append(lines, l)
	}
	return lines
}

// logsGoOn says what is wrong with the logs since the lines in before, or "".
func (h *host) logsGoOn(before map[string]uint64) string {
	seen := map[string]uint64{}
	for _, l := range h.logLines("hello") {
		if l.Seq != seen[l.GUID]+1 {
			return fmt.Sprintf("line %d of %s follows line %d", l.Seq, l.GUID, seen[l.GUID])
		}
		seen[l.GUID] = l.Seq
	}
	for _, guid := range guids(h.status("hello")) {
		if seen[guid] <= before[guid] {
			return fmt.Sprintf("container %s had %d lines before and has %d", guid, before[guid], seen[guid])
		}
	}
	return ""
}

func (h *host) removeLeavesNothing() {
	h.ltc("remove", "hello")
	if code, _, errs := h.lattice("status", "hello"); code == 0 || !strings.Contains(errs, "hello") {
		h.t.Errorf("status of a removed app: exit code %d, %q", code, errs)
	}
	if code, body, err := h.get("hello."+domain, "/"); code != 404 || err != nil {
		h.t.Errorf("route of a removed app: %d %v %s", code, err, body)
	}
	eventually(h.t, 10*time.Second, "nothing is left", func() string {
		var left []string
		if mounts, _ := os.ReadFile("/proc/self/mountinfo"); strings.Contains(string(mounts), h.dir+"/one/cell/") {
			left = append(left, "mounts below "+h.dir)
		}
		shims, _ := filepath.Glob("/proc/[0-9]*/cmdline")
		for _, f := range shims {
			if b, _ := os.ReadFile(f); strings.Contains(string(b), "shim-runc-v2") && strings.Contains(string(b), h.dir) {
				left = append(left, "shim "+f)
			}
		}
		for line := range strings.Lines(h.run("ip", "-n", h.ns, "-o", "link")) {
			if strings.Contains(line, ": lv") {
				left = append(left, line)
			}
		}
		if rules := h.nft("list", "ruleset"); strings.Contains(rules, "6100") {
			left = append(left, rules)
		}
		return strings.Join(left, "\n")
	})
}
