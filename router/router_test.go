package router_test

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"lattice/app"
	"lattice/router"
)

// backend starts an instance and returns its server; h nil answers with name.
func backend(t testing.TB, name string, h http.HandlerFunc) *httptest.Server {
	t.Helper()
	if h == nil {
		h = func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, name) }
	}
	s := httptest.NewServer(h)
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	return s
}

func addr(s *httptest.Server) string { return s.Listener.Addr().String() }

// nobody returns an address that refuses connections.
func nobody(t testing.TB) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	return ln.Addr().String()
}

// hosting returns a table in which name.lab leads to instances at addrs.
func hosting(name string, addrs ...string) *router.Table {
	return router.Build([]app.Status{instances(name, addrs...)}, "lab", nil)
}

func instances(name string, addrs ...string) app.Status {
	s := app.Status{App: app.App{Name: name, Ports: []int{8080}}}
	for i, a := range addrs {
		ap, err := net.ResolveTCPAddr("tcp", a)
		if err != nil {
			panic(err)
		}
		s.Instances = append(s.Instances, app.Instance{
			App: name, Index: i, GUID: "guid-" + a, Cell: "a", State: app.Running,
			Host: ap.IP.String(), Ports: []app.PortPair{{Container: 8080, Host: ap.Port}},
		})
	}
	return s
}

// front serves r on a port of this host and returns a client whose every
// request goes there, whatever its host.
func front(t testing.TB, r *router.Router) *http.Client {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, r, ln, 5*time.Second) }()
	tr := &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return (&net.Dialer{}).DialContext(ctx, network, ln.Addr().String())
		},
		MaxIdleConnsPerHost: 100, DisableCompression: true, ExpectContinueTimeout: 5 * time.Second,
	}
	t.Cleanup(func() {
		tr.CloseIdleConnections()
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return &http.Client{Transport: tr, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// routing returns a router for the table and a client of it.
func routing(t testing.TB, table *router.Table) (*router.Router, *http.Client) {
	t.Helper()
	r := router.New(router.Options{})
	r.Swap(table)
	return r, front(t, r)
}

func get(t testing.TB, c *http.Client, url string, header ...string) (*http.Response, string) {
	t.Helper()
	req, err := http.NewRequest("GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := 0; i < len(header); i += 2 {
		req.Header.Add(header[i], header[i+1])
	}
	res, err := c.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res, string(body)
}

func TestRoundRobinIsEvenAndSurvivesSwaps(t *testing.T) {
	a, b, c := backend(t, "a", nil), backend(t, "b", nil), backend(t, "c", nil)
	addrs := []string{addr(a), addr(b), addr(c)}
	r, client := routing(t, hosting("web", addrs...))
	seen := map[string]int{}
	order := ""
	for range 30 {
		_, body := get(t, client, "http://web.lab/")
		seen[body]++
		order += body
		r.Swap(hosting("web", addrs...))
	}
	if seen["a"] != 10 || seen["b"] != 10 || seen["c"] != 10 {
		t.Errorf("30 requests went to %v, in the order %s", seen, order)
	}
	r.Swap(hosting("web", addrs[:2]...))
	if _, body := get(t, client, "http://web.lab/"); body == "c" {
		t.Error("an instance that left the table was used")
	}
}

func TestRefusals(t *testing.T) {
	live, dead := backend(t, "a", nil), nobody(t)
	ss := []app.Status{instances("web", addr(live)), instances("dead", dead), instances("empty")}
	_, client := routing(t, router.Build(ss, "lab", nil))
	cases := []struct {
		name, url string
		header    []string
		code      int
		cause     string
		body      string
	}{
		{"unknown host", "http://nobody.lab/", nil, 404, "unknown_route", `no app is routed to "nobody.lab"`},
		{"known app without instance", "http://empty.lab/", nil, 503, "no_endpoints", `the app behind "empty.lab" has no healthy instance at the moment`},
		{"dead", "http://dead.lab/", nil, 502, "endpoint_failure", "no instance of the app could answer"},
		{"this instance", "http://web.lab/", []string{"X-Cf-App-Instance", "web:0"}, 200, "", "a"},
		{"no such instance", "http://web.lab/", []string{"X-Cf-App-Instance", "web:1"}, 400, "unknown_route", `X-Cf-App-Instance must be APP:INDEX of a healthy instance; there is no "web:1"`},
		{"instance of another app", "http://web.lab/", []string{"X-Cf-App-Instance", "dead:0"}, 400, "unknown_route", ""},
		{"no instance", "http://web.lab/", []string{"X-Cf-App-Instance", "web"}, 400, "unknown_route", ""},
	}
	for _, c := range cases {
		res, body := get(t, client, c.url, c.header...)
		if res.StatusCode != c.code || res.Header.Get("X-Cf-RouterError") != c.cause {
			t.Errorf("%s: got %d %q, want %d %q", c.name, res.StatusCode, res.Header.Get("X-Cf-RouterError"), c.code, c.cause)
		}
		if body = strings.TrimSpace(body); c.body != "" && body != c.body {
			t.Errorf("%s: got %q, want %q", c.name, body, c.body)
		}
		if wait := res.Header.Get("Retry-After"); (wait == "1") != (c.code == 503) {
			t.Errorf("%s: Retry-After is %q", c.name, wait)
		}
	}
}

func TestRefusesTunnelsAndNamelessHosts(t *testing.T) {
	r := router.New(router.Options{})
	for method, target := range map[string]string{"CONNECT": "x.org:443", "GET": "/"} {
		req, w := httptest.NewRequest(method, target, nil), httptest.NewRecorder()
		if method == "GET" {
			req.Host = ""
		}
		r.ServeHTTP(w, req)
		if w.Code != http.StatusBadRequest {
			t.Errorf("%s without host: got %d, want 400", method, w.Code)
		}
	}
}

func TestDeadInstanceIsPassedOver(t *testing.T) {
	a, c, dead := backend(t, "a", nil), backend(t, "c", nil), nobody(t)
	var told atomic.Int32
	r := router.New(router.Options{OnUnreachable: func(b *router.Backend, times int) {
		if told.Add(1); b.Addr != dead || times < 1 {
			t.Errorf("told that %s is unreachable for the %d. time, but it is %s", b.Addr, times, dead)
		}
	}})
	table := hosting("web", addr(a), dead, addr(c))
	r.Swap(table)
	client := front(t, r)
	seen := map[string]int{}
	start := time.Now()
	for range 1000 {
		res, body := get(t, client, "http://web.lab/")
		if res.StatusCode != 200 {
			t.Fatalf("got %d %s", res.StatusCode, body)
		}
		seen[body]++
		r.Swap(table) // must not make it forget
	}
	if d := seen["a"] - seen["c"]; d < -2 || d > 2 {
		t.Errorf("the dead one's share was not spread evenly: %v", seen)
	}
	s := r.Stats()
	took := time.Since(start)
	rests, tells := uint64(took/(500*time.Millisecond))+1, int32(took/(5*time.Second))+1
	if n := told.Load(); s.Retries == 0 || s.Retries > rests || s.Unreachable != s.Retries || s.Ejections != 1 || n == 0 || n > tells {
		t.Errorf("in %v: %d retries, %d unreachable, %d ejections, told %d times; want 1 ejection, a try every half second at the most, and to be told every five", took, s.Retries, s.Unreachable, s.Ejections, n)
	}
	if s.Requests != 1000 || s.Codes != [6]uint64{2: 1000} {
		t.Errorf("%d requests, codes %v", s.Requests, s.Codes)
	}
	if !s.Backends[1].Resting || s.Backends[0].Resting || s.Backends[1].Addr != dead {
		t.Errorf("backends: %+v", s.Backends)
	}
}

func TestAllOutGetAnotherChance(t *testing.T) {
	first, second := nobody(t), nobody(t)
	r, client := routing(t, hosting("web", first, second))
	if res, _ := get(t, client, "http://web.lab/"); res.StatusCode != 502 {
		t.Fatalf("got %d, want 502", res.StatusCode)
	}
	if s := r.Stats(); s.Unreachable != 2 || s.Retries != 1 {
		t.Errorf("tried %d instances with %d retries, want each once", s.Unreachable, s.Retries)
	}
	ln, err := net.Listen("tcp", second)
	if err != nil {
		t.Skipf("the port was taken meanwhile: %v", err)
	}
	back := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "back") })}
	go back.Serve(ln)
	defer back.Close()
	for range 3 {
		if res, body := get(t, client, "http://web.lab/"); res.StatusCode != 200 || body != "back" {
			t.Errorf("got %d %q, want the instance that is back", res.StatusCode, body)
		}
	}
}

func TestInstanceThatAppearsDuringARetryIsUsed(t *testing.T) {
	a := backend(t, "new", nil)
	var r *router.Router
	r = router.New(router.Options{OnUnreachable: func(*router.Backend, int) { r.Swap(hosting("web", addr(a))) }})
	r.Swap(hosting("web", nobody(t)))
	if res, body := get(t, front(t, r), "http://web.lab/"); res.StatusCode != 200 || body != "new" {
		t.Errorf("got %d %q, want the new instance", res.StatusCode, body)
	}
}

func TestDialTimeoutIs504(t *testing.T) {
	_, client := routing(t, hosting("web", deaf(t)))
	start := time.Now()
	res, _ := get(t, client, "http://web.lab/")
	if res.StatusCode != 504 || time.Since(start) > 5*time.Second {
		t.Errorf("got %d after %v, want 504 within seconds", res.StatusCode, time.Since(start))
	}
}

// deaf returns an address at which connections are neither taken nor refused:
// a listener whose queue is full.
func deaf(t *testing.T) string {
	t.Helper()
	fd, err := syscall.Socket(syscall.AF_INET, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { syscall.Close(fd) })
	if err := syscall.Bind(fd, &syscall.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Listen(fd, 0); err != nil {
		t.Fatal(err)
	}
	name, err := syscall.Getsockname(fd)
	if err != nil {
		t.Fatal(err)
	}
	addr := fmt.Sprintf("127.0.0.1:%d", name.(*syscall.SockaddrInet4).Port)
	for range 10 {
		c, err := net.DialTimeout("tcp", addr, 200*time.Millisecond)
		if err != nil {
			return addr
		}
		t.Cleanup(func() { c.Close() })
	}
	t.Skip("this kernel's queue of connections has no end")
	return ""
}

func TestKilledInMidRun(t *testing.T) {
	a, b, c := backend(t, "a", nil), backend(t, "b", nil), backend(t, "c", nil)
	r, client := routing(t, hosting("web", addr(a), addr(b), addr(c)))
	var done atomic.Int32
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 100 {
				res, body := get(t, client, "http://web.lab/")
				if res.StatusCode != 200 {
					t.Errorf("got %d %s", res.StatusCode, body)
				}
				if done.Add(1) == 300 {
					b.Listener.Close()
					b.CloseClientConnections()
				}
			}
		})
	}
	wg.Wait()
	if s := r.Stats(); s.Codes[2] != 800 || s.Retries == 0 {
		t.Errorf("%d good answers with %d retries", s.Codes[2], s.Retries)
	}
	eventually(t, func() bool {
		for _, b := range r.Stats().Backends {
			if b.InFlight != 0 {
				return false
			}
		}
		return true
	})
}

// vanish closes the connection as a process does that dies.
func vanish(w http.ResponseWriter) {
	if c, _, err := http.NewResponseController(w).Hijack(); err == nil {
		c.Close()
	}
}

// echo answers with the body while it reads it.
func echo(w http.ResponseWriter, req *http.Request) {
	rc := http.NewResponseController(w)
	rc.EnableFullDuplex()
	buf := make([]byte, 4096)
	for {
		n, err := req.Body.Read(buf)
		w.Write(buf[:n])
		rc.Flush()
		if err != nil {
			return
		}
	}
}

func TestOnlyWhatIsSafeIsSentAgain(t *testing.T) {
	cases := []struct {
		name, method string
		header       []string
		body         string
		read         bool // the first instance reads the body before it vanishes
		want         int
	}{
		{"GET", "GET", nil, "", false, 200},
		{"PUT without body", "PUT", nil, "", false, 200},
		{"POST without body", "POST", nil, "", false, 502},
		{"POST without body, with a key", "POST", []string{"Idempotency-Key", "1"}, "", false, 200},
		{"POST that was read", "POST", nil, "text", true, 502},
		{"GET with a body that was read", "GET", nil, "text", true, 502},
		{"POST that was not read", "POST", []string{"Expect", "100-continue"}, "text", false, 200},
	}
	for _, c := range cases {
		t.Run(c.name, func(t *testing.T) {
			var hits atomic.Int32
			bad := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
				hits.Add(1)
				if c.read {
					io.ReadAll(req.Body)
				}
				vanish(w)
			})
			good := backend(t, "", echo)
			_, client := routing(t, hosting("web", addr(bad), addr(good)))
			req, err := http.NewRequest(c.method, "http://web.lab/", strings.NewReader(c.body))
			if err != nil {
				t.Fatal(err)
			}
			for i := 0; i < len(c.header); i += 2 {
				req.Header.Set(c.header[i], c.header[i+1])
			}
			res, err := client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			got, _ := io.ReadAll(res.Body)
			if res.StatusCode != c.want || c.want == 200 && string(got) != c.body {
				t.Errorf("got %d %q, want %d", res.StatusCode, got, c.want)
			}
			if hits.Load() != 1 {
				t.Errorf("the first instance had the request %d times", hits.Load())
			}
		})
	}
}

func TestBodyReachesTheSecondInstanceWhenTheFirstIsDead(t *testing.T) {
	good := backend(t, "", echo)
	_, client := routing(t, hosting("web", nobody(t), addr(good)))
	text := strings.Repeat("text ", 100_000)
	res, err := client.Post("http://web.lab/", "text/plain", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if got, err := io.ReadAll(res.Body); err != nil || string(got) != text {
		t.Errorf("got %d bytes, %v; want %d", len(got), err, len(text))
	}
}

func TestConnectionsAreNotInherited(t *testing.T) {
	var mu sync.Mutex
	var from, closed []string
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		from = append(from, req.RemoteAddr)
	}))
	gone := make(chan bool, 10)
	s.Config.ConnState = func(c net.Conn, state http.ConnState) {
		if state == http.StateClosed {
			mu.Lock()
			closed = append(closed, c.RemoteAddr().String())
			mu.Unlock()
			gone <- true
		}
	}
	s.Start()
	defer s.Close()
	now := instances("web", addr(s))
	r, client := routing(t, router.Build([]app.Status{now}, "lab", nil))
	get(t, client, "http://web.lab/")
	get(t, client, "http://web.lab/")

	now.Instances[0].GUID = "another"
	r.Swap(router.Build([]app.Status{now}, "lab", nil))
	<-gone
	get(t, client, "http://web.lab/")
	mu.Lock()
	defer mu.Unlock()
	if from[0] != from[1] || from[2] == from[0] || closed[0] != from[0] {
		t.Errorf("connections used: %v; closed: %v", from, closed)
	}
}

func TestSwapUnderLoad(t *testing.T) {
	a, b, c := backend(t, "a", nil), backend(t, "b", nil), backend(t, "c", nil)
	all := []string{addr(a), addr(b), addr(c)}
	r, client := routing(t, hosting("web", all...))
	stop := make(chan struct{})
	var swaps, load sync.WaitGroup
	for range 2 {
		swaps.Go(func() {
			for i := 0; ; i++ {
				select {
				case <-stop:
					return
				default:
					r.Swap(hosting("web", all[i%3], all[(i+1)%3]))
					r.Stats()
				}
			}
		})
	}
	for range 8 {
		load.Go(func() {
			for range 40 {
				if res, body := get(t, client, "http://web.lab/"); res.StatusCode != 200 {
					t.Errorf("got %d %s", res.StatusCode, body)
				}
			}
		})
	}
	load.Wait()
	close(stop)
	swaps.Wait()
}
