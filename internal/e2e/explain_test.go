package e2e

import (
	"encoding/json"
	"errors"
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

	if code, _, errs := h.lattice("create", "noimage", "127.0.0.1:1/none/such"); code != 15 || !strings.Contains(errs, "registry 127.0.0.1:1 refuses connections") {
		t.Errorf("an image that can't be had: exit code %d, %s", code, errs)
	}
	h.ltc("create", "nowhere", "lattice/hello", "-m", "900G", "--no-wait")
	h.ltc("create", "noport", "lattice/hello", "-p", "8080,9999", "-M", "9999", "--start-timeout", "1s", "--no-wait")
	h.lattice("run", "lattice/hello", "--name", "job", "--", "/nope") // fails
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
		{"nowhere", false, "no cell takes nowhere/0: it needs 921600 MiB", "instance 0 finds no cell: needs 921600 MiB", "lattice cell --join"},
		{"noport", false, "not healthy within 1s: port 9999", "instance 0 crashed: not healthy within 1s", "lattice update noport -M PORT"},
		{"crasher", true, "instance 0 runs, but crashed 1 time before; the last time: exited with code 3", "instance 0 crashed: exited with code 3", "lattice logs crasher -i 0"},
		{"job", false, "job failed: start command", "failed: ", "lattice logs job"},
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
	h.dryRuns()
}

// dryRuns asks what would run where. Nothing of it happens.
func (h *host) dryRuns() {
	t, before := h.t, len(h.journal("--kind", "app"))
	var r app.Rehearsal
	if err := json.Unmarshal([]byte(h.ltc("create", "big", "lattice/hello", "-i", "2", "--dry-run", "-o", "json")), &r); err != nil {
		t.Fatal(err)
	}
	if len(r.Start) != 2 || r.Start[1].Cell != "one" || len(r.Refused) != 0 {
		t.Errorf("two instances that fit: %+v", r)
	}
	code, out, errs := h.lattice("create", "big", "lattice/hello", "-m", "900G", "--dry-run")
	if code != 11 || !strings.Contains(out, "needs 921600 MiB memory") {
		t.Errorf("an instance that fits nowhere: exit code %d\n%s%s", code, out, errs)
	}
	if out := h.ltc("update", "crasher", "-e", "A=b", "--dry-run"); !strings.Contains(out, "start  crasher/1  on one  revision 2") || !strings.Contains(out, "stop   crasher/0  on one  revision 1") {
		t.Errorf("an update:\n%s", out)
	}
	if out := h.ltc("scale", "crasher", "1", "--dry-run"); !strings.Contains(out, "stop  crasher/1") || !strings.Contains(out, "keep  1 instance") {
		t.Errorf("fewer instances:\n%s", out)
	}
	if code, _, _ := h.lattice("status", "big"); code != 14 || len(h.journal("--kind", "app")) != before {
		t.Errorf("after dry runs: status of big ends with %d, and %v", code, h.journal("--kind", "app"))
	}
}

// TestDoctor looks at a host before, while and after lattice runs on it, at a
// cluster that is well, and at one that isn't; and has what it finds in a bundle,
// without what is secret.
func TestDoctor(t *testing.T) {
	h := newLab(t, "one").host("one")
	must := func(fs []app.Finding, state app.FindingState, check, says string) {
		t.Helper()
		if !slices.ContainsFunc(fs, func(f app.Finding) bool {
			return f.Check == check && f.State == state && strings.Contains(f.Says, says)
		}) {
			t.Errorf("%s is not %s %q: %+v", check, state, says, fs)
		}
	}
	fs := h.doctor(0, "--host")
	for _, check := range []string{"kernel", "cgroups", "overlayfs", "user namespaces", "nftables", "port :7443/tcp"} {
		must(fs, app.FindingOK, check, "")
	}
	p := h.up()
	h.ltc("create", "hello", "lattice/hello", "-e", "PASSWORD=hunter2-planted")
	fs = h.doctor(0, "--host")
	must(fs, app.FindingOK, "port :7443/tcp", "lattice listens there")
	must(fs, app.FindingOK, "leftovers", "1 containers are supervised")
	fs = h.doctor(0)
	must(fs, app.FindingOK, "router", "answers")
	must(fs, app.FindingOK, "apps", "1 of 1")
	must(fs, app.FindingOK, "certificate authority", "")
	eventually(t, 60*time.Second, "the cell's host is told of", func() string {
		for _, f := range h.doctor(0) {
			if f.Check == "hosts of cells" && f.State == app.FindingOK {
				return ""
			}
		}
		return h.ltc("doctor")
	})

	h.ltc("create", "nowhere", "lattice/hello", "-m", "900G", "--no-wait")
	eventually(t, 30*time.Second, "the refusal is seen", func() string {
		for _, f := range h.doctor(-1) {
			if f.Check == "app nowhere" && f.State == app.FindingBroken && f.Mend == "lattice explain nowhere" {
				return ""
			}
		}
		return "it is not"
	})
	h.bundleHasNoSecrets()
	p.kill()
	must(h.doctor(0, "--host"), app.FindingWarning, "leftovers", "1 containers run on")
}

// doctor returns what `lattice doctor` finds; the exit code must be code unless
// that is negative.
func (h *host) doctor(code int, args ...string) (fs []app.Finding) {
	h.t.Helper()
	got, out, errs := h.lattice(append([]string{"doctor", "-o", "json"}, args...)...)
	if err := json.Unmarshal([]byte(out), &fs); err != nil || code >= 0 && got != code {
		h.t.Fatalf("doctor %v: exit code %d, want %d (%v)\n%s%s", args, got, code, err, out, errs)
	}
	return fs
}

func (h *host) bundleHasNoSecrets() {
	t, file := h.t, filepath.Join(h.dir, "bundle.tar.gz")
	h.ltc("support-bundle", "-o", file)
	h.run("tar", "-C", h.dir, "-xzf", file)
	var target struct {
		Targets map[string]struct{ Token string } `json:"targets"`
	}
	config, err := os.ReadFile(filepath.Join(h.home(), ".lattice", "config.json"))
	if err = errors.Join(err, json.Unmarshal(config, &target)); err != nil || len(target.Targets) == 0 {
		t.Fatalf("the token is not known: %v %s", err, config)
	}
	secrets := []string{"hunter2-planted", "PRIVATE KEY"}
	for _, to := range target.Targets {
		secrets = append(secrets, to.Token)
	}
	n := 0
	err = filepath.WalkDir(filepath.Join(h.dir, "lattice-support"), func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		data, err := os.ReadFile(path)
		for _, secret := range secrets {
			if strings.Contains(string(data), secret) {
				t.Errorf("%s has a secret in it: %q", path, secret)
			}
		}
		n++
		return err
	})
	if err != nil || n < 10 {
		t.Errorf("the bundle has %d files: %v", n, err)
	}
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
