package e2e

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/app"
)

// A sampler asks something again and again, and keeps how long the answers took.
type sampler struct {
	what string
	stop func()

	mu     sync.Mutex // guards what follows
	took   []time.Duration
	failed []string
}

// sample calls ask again and again until the sampler is stopped.
func sample(t *testing.T, what string, every time.Duration, ask func() error) *sampler {
	ctx, cancel := context.WithCancel(t.Context())
	s := &sampler{what: what}
	var done sync.WaitGroup
	done.Go(func() {
		for tick := time.NewTicker(every); ; {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
			start := time.Now()
			err := ask()
			s.mu.Lock()
			if s.took = append(s.took, time.Since(start)); err != nil {
				s.failed = append(s.failed, err.Error())
			}
			s.mu.Unlock()
		}
	})
	s.stop = func() { cancel(); done.Wait() }
	t.Cleanup(s.stop)
	return s
}

// slowest is what no answer may take: then people give up. It is far from what
// is usual, because on a machine that is shared with others' work the slowest
// of a few answers tell more about the machine than about us.
const slowest = 10 * time.Second

// report prints the times and fails the test when an answer was wrong, half of
// them took longer than limit, or one longer than slowest.
func (s *sampler) report(t *testing.T, while string, limit time.Duration) {
	t.Helper()
	s.mu.Lock()
	took, failed := s.took, s.failed
	s.took, s.failed = nil, nil
	s.mu.Unlock()
	if len(took) == 0 {
		t.Errorf("%s: never asked while %s", s.what, while)
		return
	}
	slices.Sort(took)
	at := func(share float64) time.Duration {
		return took[int(share*float64(len(took)-1))].Round(100 * time.Microsecond)
	}
	t.Logf("%s while %s: %d answers, p50 %v, p99 %v, longest %v", s.what, while, len(took), at(0.5), at(0.99), at(1))
	if at(0.5) > limit || at(1) > slowest {
		t.Errorf("%s while %s: want half of the answers within %v, and each within %v", s.what, while, limit, slowest)
	}
	if len(failed) > 0 {
		t.Errorf("%s while %s: %d of %d failed, such as: %s", s.what, while, len(failed), len(took), failed[0])
	}
}

// askAPI reads what there is to know of an app, over a connection of its own.
func (h *host) askAPI(name string) func() error {
	return func() error {
		if code, body := h.api("GET", "/api/v1/apps/"+name, "", true); code != 200 {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	}
}

// askApp asks an app through the router.
func (h *host) askApp(name string) func() error {
	return func() error {
		code, body, err := h.get(name+"."+domain, "/index")
		if err == nil && code != 200 {
			err = fmt.Errorf("%d %s", code, body)
		}
		return err
	}
}

// at asks one instance, not through the router.
func (h *host) at(in app.Instance, path string) (int, string, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return h.dial(ctx, network, fmt.Sprintf("%s:%d", in.Host, in.Ports[0].Host))
		}}}
	resp, err := client.Get("http://instance" + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// waitFor waits until the first instance of an app is as it should be.
func (h *host) waitFor(limit time.Duration, name, what string, ok func(app.Instance) bool) app.Instance {
	h.t.Helper()
	var in app.Instance
	eventually(h.t, limit, what, func() string {
		st := h.status(name)
		if len(st.Instances) > 0 {
			if in = st.Instances[0]; ok(in) {
				return ""
			}
		}
		return fmt.Sprintf("%+v", st.Instances)
	})
	return in
}

// TestHostileApps lets apps go mad one after the other, and checks what becomes
// of each, that its neighbour answers, and that the node does.
func TestHostileApps(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	h.ltc("create", "good", "lattice/hello", "-i", "2")
	apis := sample(t, "API", 20*time.Millisecond, h.askAPI("good"))
	good := sample(t, "neighbour", 20*time.Millisecond, h.askApp("good"))
	report := func(while string) {
		t.Helper()
		apis.report(t, while, 100*time.Millisecond)
		good.report(t, while, 100*time.Millisecond)
	}

	h.ltc("create", "eater", "lattice/hello", "-m", "64")
	h.get("eater."+domain, "/eat?mb=500")
	h.waitFor(40*time.Second, "eater", "it runs out of memory", func(in app.Instance) bool {
		return in.Crashes > 0 && strings.Contains(in.Reason, "ran out of memory: it may use 64 MiB")
	})
	h.waitFor(40*time.Second, "eater", "it runs again", func(in app.Instance) bool { return in.State == app.Running })
	h.ltc("remove", "eater")
	report("one eats memory")

	h.ltc("create", "filler", "lattice/hello", "-d", "64")
	if code, body, err := h.get("filler."+domain, "/fill?mb=130"); code != 200 {
		t.Errorf("fill: %d %s %v", code, body, err)
	}
	start := time.Now()
	h.waitFor(40*time.Second, "filler", "it uses too much disk", func(in app.Instance) bool {
		return in.Crashes > 0 && strings.Contains(in.Reason, "MiB of disk: it may use 64 MiB")
	})
	t.Logf("full to stopped: %v", time.Since(start).Round(time.Millisecond))
	h.waitFor(40*time.Second, "filler", "it runs again, with an empty disk", func(in app.Instance) bool {
		return in.State == app.Running && in.DiskBytes > 0 && in.DiskBytes < 1<<20
	})
	if out := h.ltc("status", "filler"); !strings.Contains(out, "last crash: used 13") {
		t.Errorf("status of filler:\n%s", out)
	}
	h.ltc("remove", "filler")
	report("one fills its disk")

	h.ltc("create", "forker", "lattice/hello", "-m", "1G")
	h.get("forker."+domain, "/fork")
	report("one is about to fork")
	eventually(t, 30*time.Second, "it has all the processes it may have", func() string {
		if n := h.inContainers(); n < 100 {
			return fmt.Sprintf("%d processes", n)
		}
		return ""
	})
	<-time.After(5 * time.Second) // of observation
	report("one forks without end")
	h.ltc("remove", "forker")
	eventually(t, 30*time.Second, "its processes are gone", func() string {
		if n := h.inContainers(); n != 2 {
			return fmt.Sprintf("%d processes", n)
		}
		return ""
	})

	h.ltc("create", "deaf", "lattice/hello", "-e", "IGNORE_TERM=1", "--stop-grace", "1s")
	start = time.Now()
	h.ltc("remove", "deaf")
	eventually(t, 15*time.Second, "the deaf one is gone", func() string {
		if n := h.inContainers(); n != 2 {
			return fmt.Sprintf("%d processes", n)
		}
		return ""
	})
	took := time.Since(start)
	t.Logf("one that ignores SIGTERM, 1 s of grace: gone after %v", took.Round(time.Millisecond))
	if took < time.Second || took > 5*time.Second {
		t.Errorf("gone after %v, want little more than its second of grace", took)
	}
	report("one ignores SIGTERM")
}

// inContainers counts the processes in the host's containers.
func (h *host) inContainers() (n int) {
	h.t.Helper()
	files, err := filepath.Glob("/proc/[0-9]*/cgroup")
	if err != nil {
		h.t.Fatal(err)
	}
	hash := sha256.Sum256([]byte(h.data())) // names the installation
	for _, f := range files {
		b, _ := os.ReadFile(f) // it may have ended
		if strings.Contains(string(b), fmt.Sprintf("/lattice/%x/", hash[:4])) {
			n++
		}
	}
	return n
}

// TestReadinessOnlyTakesTheRouteAway makes one of two instances say that it is
// not ready, and then that it is not well.
func TestReadinessOnlyTakesTheRouteAway(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	h.ltc("create", "web", "lattice/hello", "-i", "2", "--monitor-url", "8080:/healthz", "--monitor-interval", "200ms",
		"--startup-port", "8080", "--readiness-url", "8080:/ready", "--readiness-interval", "100ms", "--readiness-failures", "2")
	both, first := []string{"0", "1"}, []string{"0"}
	if got := h.indices("web", 8); !slices.Equal(got, both) {
		t.Errorf("when create returned, answers came from %v", got)
	}
	before := guids(h.status("web"))
	second := h.status("web").Instances[1]
	asks := sample(t, "the app", 20*time.Millisecond, h.askApp("web"))
	say := func(path string) {
		t.Helper()
		if code, body, err := h.at(second, path); code != 200 {
			t.Fatalf("%s: %d %s %v", path, code, body, err)
		}
	}

	say("/ready?set=false")
	eventually(t, 5*time.Second, "it is not routed", func() string {
		if got := h.indices("web", 6); !slices.Equal(got, first) {
			return fmt.Sprint(got)
		}
		return ""
	})
	if out := h.ltc("status", "web"); !strings.Contains(out, "UNREADY") || !strings.Contains(out, "not ready: GET /ready on port 8080: answered 503, wanted 200-399") {
		t.Errorf("status:\n%s", out)
	}
	say("/ready?set=true")
	eventually(t, 5*time.Second, "it is routed again", func() string {
		if got := h.indices("web", 6); !slices.Equal(got, both) {
			return fmt.Sprint(got)
		}
		return ""
	})
	if after := guids(h.status("web")); after[0] != before[0] || after[1] != before[1] {
		t.Errorf("containers before: %v, after: %v", before, after)
	}
	asks.report(t, "one is not ready", 100*time.Millisecond)

	say("/healthz?set=false")
	eventually(t, 20*time.Second, "it is restarted", func() string {
		st := h.status("web")
		if in := st.Instances[1]; in.Crashes == 1 && in.State == app.Running && !in.Unready && in.GUID != before[1] && strings.Contains(in.Reason, "no longer healthy, 3 checks failed in a row") {
			return ""
		}
		return fmt.Sprintf("%+v", st.Instances)
	})
	asks.report(t, "one is not well", 100*time.Millisecond)
	want := []string{"the instance is healthy; no route leads to it until it is ready", "the instance is ready",
		"the instance is not ready any more, so no route leads to it: 2 checks failed in a row: GET /ready on port 8080: answered 503, wanted 200-399",
		"the instance is ready",
		"no longer healthy, 3 checks failed in a row: GET /healthz on port 8080: answered 503, wanted 200-399",
		"the instance is healthy; no route leads to it until it is ready", "the instance is ready"}
	eventually(t, 5*time.Second, "each turn is told once", func() string {
		if got := h.events("web", 1, "HEALTH"); !slices.Equal(got, want) {
			return fmt.Sprintf("%q", got)
		}
		return ""
	})
}

// events returns what the platform said of an instance.
func (h *host) events(name string, index int, source string) (texts []string) {
	h.t.Helper()
	for _, l := range h.logLines(name) {
		if l.Stream == app.Platform && l.Source == source && l.Index == index {
			texts = append(texts, l.Text)
		}
	}
	return texts
}

// createWithoutLayers creates an app without instances whose image is known, but
// whose registry goes away before any cell has pulled it.
func (h *host) createWithoutLayers(name string) {
	h.t.Helper()
	registry := h.registryAt(5000, "", "")
	h.pushOther("127.0.0.1:5000/no/image:1") // whose parts are not all those of the bundled one
	h.ltc("create", name, "127.0.0.1:5000/no/image:1", "-i", "0", "-m", "16")
	registry.kill()
}

// TestAppsThatNeverStartBackOff checks that what fails to start says why and is
// tried less and less often.
func TestAppsThatNeverStartBackOff(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up()
	for _, c := range []struct {
		name   string
		args   []string
		reason string
		pauses []string
	}{
		{"noimage", nil, "registry 127.0.0.1:5000 refuses connections", []string{"next start in 1s", "next start in 2s", "next start in 4s"}},
		{"nocommand", []string{"lattice/hello", "--", "/nope"}, "/nope", []string{"next start in 1s", "next start in 2s", "next start in 4s"}},
		{"nocheck", []string{"lattice/hello", "-p", "8080,9999", "-M", "9999", "--start-timeout", "1s"}, "not healthy within 1s: port 9999: connection refused",
			[]string{"starting again at once", "starting again at once", "starting again at once", "next start in 10s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if c.args == nil {
				h.createWithoutLayers(c.name)
				h.ltc("scale", c.name, "1", "--no-wait")
			} else {
				h.ltc(append([]string{"create", c.name, "--no-wait"}, c.args...)...)
			}
			var got []string
			eventually(t, 20*time.Second, "it was tried often enough", func() string {
				got = h.events(c.name, 0, "CELL")
				got = slices.DeleteFunc(got, func(s string) bool { return !strings.HasPrefix(s, "crashed") })
				if len(got) < len(c.pauses) {
					return fmt.Sprintf("%q", got)
				}
				return ""
			})
			for i, want := range c.pauses {
				if !strings.HasPrefix(got[i], fmt.Sprintf("crashed (%d): ", i+1)) || !strings.HasSuffix(got[i], "; "+want) || !strings.Contains(got[i], c.reason) {
					t.Errorf("event %d: got %q, want the reason %q and %q", i, got[i], c.reason, want)
				}
			}
			if in := h.status(c.name).Instances[0]; !strings.Contains(in.Reason, c.reason) || in.Crashes < len(c.pauses) {
				t.Errorf("status: %+v", in)
			}
			for _, l := range h.logLines(c.name) {
				if c.name == "nocommand" && l.Stream != app.Platform {
					t.Errorf("the app, which never ran, said %q", l.Text)
				}
			}
			h.ltc("remove", c.name)
		})
	}
}

// TestThousandCrashLoops starts a thousand instances that can't run, and checks
// that the node answers all the while and that they don't fill its disk.
func TestThousandCrashLoops(t *testing.T) {
	h := newLab(t, "one").host("one")
	h.up("--max-containers", "1100", "--memory-mb", "200000")
	h.ltc("create", "good", "lattice/hello", "-m", "16")
	apis := sample(t, "API", 20*time.Millisecond, h.askAPI("good"))
	good := sample(t, "neighbour", 20*time.Millisecond, h.askApp("good"))
	lists := sample(t, "list of all apps", 250*time.Millisecond, func() error {
		if code, body := h.api("GET", "/api/v1/apps", "", true); code != 200 {
			return fmt.Errorf("%d %s", code, body)
		}
		return nil
	})
	h.createWithoutLayers("noimage")
	h.ltc("scale", "noimage", "900", "--no-wait")
	h.ltc("create", "nocommand", "lattice/hello", "-i", "100", "-m", "16", "--no-wait", "--", "/nope")
	start := time.Now()
	for name, n := range map[string]int{"noimage": 900, "nocommand": 100} {
		h.allCrashed(name, n)
		t.Logf("all of %s have crashed once after %v", name, time.Since(start).Round(time.Millisecond))
	}
	report := func(while string) {
		t.Helper()
		apis.report(t, while, 100*time.Millisecond)
		good.report(t, while, 100*time.Millisecond)
		lists.report(t, while, 300*time.Millisecond) // half a megabyte each
	}
	report("a thousand instances crash for the first times")
	<-time.After(10 * time.Second) // of observation
	report("a thousand instances crash again and again")
	logs, err := os.ReadDir(h.data() + "/cell/logs")
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("%d logs are kept", len(logs))
	if len(logs) > 6000 { // events, the last three containers, and what came since they were last looked through
		t.Errorf("%d logs are kept of a thousand instances", len(logs))
	}
	told := h.journal()
	t.Logf("%d events tell of it", len(told))
	if len(told) > 2000 || !slices.ContainsFunc(told, func(e app.Event) bool { return e.Kind == app.AppCreated && e.App == "good" }) {
		t.Errorf("%d events: want few enough for what happened before not to be forgotten", len(told))
	}
	h.ltc("remove", "noimage", "nocommand")
	h.ltc("remove", "good")
}

// allCrashed waits until n instances of an app have crashed at least once. It
// looks seldom: the test shares the machine with what it measures.
func (h *host) allCrashed(name string, n int) {
	h.t.Helper()
	tick := time.NewTicker(time.Second)
	defer tick.Stop()
	crashed := 0
	for deadline := time.Now().Add(5 * time.Minute); time.Now().Before(deadline); <-tick.C {
		var st app.Status
		code, body := h.api("GET", "/api/v1/apps/"+name, "", true)
		if err := json.Unmarshal([]byte(body), &st); err != nil || code != 200 {
			h.t.Fatalf("%d %v %s", code, err, body)
		}
		crashed = 0
		for _, in := range st.Instances {
			crashed += min(1, in.Crashes)
		}
		if crashed == n {
			return
		}
	}
	h.t.Fatalf("only %d of %d instances of %s have crashed", crashed, n, name)
}
