package cluster_test

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/app"
	"lattice/cluster"
)

// A node is a real Cluster on loopback.
type node struct {
	*cluster.Cluster
	name string
	stop func() // says goodbye and waits
	ask  func(...string) error
}

// start makes a node and runs it until the test ends.
func start(t *testing.T, cfg cluster.Config) *node {
	t.Helper()
	if cfg.Bind == "" {
		cfg.Bind = "127.0.0.1:0"
	}
	if cfg.Key == nil {
		cfg.Key = key(1)
	}
	cfg.Label, cfg.Log = "test", logFor(t)
	c, err := cluster.New(cfg)
	if err != nil {
		t.Fatalf("new %s: %v", cfg.Name, err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := c.Run(ctx); err != nil {
			t.Errorf("run %s: %v", cfg.Name, err)
		}
	})
	n := &node{Cluster: c, name: cfg.Name, stop: func() { cancel(); running.Wait() }}
	n.ask = func(addrs ...string) error { return c.Join(t.Context(), addrs) }
	t.Cleanup(func() { c.Close(); n.stop() })
	return n
}

// together starts n nodes that know each other, named a, b, c…
func together(t *testing.T, n int) []*node {
	t.Helper()
	var nodes []*node
	for i := range n {
		name := string(rune('a' + i))
		nodes = append(nodes, start(t, cluster.Config{Name: name, Meta: cluster.Meta{Cell: "cell-" + name}}))
		if i > 0 {
			must(t, nodes[i].ask(nodes[0].Addr()))
		}
	}
	for _, x := range nodes {
		x.wait(t, "everybody", func() bool { return len(x.Members()) == n })
	}
	return nodes
}

// wait blocks until ok, which is asked at each change, and returns how long it took.
func (n *node) wait(t *testing.T, what string, ok func() bool) time.Duration {
	t.Helper()
	began, limit := time.Now(), time.After(15*time.Second)
	for {
		changed := n.Changed()
		if ok() {
			return time.Since(began)
		}
		select {
		case <-changed:
		case <-limit:
			t.Fatalf("%s waited in vain for %s; sees %v, gone %v", n.name, what, n.Members(), n.Gone())
		}
	}
}

func (n *node) sees(name string) (cluster.Member, bool) { return find(n.Members(), name) }
func (n *node) gone(name string) (cluster.Member, bool) { return find(n.Gone(), name) }

func find(members []cluster.Member, name string) (cluster.Member, bool) {
	for _, m := range members {
		if m.Name == name {
			return m, true
		}
	}
	return cluster.Member{}, false
}

func TestMetaReachesEverybody(t *testing.T) {
	t.Parallel()
	nodes := together(t, 3)
	want := cluster.Meta{
		API: "10.0.0.1:7443", Cell: "cell-b", Zone: "z2", Version: "1.2.3",
		Labels:   map[string]string{"disk": "ssd"},
		Capacity: app.Resources{MemoryMB: 16000, DiskMB: 90000, Containers: 250},
	}
	must(t, nodes[1].SetMeta(want))
	for _, n := range nodes {
		n.wait(t, "b's meta", func() bool {
			m, _ := n.sees("b")
			return m.Meta.Zone == "z2" && maps.Equal(m.Meta.Labels, want.Labels) && m.Meta.Capacity == want.Capacity
		})
	}
	if m, _ := nodes[0].sees("b"); m.Host != "127.0.0.1" || m.Address != nodes[1].Addr() || m.State != app.CellAlive {
		t.Errorf("got %+v, want it alive at %s", m, nodes[1].Addr())
	}
}

func TestGoodbyeIsSeenAtOnce(t *testing.T) {
	t.Parallel()
	nodes := together(t, 3)
	began := time.Now()
	nodes[2].stop()
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("leaving took %v, want at most 2s", took)
	}
	for _, n := range nodes[:2] {
		n.wait(t, "c to be gone", func() bool { _, ok := n.gone("c"); return ok })
		if m, _ := n.gone("c"); !m.Left || m.State != app.CellDead {
			t.Errorf("%s: got left %v, state %s; want true, DEAD", n.name, m.Left, m.State)
		}
	}
	t.Logf("goodbye seen by all after %v", time.Since(began).Round(time.Millisecond))
}

func TestCrashIsNoticed(t *testing.T) {
	t.Parallel()
	nodes := together(t, 3)
	began := time.Now()
	nodes[2].Close()
	for _, n := range nodes[:2] {
		n.wait(t, "c to be gone", func() bool { _, ok := n.gone("c"); return ok })
		if m, _ := n.gone("c"); m.Left {
			t.Errorf("%s: c is said to have left, it crashed", n.name)
		}
	}
	took := time.Since(began)
	t.Logf("crash known to all after %v", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("crash noticed after %v, want a few seconds", took)
	}
}

// Two nodes: what a sees of b is a's own probing, read from memberlist's log.
func TestSuspicionEnds(t *testing.T) {
	t.Parallel()
	nodes := together(t, 2)
	a, b := nodes[0], nodes[1]
	isB := func(want app.CellState) func() bool {
		return func() bool { m, _ := a.sees("b"); return m.State == want }
	}
	time.Sleep(time.Second) // what is said of a node in its first moments doesn't count
	changed := a.Changed()
	a.Suspect("b")
	<-changed
	took := a.wait(t, "b to be alive again", isB(app.CellAlive))
	t.Logf("wrong suspicion ended after %v", took.Round(time.Millisecond))
	b.Close()
	a.wait(t, "b to be suspect", isB(app.CellSuspect))
	a.wait(t, "b to be gone", func() bool { _, ok := a.gone("b"); return ok })
}

func TestRestartElsewhereIsTakenBack(t *testing.T) {
	t.Parallel()
	nodes := together(t, 3)
	nodes[2].Close()
	began := time.Now() // no pause: the others still believe in the old one
	back := start(t, cluster.Config{Name: "c", Meta: cluster.Meta{Cell: "cell-c", Zone: "new"}})
	must(t, back.ask(nodes[0].Addr()))
	for _, n := range nodes[:2] {
		n.wait(t, "c at its new address", func() bool {
			m, _ := n.sees("c")
			return m.Address == back.Addr() && m.Meta.Zone == "new"
		})
	}
	took := time.Since(began)
	t.Logf("restarted node known to all after %v", took.Round(time.Millisecond))
	if took > 10*time.Second {
		t.Errorf("taken back after %v, want a few seconds", took)
	}
}

func TestLostNodeFindsTheOthersAgain(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var saved []string
	a := start(t, cluster.Config{Name: "a"})
	b := start(t, cluster.Config{Name: "b"})
	c := start(t, cluster.Config{Name: "c", SavePeers: func(addrs []string) error {
		mu.Lock()
		defer mu.Unlock()
		saved = slices.Clone(addrs)
		return nil
	}})
	must(t, b.ask(a.Addr()))
	must(t, c.ask(a.Addr()))
	c.wait(t, "a and b", func() bool { return len(c.Members()) == 3 })
	c.stop()
	a.stop() // the first address is gone
	mu.Lock()
	peers := saved
	mu.Unlock()
	if !slices.Contains(peers, b.Addr()) {
		t.Fatalf("saved %v, want %s among them", peers, b.Addr())
	}
	again := start(t, cluster.Config{Name: "c", Peers: peers})
	took := again.wait(t, "b", func() bool { _, ok := again.sees("b"); return ok })
	t.Logf("found the cluster by remembered addresses after %v", took.Round(time.Millisecond))
}

func TestJoinRefusals(t *testing.T) {
	t.Parallel()
	a := start(t, cluster.Config{Name: "a"})
	closed := start(t, cluster.Config{Name: "closed"})
	closed.Close()
	twin := start(t, cluster.Config{Name: "a"})
	for _, c := range []struct {
		name string
		node *node
		addr string
		want string
	}{
		{"wrong key", start(t, cluster.Config{Name: "b", Key: key(2)}), a.Addr(), "has another gossip key"},
		{"nobody there", start(t, cluster.Config{Name: "c"}), closed.Addr(), "connection refused"},
		{"no port", start(t, cluster.Config{Name: "d"}), "10.0.0.1", "write it as host:port"},
		{"only itself", a, a.Addr(), "no address of another node"},
		{"name taken", twin, a.Addr(), `a node named "a" is alive at ` + a.Addr() + ` already`},
	} {
		err := c.node.ask(c.addr)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q in it", c.name, err, c.want)
		}
	}
	if err := twin.ask(a.Addr()); !errors.Is(err, app.ErrExists) {
		t.Errorf("name taken: got %v, want app.ErrExists", err)
	}
	if got := len(a.Members()); got != 1 {
		t.Errorf("a sees %d members, want only itself", got)
	}
}

func TestKeysCanBeChanged(t *testing.T) {
	t.Parallel()
	nodes := together(t, 2)
	for _, keys := range [][][]byte{{key(1), key(2)}, {key(2), key(1)}, {key(2)}} {
		for _, n := range nodes {
			must(t, n.SetKeys(keys))
		}
	}
	late := start(t, cluster.Config{Name: "late", Key: key(2)})
	must(t, late.ask(nodes[1].Addr()))
	nodes[0].wait(t, "late", func() bool { _, ok := nodes[0].sees("late"); return ok })
	for _, bad := range [][][]byte{nil, {[]byte("short")}, {key(3), nil}} {
		if err := nodes[0].SetKeys(bad); !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%d keys: got %v, want app.ErrInvalid", len(bad), err)
		}
	}
	must(t, nodes[0].SetKeys([][]byte{key(3)})) // without the others: it is out
	nodes[1].wait(t, "a to be lost", func() bool { _, ok := nodes[1].gone("a"); return ok })
}

func TestNewRefuses(t *testing.T) {
	log := slog.New(slog.DiscardHandler)
	for _, c := range []struct {
		name string
		cfg  cluster.Config
		want string
	}{
		{"no name", cluster.Config{Bind: "127.0.0.1:0", Key: key(1)}, "needs a name"},
		{"no key", cluster.Config{Name: "a", Bind: "127.0.0.1:0"}, "has 0 bytes, it needs 32"},
		{"no port", cluster.Config{Name: "a", Bind: "127.0.0.1", Key: key(1)}, "write it as ip:port"},
		{"a host name", cluster.Config{Name: "a", Bind: "here:0", Key: key(1)}, `"here" is not an ip address`},
		{"advertised name", cluster.Config{Name: "a", Bind: ":0", Advertise: "here", Key: key(1)}, "write it as ip or ip:port"},
		{"not our address", cluster.Config{Name: "a", Bind: "203.0.113.7:0", Key: key(1)}, "gossip on 203.0.113.7:0"},
	} {
		c.cfg.Log = log
		if _, err := cluster.New(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got error %v, want %q in it", c.name, err, c.want)
		}
	}
}

func key(n byte) []byte { return bytes.Repeat([]byte{n}, cluster.KeySize) }

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// logFor returns a log that is shown when the test fails. memberlist still
// writes a line or two after it was shut down, so it can't write to t.
func logFor(t *testing.T) *slog.Logger {
	b := &buffer{}
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(b.String())
		}
	})
	return slog.New(slog.NewTextHandler(b, nil))
}

type buffer struct {
	mu   sync.Mutex // guards text
	text strings.Builder
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}
