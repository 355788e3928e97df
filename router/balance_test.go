package router

import (
	"fmt"
	"net/http"
	"net/netip"
	"testing"
	"time"
)

func counts(turns int, pick func(turn uint64) int, n int) []int {
	got := make([]int, n)
	for turn := range turns {
		if i := pick(uint64(turn)); i >= 0 {
			got[i]++
		}
	}
	return got
}

func open(loads ...int64) []choice {
	all := make([]choice, len(loads))
	for i, l := range loads {
		all[i] = choice{true, l, 1}
	}
	return all
}

func TestRoundRobinIsEven(t *testing.T) {
	all := open(0, 0, 0, 0)
	all[2].open = false
	if got := fmt.Sprint(counts(300, func(turn uint64) int { return roundRobin(all, turn) }, 4)); got != "[100 100 0 100]" {
		t.Errorf("got %s", got)
	}
	all[0].share = 0.25 // it is fresh
	got := counts(9000, func(turn uint64) int { return roundRobin(all, turn) }, 4)
	for i, want := range []int{1000, 4000, 0, 4000} {
		if d := got[i] - want; d < -20 || d > 20 {
			t.Errorf("with a fresh one: got %v, want about [1000 4000 0 4000]", got)
			break
		}
	}
	if got := roundRobin([]choice{{}, {}}, 5); got != -1 {
		t.Errorf("nobody is open: got %d", got)
	}
}

func TestLeastConnections(t *testing.T) {
	for _, tt := range []struct {
		all  []choice
		want string // how 12 turns are spread
	}{
		{open(3, 1, 2), "[0 12 0]"},
		{open(1, 1, 2), "[6 6 0]"},
		{[]choice{{true, 0, 0.1}, {true, 5, 1}}, "[0 12]"}, // one request more is a tenfold load for the fresh one
		{[]choice{{true, 0, 0.5}, {true, 5, 1}}, "[12 0]"},
		{[]choice{{false, 0, 1}, {true, 5, 1}}, "[0 12]"},
	} {
		if got := fmt.Sprint(counts(12, func(turn uint64) int { return leastConnections(tt.all, turn) }, len(tt.all))); got != tt.want {
			t.Errorf("%v: got %s, want %s", tt.all, got, tt.want)
		}
	}
}

func TestHashIsBoundedAndMovesLittle(t *testing.T) {
	pool := make([]*Backend, 10)
	for i := range pool {
		pool[i] = &Backend{App: "web", Index: i}
	}
	all, moved := open(make([]int64, 10)...), 0
	for k := range 1000 {
		key := fmt.Sprint("user-", k)
		i := boundedHash(all, rendezvous(key, pool))
		if len(pool) == 10 && boundedHash(all[:9], rendezvous(key, pool[:9])) != i {
			moved++
		}
	}
	if moved < 50 || moved > 150 {
		t.Errorf("one of ten instances is gone: %d of 1000 keys moved, want those of that one", moved)
	}
	order := rendezvous("hot", pool)
	for range 1000 { // all for one key
		all[boundedHash(all, order)].load++
	}
	for i, c := range all {
		if c.load > 126 {
			t.Errorf("instance %d has %d of 1000 requests, want at most a quarter more than 100", i, c.load)
		}
	}
}

func TestShareOfAFreshInstance(t *testing.T) {
	for _, tt := range []struct {
		age, slow time.Duration
		want      float64
	}{
		{0, 0, 1}, {0, time.Minute, 0.1}, {30 * time.Second, time.Minute, 0.55}, {time.Minute, time.Minute, 1}, {-time.Second, time.Minute, 0.1},
	} {
		if got := share(tt.age, tt.slow); got < tt.want-1e-9 || got > tt.want+1e-9 {
			t.Errorf("%v of %v: got %v, want %v", tt.age, tt.slow, got, tt.want)
		}
	}
}

func TestLimiter(t *testing.T) {
	l := newLimiter("2/s", 3)
	for i, tt := range []struct {
		at   time.Duration
		wait time.Duration
	}{
		{0, 0}, {0, 0}, {0, 0}, {0, time.Second / 2}, {time.Second / 2, 0}, {time.Second / 2, time.Second / 2},
		{time.Hour, 0}, {time.Hour, 0}, {time.Hour, 0}, {time.Hour, time.Second / 2},
	} {
		if got := l.take(tt.at); got != tt.wait {
			t.Errorf("request %d: wait %v, want %v", i, got, tt.wait)
		}
	}
}

func TestClientLimiterForgets(t *testing.T) {
	l := newClientLimiter("1/h", 1)
	at := func(i int) netip.Addr { return netip.AddrFrom4([4]byte{10, byte(i >> 16), byte(i >> 8), byte(i)}) }
	for i := range 3 * maxClients {
		if wait := l.take(time.Duration(i), at(i)); wait > 0 {
			t.Fatalf("client %d must wait for %v", i, wait)
		}
	}
	if len(l.by) != maxClients {
		t.Errorf("%d clients are remembered, want %d", len(l.by), maxClients)
	}
	if l.take(3*maxClients, at(3*maxClients-1)) == 0 {
		t.Error("the last client has no limit")
	}
	a, b := netip.MustParseAddr("2001:db8::1"), netip.MustParseAddr("2001:db8::2")
	if l.take(time.Hour, a) > 0 || l.take(time.Hour, b) == 0 {
		t.Error("two addresses of one network are not one client")
	}
}

func TestTheClientBehindProxies(t *testing.T) {
	r := New(Options{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}})
	for _, tt := range []struct {
		peer, fields, want string
	}{
		{"1.2.3.4", "5.6.7.8", "1.2.3.4"},
		{"10.0.0.1", "", "10.0.0.1"},
		{"10.0.0.1", "5.6.7.8", "5.6.7.8"},
		{"10.0.0.1", "liar, 5.6.7.8, 10.0.0.2", "5.6.7.8"},
		{"10.0.0.1", "9.9.9.9, 5.6.7.8:4711", "5.6.7.8"},
		{"10.0.0.1", "9.9.9.9, nonsense", "10.0.0.1"},
		{"::1", "[2001:db8::1]:80", "2001:db8::1"},
		{"10.0.0.1", "::ffff:5.6.7.8", "5.6.7.8"},
	} {
		if got := r.theClient(netip.MustParseAddr(tt.peer), []string{tt.fields}); got.String() != tt.want {
			t.Errorf("%s for %q: got %s, want %s", tt.peer, tt.fields, got, tt.want)
		}
	}
}

func FuzzCredentials(f *testing.F) {
	f.Add("Basic YTpi")
	f.Add("basic  ====")
	f.Fuzz(func(t *testing.T, text string) {
		if name, password, ok := credentials(text); !ok && name+password != "" {
			t.Errorf("%q: no credentials, but %q", text, name)
		}
	})
}

// FuzzForwarded holds that a client never is who it says itself.
func FuzzForwarded(f *testing.F) {
	f.Add("5.6.7.8, 10.0.0.2")
	f.Add("[::1]:80,,  ,1.2.3.4:5")
	r := New(Options{Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	f.Fuzz(func(t *testing.T, text string) {
		liar := netip.MustParseAddr("1.2.3.4")
		if got := r.theClient(liar, []string{text}); got != liar {
			t.Errorf("%q: nobody trusted is taken for %v", text, got)
		}
		proxy := netip.MustParseAddr("10.0.0.1")
		if got := r.theClient(proxy, []string{text, "5.6.7.8"}); got.String() != "5.6.7.8" {
			t.Errorf("%q: who asked the proxy is taken for %v", text, got)
		}
	})
}

// FuzzCookie holds that net/http finds no other value for a cookie.
func FuzzCookie(f *testing.F) {
	f.Add("x=y; at=1; at=2")
	f.Add(` at="1" ;at`)
	f.Fuzz(func(t *testing.T, header string) {
		req := &http.Request{Header: http.Header{"Cookie": {header}}}
		got := cookie(httpCaller{&exchange{in: req}}, "at")
		if c, err := req.Cookie("at"); err == nil && got == "" && c.Value != "" {
			t.Errorf("%q: not found, net/http has %q", header, c.Value)
		}
	})
}
