package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// chaos is a random run against one brain and three cells.
type chaos struct {
	*lab
	t     *testing.T
	r     *rand.Rand
	brain *host
	cells []*host
	procs map[string]*proc
	load  *traffic

	want   int // instances of web
	colour int
	faults map[string]*tally
	broken []string
	excuse int // requests that failed while the brain, and with it the router, was away, or the host of all instances
}

// tally is what is known of one kind of fault.
type tally struct {
	Faults  int
	Failed  int
	Longest time.Duration
}

// A fault does something bad, or something that a user may do at any time. It
// says which instances may be replaced by it, and returns what undoes it.
type fault struct {
	name string
	do   func() (mayChange func(app.Instance) bool, heal func())
}

// healLimit is how long desired and actual may differ after a fault has healed.
const healLimit = 30 * time.Second

// detection is how long gossip takes to find a node dead, and a bit.
const detection = 4 * time.Second

// TestChaos injects faults at random for CHAOS_MINUTES (default 0.4) and checks
// after each that everything is as wanted again and that nothing else was
// touched. CHAOS_SEED repeats a run; CHAOS_OUT is a file for the JSON result.
func TestChaos(t *testing.T) {
	minutes, err := strconv.ParseFloat(envOr("CHAOS_MINUTES", "0.4"), 64)
	if err != nil {
		t.Fatal(err)
	}
	seed, err := strconv.ParseUint(envOr("CHAOS_SEED", fmt.Sprint(rand.Uint64())), 10, 64)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("seed %d (CHAOS_SEED repeats it)", seed)
	l, brain, procs := cluster(t, "c1", "c2", "c3")
	c := &chaos{lab: l, t: t, r: rand.New(rand.NewPCG(seed, 0)), brain: brain, procs: procs, want: 3, faults: map[string]*tally{}}
	c.procs["brain"] = brain.procs[0]
	for _, name := range []string{"c1", "c2", "c3"} {
		c.cells = append(c.cells, l.host(name))
	}
	brain.ltc("create", "web", "lattice/hello", "-i", fmt.Sprint(c.want))
	c.load = brain.load("web", 50)
	for end := time.Now().Add(time.Duration(minutes * float64(time.Minute))); time.Now().Before(end) && len(c.broken) == 0; {
		all := c.catalogue()
		c.inject(all[c.r.IntN(len(all))])
	}
	close(c.load.stop)
	c.load.done.Wait()
	c.finish()
}

func envOr(name, or string) string {
	if s := os.Getenv(name); s != "" {
		return s
	}
	return or
}

// catalogue lists the faults there are.
func (c *chaos) catalogue() []fault {
	victim := c.cells[c.r.IntN(len(c.cells))]
	short, long := c.between(0, time.Second), c.between(time.Second, 7*time.Second)
	return []fault{
		{"cell killed, back soon", func() (func(app.Instance) bool, func()) { return none, c.kill(victim, short, "cell") }},
		{"cell killed, back late", func() (func(app.Instance) bool, func()) { return onCell(victim), c.kill(victim, long, "cell") }},
		{"host's cable out", func() (func(app.Instance) bool, func()) { return onCell(victim), c.unplug(victim, long) }},
		{"partition", func() (func(app.Instance) bool, func()) { return onCell(victim), c.cut(victim, long) }},
		{"brain killed", func() (func(app.Instance) bool, func()) { return none, c.kill(c.brain, short, "brain") }},
		{"app crashes", c.crash},
		{"scale", c.scale},
		{"rolling update", c.update},
		{"restart of one", c.restart},
		{"drain and undrain", func() (func(app.Instance) bool, func()) {
			c.brain.ltc("cell", "drain", victim.name)
			return onCell(victim), func() { c.brain.ltc("cell", "undrain", victim.name) }
		}},
	}
}

func none(app.Instance) bool     { return false }
func everyone(app.Instance) bool { return true }

func onCell(h *host) func(app.Instance) bool {
	return func(in app.Instance) bool { return in.Cell == h.name }
}

func (c *chaos) between(min, max time.Duration) time.Duration {
	return min + time.Duration(c.r.Int64N(int64(max-min)))
}

func (c *chaos) kill(h *host, away time.Duration, role string) func() {
	c.procs[h.name].kill()
	return func() {
		time.Sleep(away)
		c.procs[h.name] = h.start(role)
		h.waitReady(c.procs[h.name])
	}
}

func (c *chaos) unplug(h *host, away time.Duration) func() {
	c.run("ip", "-n", h.ns, "link", "set", "eth0", "down")
	return func() {
		time.Sleep(away)
		c.run("ip", "-n", h.ns, "link", "set", "eth0", "up")
		c.run("ip", "-n", h.ns, "route", "replace", "default", "via", "10.99.0.254")
	}
}

func (c *chaos) cut(h *host, away time.Duration) func() {
	h.nft("add", "table", "ip", "cut")
	for i, hook := range []string{"input", "output"} {
		if way := c.r.IntN(3); way == 2 || way == i {
			h.nft("add", "chain", "ip", "cut", hook, fmt.Sprintf("{ type filter hook %s priority -300; policy accept; }", hook))
			h.nft("add", "rule", "ip", "cut", hook, "ip", []string{"saddr", "daddr"}[i], c.brain.addr, "drop")
		}
	}
	return func() { time.Sleep(away); h.nft("delete", "table", "ip", "cut") }
}

func (c *chaos) crash() (func(app.Instance) bool, func()) {
	index := c.r.IntN(c.want)
	before := guids(c.brain.status("web"))[index]
	cmd := c.brain.command("curl", "-s", "-m", "5", "-H", fmt.Sprintf("X-Cf-App-Instance: web:%d", index), "http://web."+domain+"/exit")
	cmd.Run()        // the answer may be cut off
	gone := func() { // it answers before it dies
		eventually(c.t, healLimit, "the crash is noticed", func() string {
			if now := guids(c.brain.status("web"))[index]; now == before {
				return "still container " + now
			}
			return ""
		})
	}
	return func(in app.Instance) bool { return in.Index == index }, gone
}

func (c *chaos) scale() (func(app.Instance) bool, func()) {
	before := c.want
	c.want = 2 + c.r.IntN(4)
	c.brain.ltc("scale", "web", fmt.Sprint(c.want))
	return func(in app.Instance) bool { return in.Index >= min(before, c.want) }, nil
}

func (c *chaos) update() (func(app.Instance) bool, func()) {
	c.colour++
	c.brain.ltc("update", "web", "-e", fmt.Sprint("COLOUR=", c.colour))
	return everyone, nil
}

func (c *chaos) restart() (func(app.Instance) bool, func()) {
	index := c.r.IntN(c.want)
	c.brain.ltc("restart", fmt.Sprint("web/", index))
	return func(in app.Instance) bool { return in.Index == index }, nil
}

// inject does one fault, lets it heal, and checks what must hold.
func (c *chaos) inject(f fault) {
	before, failed := c.brain.status("web"), c.load.failures()
	mayChange, heal := f.do()
	if heal != nil {
		heal()
	}
	healed := time.Now()
	after, why := c.settled()
	took := time.Since(healed)
	if heal != nil && why == "" { // a fault that was short may show late: gossip takes its time to find a node dead
		time.Sleep(detection)
		after, why = c.settled()
	}
	c.t.Logf("%-24s healed in %v", f.name, took.Round(time.Millisecond))
	if c.faults[f.name] == nil {
		c.faults[f.name] = &tally{}
	}
	y := c.faults[f.name]
	y.Faults++
	y.Longest = max(y.Longest, took)
	// Nobody can answer while the brain is away, or the host of all instances.
	alone := len(before.Instances) > 0 && !slices.ContainsFunc(before.Instances, func(in app.Instance) bool { return !mayChange(in) })
	if now := c.load.failures() - failed; f.name == "brain killed" || f.name == "host's cable out" && alone {
		c.excuse += now
	} else {
		y.Failed += now
	}
	if why != "" {
		c.broken = append(c.broken, fmt.Sprintf("%s: not as wanted %v later: %s", f.name, healLimit, why))
		return
	}
	for _, old := range before.Instances {
		if old.Index < c.want && !mayChange(old) && !slices.ContainsFunc(after.Instances, func(in app.Instance) bool { return in.GUID == old.GUID }) {
			c.broken = append(c.broken, fmt.Sprintf("%s: web/%d on %s was replaced, and should not have been:\nbefore %+v\nafter %+v", f.name, old.Index, old.Cell, before.Instances, after.Instances))
		}
	}
}

// settled waits until the app is as wanted: one running instance for each index,
// and no container more on any cell.
func (c *chaos) settled() (st app.Status, why string) {
	for deadline := time.Now().Add(healLimit); ; time.Sleep(50 * time.Millisecond) {
		if st, why = c.look(); why == "" || time.Now().After(deadline) {
			return st, why
		}
	}
}

func (c *chaos) look() (app.Status, string) {
	code, out, errs := c.brain.lattice("status", "web", "-o", "json")
	var st app.Status
	if code != 0 {
		return st, errs
	}
	if err := json.Unmarshal([]byte(out), &st); err != nil {
		return st, err.Error()
	}
	if len(st.Instances) != c.want || count(st, app.Running) != c.want {
		return st, fmt.Sprintf("want %d running instances, have %+v", c.want, st.Instances)
	}
	containers := 0
	for _, h := range c.cells {
		containers += len(h.containers())
	}
	if containers != c.want {
		return st, fmt.Sprintf("want %d containers, there are %d", c.want, containers)
	}
	if out := c.brain.ltc("cells", "-o", "json"); strings.Count(out, `"state": "ALIVE"`) != len(c.cells) {
		return st, "not all cells are alive: " + out
	}
	return st, ""
}

// failures returns how many requests have failed so far.
func (tr *traffic) failures() int {
	tr.mu.Lock()
	defer tr.mu.Unlock()
	n := 0
	for _, k := range tr.failed {
		n += k
	}
	return n
}

// finish prints the table and the JSON, and fails the test when something broke.
func (c *chaos) finish() {
	var result struct {
		Faults   int     `json:"faults"`
		Requests int     `json:"requests"`
		Failed   int     `json:"failed_requests"`
		Excused  int     `json:"failed_while_nobody_could_answer"`
		Broken   int     `json:"broken_invariants"`
		Longest  float64 `json:"longest_heal_s"`
	}
	var table strings.Builder
	fmt.Fprintf(&table, "%-26s %7s %16s %14s\n", "fault", "times", "failed requests", "longest heal")
	for _, name := range sortedKeys(c.faults) {
		y := c.faults[name]
		fmt.Fprintf(&table, "%-26s %7d %16d %14v\n", name, y.Faults, y.Failed, y.Longest.Round(time.Millisecond))
		result.Faults += y.Faults
		result.Failed += y.Failed
		result.Longest = max(result.Longest, y.Longest.Seconds())
	}
	result.Requests, result.Excused, result.Broken = c.load.sent, c.excuse, len(c.broken)
	line, err := json.Marshal(result)
	if err != nil {
		c.t.Fatal(err)
	}
	c.t.Logf("\n%s%s", table.String(), line)
	if path := os.Getenv("CHAOS_OUT"); path != "" {
		if err := os.WriteFile(path, fmt.Appendf(nil, "%s%s\n", table.String(), line), 0o644); err != nil {
			c.t.Error(err)
		}
	}
	for _, b := range c.broken {
		c.t.Errorf("broken: %s", b)
	}
	if result.Failed > 0 {
		c.t.Errorf("%d of %d requests failed: %v", result.Failed, result.Requests, c.load.failed)
	}
}

func sortedKeys[V any](m map[string]V) []string {
	var keys []string
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
