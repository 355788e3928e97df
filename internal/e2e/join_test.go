package e2e

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"lattice/api"
	"lattice/app"
	"lattice/internal/pki"
)

// newToken makes a join token and returns its ID and its text.
func (h *host) newToken(args ...string) (id, token string) {
	h.t.Helper()
	var t api.NewToken
	if err := json.Unmarshal([]byte(h.ltc(append([]string{"token", "create", "-o", "json"}, args...)...)), &t); err != nil {
		h.t.Fatal(err)
	}
	return t.ID, t.Token
}

// refused runs a cell that must end with these words and code 10 or 13.
func (h *host) refused(words string, args ...string) {
	h.t.Helper()
	code, _, errs := h.lattice(append([]string{"cell"}, args...)...)
	if code != 10 && code != 13 || !strings.Contains(errs, words) {
		h.t.Errorf("exit code %d, want %q in:\n%s", code, words, errs)
	}
}

// waitLog waits until the process has logged these words.
func (h *host) waitLog(p *proc, limit time.Duration, words string) {
	h.t.Helper()
	eventually(h.t, limit, fmt.Sprintf("%s logs %q", h.name, words), func() string {
		b, _ := os.ReadFile(p.log)
		if strings.Contains(string(b), words) {
			return ""
		}
		return string(tail(b, 2000))
	})
}

// count returns how often the process has logged these words.
func (p *proc) count(words string) int {
	b, _ := os.ReadFile(p.log)
	return strings.Count(string(b), words)
}

// cellStates returns the state of each cell that the brain shows.
func (h *host) cellStates() map[string]string {
	h.t.Helper()
	var cells []api.CellStatus
	if err := json.Unmarshal([]byte(h.ltc("cells", "-o", "json")), &cells); err != nil {
		h.t.Fatal(err)
	}
	states := map[string]string{}
	for _, c := range cells {
		states[c.ID] = string(c.State)
	}
	return states
}

// waitCells waits until the brain shows just these cells, all alive.
func (h *host) waitCells(limit time.Duration, ids ...string) {
	h.t.Helper()
	want := map[string]string{}
	for _, id := range ids {
		want[id] = "ALIVE"
	}
	eventually(h.t, limit, fmt.Sprintf("the cells %v", ids), func() string {
		if got := h.cellStates(); !maps.Equal(got, want) {
			return fmt.Sprint(got)
		}
		return ""
	})
}

func TestOnlyAGoodTokenLetsACellIn(t *testing.T) {
	l := newLab(t, "brain", "c1", "c2", "liar")
	brain, c1, c2, liar := l.host("brain"), l.host("c1"), l.host("c2"), l.host("liar")
	brain.waitReady(brain.start("brain"))
	liar.waitReady(liar.start("brain"))

	id, revoked := brain.newToken()
	brain.ltc("token", "revoke", id)
	_, short := brain.newToken("--ttl", "1s")
	_, once := brain.newToken("--uses", "1")
	_, foreign := liar.newToken()
	p := c1.start("cell", "--join", brain.addr, "--token", once)
	c1.waitReady(p)
	eventually(t, 5*time.Second, "the short token expires", func() string {
		if !strings.Contains(brain.ltc("token", "list"), "expired") {
			return "it is valid"
		}
		return ""
	})
	to := []string{"--join", brain.addr, "--token"}
	c2.refused("was revoked on", append(to, revoked)...)
	c2.refused("expired on", append(to, short)...)
	c2.refused("has been used 1 times", append(to, once)...)
	c2.refused("does not show the certificate that is expected", append(to, foreign)...)                  // the token is the liar's
	c2.refused("does not show the certificate that is expected", "--join", liar.addr, "--token", revoked) // the address is
	c2.refused("has not joined a cluster yet", "--zone", "z2")
	_, fresh := brain.newToken()
	c2.refused("a cell c1 is alive at "+c1.addr, append(to, fresh, "--cell-id", "c1")...)

	list := brain.ltc("token", "list") + brain.ltc("token", "list", "-o", "json")
	for _, token := range []string{revoked, short, once, fresh} {
		if secret := token[strings.LastIndex(token, ".")+1:]; strings.Contains(list, secret) {
			t.Error("the list shows a secret")
		}
		grep := l.run("sh", "-c", `grep -rl -- "$0" "$1" "$2" || true`, token[strings.LastIndex(token, ".")+1:], brain.data(), c1.data())
		if strings.TrimSpace(grep) != "" {
			t.Errorf("a token is on disk: %s", grep)
		}
	}
	info, err := os.Stat(filepath.Join(c1.data(), "cell", "join.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("join.json: %v %v, want it for its owner only", info, err)
	}

	// The token that is used up is no hindrance to a cell that is in.
	p.stop()
	c1.waitReady(c1.start("cell", "--join", brain.addr, "--token", once))
	brain.waitCells(10*time.Second, "c1")
}

// An identity is what a cell shows of itself.
type identity struct {
	*host
	cert tls.Certificate
}

// identity reads what the cell on h shows of itself.
func (h *host) identity() identity {
	h.t.Helper()
	var j struct{ Certificate, Key string }
	b, err := os.ReadFile(filepath.Join(h.data(), "cell", "join.json"))
	if err == nil {
		err = json.Unmarshal(b, &j)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	cert, err := tls.X509KeyPair([]byte(j.Certificate), []byte(j.Key))
	if err != nil {
		h.t.Fatal(err)
	}
	return identity{h, cert}
}

// ask sends a request to a brain and returns status and body. The token may be
// empty.
func (i identity) ask(brain *host, token, method, path, body string) (int, string) {
	i.t.Helper()
	req, err := http.NewRequest(method, "https://"+brain.addr+":7443/api/v1"+path, strings.NewReader(body))
	if err != nil {
		i.t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	trust := &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{i.cert}}
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, DialContext: i.dial, TLSClientConfig: trust}}
	resp, err := client.Do(req)
	if err != nil {
		i.t.Fatalf("%s %s: %v", method, path, err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		i.t.Fatal(err)
	}
	return resp.StatusCode, string(b)
}

func TestACellSpeaksForItselfOnly(t *testing.T) {
	l, brain, _ := cluster(t, "c1", "c2")
	_, token := brain.newToken()
	c1 := l.host("c1").identity()
	foreign := `{"cell":"c1","instances":[{"cell":"c2","app":"x","state":"RUNNING","host":"10.99.0.9"}]}`
	for _, tt := range []struct {
		name, token, method, path, body string
		code                            int
		says                            string
	}{
		{"its own report", "", "POST", "/cells/c1/report", `{"cell":"c1"}`, 204, ""},
		{"another's report", "", "POST", "/cells/c2/report", `{"cell":"c2"}`, 403, "does not speak for"},
		{"another's report as its own", "", "POST", "/cells/c1/report", `{"cell":"c2"}`, 422, "was sent for"},
		{"another's instance", "", "POST", "/cells/c1/report", foreign, 422, "has an instance of the cell"},
		{"another's work", "", "GET", "/cells/c2/work", "", 403, "does not speak for"},
		{"another's certificate", "", "POST", "/cells/c2/certificate", "{}", 403, "does not speak for"},
		{"another's gossip keys", "", "GET", "/cells/c2/membership", "", 403, "does not speak for"},
		{"the apps", "", "GET", "/apps", "", 403, "use a user's token"},
		{"a join token", "", "POST", "/tokens", "{}", 403, "use a user's token"},
		{"another's end", "", "POST", "/cells/c2/revoke", "", 403, "use a user's token"},
		{"the apps by join token", token, "GET", "/apps", "", 403, "a join token is only for cells that join"},
		{"the ID of one that is alive", token, "POST", "/join", `{"cell":"c2"}`, 422, "a cell c2 is alive"},
	} {
		if code, body := c1.ask(brain, tt.token, tt.method, tt.path, tt.body); code != tt.code || !strings.Contains(body, tt.says) {
			t.Errorf("%s: got %d %s, want %d with %q", tt.name, code, body, tt.code, tt.says)
		}
	}
	if code, body := brain.api("GET", "/api/v1/cells/c1/work", "", true); code != 403 {
		t.Errorf("a user takes a cell's work: %d %s", code, body)
	}
}

func TestCertificatesAreRenewedWithoutAGap(t *testing.T) {
	l := newLab(t, "brain", "c1")
	brain, c1 := l.host("brain"), l.host("c1")
	bp := brain.start("up", "--certificate-life", "9s")
	brain.waitReady(bp)
	_, token := brain.newToken("--uses", "1")
	cp := c1.start("cell", "--join", brain.addr, "--token", token)
	c1.waitReady(cp)
	both := map[string]string{"brain": "ALIVE", "c1": "ALIVE"}
	brain.waitCells(10*time.Second, "brain", "c1")
	brain.ltc("create", "hello", "lattice/hello", "-i", "2")
	before := guids(brain.status("hello"))
	eventually(t, time.Minute, "three certificates later", func() string {
		if got := brain.cellStates(); !maps.Equal(got, both) {
			t.Errorf("cells: %v", got)
		}
		brain.mustGet("hello."+domain, "/")
		if n := min(bp.count("got a new certificate"), cp.count("got a new certificate")); n < 3 {
			return fmt.Sprint(n)
		}
		return ""
	})
	for _, p := range []*proc{bp, cp} {
		if n := p.count("lost the brain"); n > 0 {
			t.Errorf("a cell lost the brain %d times", n)
		}
	}
	brain.ltc("scale", "hello", "4") // work still comes, reports still go
	if now := guids(brain.status("hello")); now[0] != before[0] || now[1] != before[1] || len(now) != 4 {
		t.Errorf("got %v, before %v", now, before)
	}
	if code, _, errs := brain.lattice("cell", "revoke", "brain"); code != 13 || !strings.Contains(errs, "own process") {
		t.Errorf("revoke of the brain's own cell: %d %s", code, errs)
	}

	// A cell that was away for longer needs a token.
	cp.kill()
	end := c1.identity().cert.Leaf.NotAfter
	eventually(t, 30*time.Second, "the certificate runs out", func() string { return either(time.Now().After(end), "not yet") })
	c1.refused("certificate ran out on", "--zone", "z1")
	_, token = brain.newToken()
	c1.waitReady(c1.start("cell", "--join", brain.addr, "--token", token))
	brain.waitCells(20*time.Second, "brain", "c1")
}

func TestARevokedCellIsOutWithinSeconds(t *testing.T) {
	l, brain, procs := cluster(t, "c1", "c2")
	c2 := l.host("c2")
	brain.ltc("create", "hello", "lattice/hello", "-i", "4")
	if got := perCell(brain.status("hello")); got["c2"] != 2 {
		t.Fatalf("instances by cell: %v", got)
	}
	old := c2.identity()
	start := time.Now()
	t.Log(strings.TrimSpace(brain.ltc("cell", "revoke", "c2")))
	eventually(t, 10*time.Second, "all four run on c1", func() string {
		if got := perCell(brain.status("hello")); !maps.Equal(got, map[string]int{"c1": 4}) {
			return fmt.Sprint(got)
		}
		return ""
	})
	t.Logf("revoke to all running elsewhere: %v", time.Since(start).Round(time.Millisecond))
	brain.waitCells(5*time.Second, "c1")
	if code, body := old.ask(brain, "", "POST", "/cells/c2/report", `{"cell":"c2"}`); code != 401 || !strings.Contains(body, "was put out") {
		t.Errorf("a report with the revoked certificate: %d %s", code, body)
	}
	c2.waitLog(procs["c2"], 10*time.Second, "this cell is out of the cluster")
	eventually(t, 20*time.Second, "c1 and c2 don't gossip any more", func() string {
		if procs["c1"].count("msg=\"node died\"")+procs["c1"].count("msg=\"node left\"") == 0 {
			return "c1 has not lost c2"
		}
		return ""
	})
	t.Logf("revoke to out of gossip: %v", time.Since(start).Round(time.Millisecond))
	if n := procs["c2"].count("node joined"); n == 0 {
		t.Error("c2 never saw anybody")
	}

	// It stays out with what it has, and is welcome with a fresh token.
	procs["c2"].kill()
	c2.refused("was put out of the cluster", "--zone", "z1")
	_, token := brain.newToken()
	back := c2.start("cell", "--join", brain.addr, "--token", token)
	c2.waitReady(back)
	brain.waitCells(10*time.Second, "c1", "c2")
	brain.ltc("scale", "hello", "8")
	eventually(t, 20*time.Second, "c2 gets work", func() string {
		if got := perCell(brain.status("hello")); got["c2"] < 1 || got["c1"]+got["c2"] != 8 {
			return fmt.Sprint(got)
		}
		return ""
	})
	if code, _, errs := brain.lattice("cell", "revoke", "nobody"); code != 14 || !strings.Contains(errs, "nobody") {
		t.Errorf("revoke of a stranger: %d %s", code, errs)
	}
}

func TestGossipKeyIsRotatedWithoutAStop(t *testing.T) {
	l, brain, procs := cluster(t, "c1", "c2")
	c2 := l.host("c2")
	brain.ltc("create", "hello", "lattice/hello", "-i", "2")
	before := guids(brain.status("hello"))
	key := func() string { return fmt.Sprint(brain.ring().Keys) }
	first := key()
	for range 3 {
		t.Log(strings.TrimSpace(brain.ltc("gossip", "rotate")))
	}
	if key() == first || len(brain.ring().Keys) != 1 {
		t.Error("the key is the same, or there are several")
	}
	watch := time.Now().Add(6 * time.Second) // longer than it takes to declare a node dead
	eventually(t, 20*time.Second, "some time passes", func() string {
		if got := brain.cellStates(); !maps.Equal(got, map[string]string{"c1": "ALIVE", "c2": "ALIVE"}) {
			t.Fatalf("cells: %v", got)
		}
		if time.Now().Before(watch) {
			return "not yet"
		}
		return ""
	})
	for _, p := range append(slices.Collect(maps.Values(procs)), brain.procs[0]) {
		for _, words := range []string{"node died", "node left", "doesn't answer"} {
			if n := p.count(words); n > 0 {
				t.Errorf("%q was logged %d times", words, n)
			}
		}
	}
	if now := guids(brain.status("hello")); !maps.Equal(now, before) {
		t.Errorf("instances moved: %v, before %v", now, before)
	}

	// One that is away misses it: frozen, as a machine asleep.
	procs["c2"].cmd.Process.Signal(syscall.SIGSTOP)
	eventually(t, 20*time.Second, "c2 is missed", func() string { return either(brain.cellStates()["c2"] != "ALIVE", "it is alive") })
	brain.ltc("gossip", "rotate")
	procs["c2"].cmd.Process.Signal(syscall.SIGCONT)
	brain.waitCells(20*time.Second, "c1", "c2")

	// A brain that is killed in the middle goes on where it was.
	procs["c2"].cmd.Process.Signal(syscall.SIGSTOP) // so that there is a middle
	half := brain.start("gossip", "rotate")
	eventually(t, 10*time.Second, "the rotation begins", func() string { return either(len(brain.ring().Keys) == 2, "one key") })
	brain.procs[0].kill()
	half.kill()
	procs["c2"].cmd.Process.Signal(syscall.SIGCONT)
	last := brain.start("brain")
	brain.waitReady(last)
	brain.waitCells(20*time.Second, "c1", "c2")
	eventually(t, 40*time.Second, "the rotation ends", func() string { return either(len(brain.ring().Keys) == 1, "two keys") })
	brain.waitCells(5*time.Second, "c1", "c2")

	// And one that was off comes up without the brain by the keys it has kept.
	procs["c2"].kill()
	last.kill()
	p := c2.start("cell")
	c2.waitReady(p)
	c2.waitLog(p, 15*time.Second, `msg="node joined" part=gossip host=c1`)
	brain.waitReady(brain.start("brain"))
	brain.waitCells(20*time.Second, "c1", "c2")
	eventually(t, 20*time.Second, "both instances run", func() string { return either(count(brain.status("hello"), app.Running) == 2, "no") })
}

// ring returns the gossip keys that the brain keeps.
func (h *host) ring() pki.Ring {
	h.t.Helper()
	var file struct{ Gossip pki.Ring }
	b, err := os.ReadFile(filepath.Join(h.data(), "brain", "secrets.json"))
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err != nil {
		h.t.Fatal(err)
	}
	return file.Gossip
}

func either(ok bool, why string) string {
	if ok {
		return ""
	}
	return why
}
