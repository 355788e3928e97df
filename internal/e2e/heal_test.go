package e2e

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/app"
)

// traffic asks for an app all the time and counts what was not a 200.
type traffic struct {
	mu      sync.Mutex
	sent    int
	failed  map[string]int // by what went wrong
	longest time.Duration
	stop    chan struct{}
	done    sync.WaitGroup
}

// load sends requests at a steady rate until end is called.
func (h *host) load(name string, perSecond int) *traffic {
	return load(perSecond, func() (int, error) {
		code, _, err := h.get(name+"."+domain, "/index")
		return code, err
	})
}

// load calls get at a steady rate until end is called.
func load(perSecond int, get func() (int, error)) *traffic {
	tr := &traffic{failed: map[string]int{}, stop: make(chan struct{})}
	tick := time.NewTicker(time.Second / time.Duration(perSecond))
	tr.done.Go(func() {
		defer tick.Stop()
		for {
			select {
			case <-tr.stop:
				return
			case <-tick.C:
				tr.done.Go(func() { tr.one(get) })
			}
		}
	})
	return tr
}

func (tr *traffic) one(get func() (int, error)) {
	start := time.Now()
	code, err := get()
	took := time.Since(start)
	tr.mu.Lock()
	defer tr.mu.Unlock()
	tr.sent++
	tr.longest = max(tr.longest, took)
	if err != nil {
		tr.failed[err.Error()]++
	} else if code != 200 {
		tr.failed[fmt.Sprint("status ", code)]++
	}
}

// end stops the load and fails the test if a request failed.
func (tr *traffic) end(t *testing.T, during string) {
	t.Helper()
	close(tr.stop)
	tr.done.Wait()
	n := 0
	for _, k := range tr.failed {
		n += k
	}
	t.Logf("%s: %d requests, %d failed, longest took %v", during, tr.sent, n, tr.longest.Round(time.Millisecond))
	if n > 0 {
		t.Errorf("%s: %d of %d requests failed: %v", during, n, tr.sent, tr.failed)
	}
}

// running waits until an app has n running instances and returns how long it took.
func (h *host) running(name string, n int, on func(cell string) bool) time.Duration {
	h.t.Helper()
	start := time.Now()
	eventually(h.t, 40*time.Second, fmt.Sprintf("%d instances of %s run", n, name), func() string {
		st := h.status(name)
		good := 0
		for _, in := range st.Instances {
			if in.State == app.Running && !in.Stopping && on(in.Cell) {
				good++
			}
		}
		if good == n && len(st.Instances) == n {
			return ""
		}
		return fmt.Sprintf("%+v", st.Instances)
	})
	return time.Since(start)
}

func anywhere(string) bool           { return true }
func on(id string) func(string) bool { return func(c string) bool { return c == id } }

// TestLostHostIsReplaced takes a cell's cable out and puts it back.
func TestLostHostIsReplaced(t *testing.T) {
	l, brain, _ := cluster(t, "c1", "c2")
	brain.ltc("create", "hello", "lattice/hello", "-i", "4")
	c2 := l.host("c2")
	for round := range 2 {
		load := brain.load("hello", 50)
		time.Sleep(time.Second) // so that the router has connections to lose
		l.run("ip", "-n", c2.ns, "link", "set", "eth0", "down")
		took := brain.running("hello", 4, on("c1"))
		load.end(t, "host lost")
		t.Logf("round %d: cable out to all running elsewhere: %v", round, took.Round(time.Millisecond))
		if took > 5*time.Second {
			t.Errorf("it took %v, want at most 5 s", took)
		}
		l.run("ip", "-n", c2.ns, "link", "set", "eth0", "up")
		l.run("ip", "-n", c2.ns, "route", "replace", "default", "via", "10.99.0.254")
		t.Logf("cable in to the surplus gone: %v", c2.emptied(brain).Round(time.Millisecond))
		if round == 0 { // back to two and two
			brain.ltc("remove", "hello")
			brain.ltc("create", "hello", "lattice/hello", "-i", "4")
		}
	}
}

// emptied waits until the cell is alive again and runs nothing.
func (h *host) emptied(brain *host) time.Duration {
	h.t.Helper()
	start := time.Now()
	eventually(h.t, 40*time.Second, h.name+" is back and empty", func() string {
		var cells []app.Cell
		if err := json.Unmarshal([]byte(brain.ltc("cells", "-o", "json")), &cells); err != nil {
			return err.Error()
		}
		for _, c := range cells {
			if c.ID == h.name && c.State == app.CellAlive && len(h.containers()) == 0 {
				return ""
			}
		}
		return fmt.Sprintf("%+v; containers %v", cells, h.containers())
	})
	return time.Since(start)
}

// containers lists the containers a host has state of.
func (h *host) containers() []string {
	dirs, _ := filepath.Glob(filepath.Join(h.data(), "cell", "containerd", "containers", "*"))
	return dirs
}

// TestPartition cuts the brain off from one cell, in both directions and in
// each alone, and checks that all is as wanted soon after it heals.
func TestPartition(t *testing.T) {
	l, brain, _ := cluster(t, "c1", "c2")
	brain.ltc("create", "hello", "lattice/hello", "-i", "4")
	c2 := l.host("c2")
	for _, cut := range []struct{ name, hook string }{{"from the cell", "output"}, {"to the cell", "input"}, {"both ways", "both"}} {
		for _, hook := range []string{"input", "output"} {
			if cut.hook == hook || cut.hook == "both" {
				c2.nft("add", "table", "ip", "cut")
				c2.nft("add", "chain", "ip", "cut", hook, fmt.Sprintf("{ type filter hook %s priority -300; policy accept; }", hook))
				c2.nft("add", "rule", "ip", "cut", hook, "ip", map[string]string{"input": "saddr", "output": "daddr"}[hook], brain.addr, "drop")
			}
		}
		time.Sleep(8 * time.Second) // longer than it takes to find a cell dead; what happens meanwhile is open
		c2.nft("delete", "table", "ip", "cut")
		took := brain.running("hello", 4, anywhere)
		t.Logf("cut %s: healed %v after the end of the partition", cut.name, took.Round(time.Millisecond))
		if got := brain.indices("hello", 20); len(got) != 4 {
			t.Errorf("cut %s: answers came from %v", cut.name, got)
		}
	}
}

// TestBrainIsKilledInABurst kills the brain in the middle of changes, fifty times
// in a row: what it acknowledged is there, and what ran was not restarted.
func TestBrainIsKilledInABurst(t *testing.T) {
	l, brain, _ := cluster(t, "c1")
	brain.ltc("create", "keeper", "lattice/hello", "-i", "2")
	before := guids(brain.status("keeper"))
	p := brain.procs[0]
	apps := map[string]int{"keeper": 2} // acknowledged, with instances; the others have none so that many can be made
	for round := range 50 {
		b := burst{h: brain, apps: apps, round: round}
		var done sync.WaitGroup
		done.Go(b.run)
		time.Sleep(rand.N(100 * time.Millisecond))
		p.kill()
		done.Wait()
		p = brain.start("brain")
		brain.waitReady(p)
		b.check()
		apps = b.apps
	}
	brain.ltc("scale", "keeper", "2")
	if after := guids(brain.status("keeper")); !maps.Equal(before, after) {
		t.Errorf("containers before: %v, after: %v", before, after)
	}
	if got := l.host("c1").containers(); len(got) != 2 {
		t.Errorf("containers on the cell: %v, want the keeper's two", got)
	}
}

// burst makes changes until the brain is gone.
type burst struct {
	h     *host
	apps  map[string]int
	round int
	doubt string // the app whose last change was not answered
}

func (b *burst) run() {
	for i := 0; ; i++ {
		n := 2 + i%2 // the third comes and goes, the first two must not notice
		if !b.do("keeper", "PUT", "/api/v1/apps/keeper/instances", fmt.Sprintf(`{"instances":%d}`, n)) {
			return
		}
		b.apps["keeper"] = n
		name := fmt.Sprintf("b%d-%d", b.round, i)
		if !b.do(name, "POST", "/api/v1/apps", fmt.Sprintf(`{"name":%q,"image":"lattice/hello","instances":0}`, name)) {
			return
		}
		b.apps[name] = 0
		if i%2 == 0 {
			if !b.do(name, "DELETE", "/api/v1/apps/"+name, "") {
				return
			}
			delete(b.apps, name)
		}
	}
}

// do sends one change and reports whether it was acknowledged.
func (b *burst) do(name, method, path, body string) bool {
	b.doubt = name
	code, _, err := b.h.tryAPI(method, path, body)
	if err != nil || code >= 300 {
		return false
	}
	b.doubt = ""
	return true
}

// check compares what the brain knows with what it acknowledged.
func (b *burst) check() {
	b.h.t.Helper()
	_, body, err := b.h.tryAPI("GET", "/api/v1/apps", "")
	var sts []app.Status
	if err == nil {
		err = json.Unmarshal([]byte(body), &sts)
	}
	if err != nil {
		b.h.t.Fatalf("round %d: list apps: %v", b.round, err)
	}
	there := map[string]int{}
	for _, st := range sts {
		there[st.App.Name] = st.App.Instances
	}
	for name, n := range b.apps {
		if got, ok := there[name]; name != b.doubt && (!ok || got != n) {
			b.h.t.Fatalf("round %d: app %s with %d instances was acknowledged; there: %t, with %d", b.round, name, n, ok, got)
		}
	}
	for name := range there {
		if _, ok := b.apps[name]; !ok && name != b.doubt {
			b.h.t.Fatalf("round %d: app %s was removed, acknowledged, and is there", b.round, name)
		}
	}
	b.apps = there
}

// TestLifeWithoutTheBrain lets an app crash while the brain is away, then loses
// the brain's store: nothing is stopped, and adopt takes it back.
func TestLifeWithoutTheBrain(t *testing.T) {
	l, brain, _ := cluster(t, "c1")
	brain.ltc("create", "hello", "lattice/hello", "-i", "2")
	before := guids(brain.status("hello"))
	c1 := l.host("c1")
	brain.procs[0].kill()
	c1.crashInstance(brain, "hello")
	eventually(t, 10*time.Second, "the cell restarted it by itself", func() string {
		if n := len(c1.containers()); n != 2 {
			return fmt.Sprint(n, " containers")
		}
		for _, dir := range c1.containers() {
			if guid := filepath.Base(dir); guid != before[0] && guid != before[1] {
				return ""
			}
		}
		return fmt.Sprint("still ", c1.containers())
	})

	if err := os.Remove(filepath.Join(brain.data(), "brain", "brain.db")); err != nil {
		t.Fatal(err)
	}
	ran := c1.containers()
	brain.waitReady(brain.start("brain"))
	eventually(t, 15*time.Second, "two strays", func() string {
		out := brain.ltc("list", "--strays", "-o", "json")
		if strings.Count(out, `"stray": true`) == 2 {
			return ""
		}
		return out
	})
	brain.ltc("adopt", "hello")
	brain.running("hello", 2, on("c1"))
	if now := c1.containers(); strings.Join(now, " ") != strings.Join(ran, " ") {
		t.Errorf("containers before the loss: %v, after adopting: %v", ran, now)
	}
	if got := brain.indices("hello", 8); len(got) != 2 {
		t.Errorf("answers came from %v", got)
	}
	brain.ltc("remove", "hello")
	if left := c1.containers(); len(left) != 0 {
		t.Errorf("after remove: %v", left)
	}
}

// crashInstance lets one instance of an app die, without the router, which is
// away: by its host port on the cell.
func (h *host) crashInstance(brain *host, name string) {
	h.t.Helper()
	records, err := filepath.Glob(filepath.Join(h.data(), "cell", "instances", "*.json"))
	if err != nil || len(records) == 0 {
		h.t.Fatalf("no instances on %s: %v", h.name, err)
	}
	var rec struct {
		Lease struct{ Ports []app.PortPair }
	}
	data, err := os.ReadFile(records[0])
	if err == nil {
		err = json.Unmarshal(data, &rec)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		h.t.Fatal(err)
	}
	addr := fmt.Sprintf("%s:%d", h.addr, rec.Lease.Ports[0].Host)
	out, err := brain.command("curl", "-s", "-m", "5", "http://"+addr+"/exit").CombinedOutput()
	if err != nil && !strings.Contains(err.Error(), "exit status 52") { // 52: it died before the answer was whole
		h.t.Fatalf("crash %s at %s: %v %s", name, addr, err, out)
	}
}
