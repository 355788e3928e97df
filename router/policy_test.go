package router_test

import (
	"bufio"
	"cmp"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"lattice/app"
	"lattice/router"
)

// withOptions returns a table as hosting does, whose route has these options.
func withOptions(t testing.TB, options string, addrs ...string) *router.Table {
	t.Helper()
	s := instances("web", addrs...)
	var o app.RouteOptions
	for kv := range strings.SplitSeq(options, "|") {
		key, value, _ := strings.Cut(kv, "=")
		if err := o.Set(key, value); err != nil {
			t.Fatal(err)
		}
	}
	s.App.Image, s.App.Routes = "x", []app.Route{{Host: "web", Options: &o}}
	if err := s.App.WithDefaults().Validate(); err != nil {
		t.Fatal(err)
	}
	return router.Build([]app.Status{s}, "lab", nil)
}

// bothPaths runs a test with our own data path and with the library's.
func bothPaths(t *testing.T, test func(*testing.T)) {
	for name, w := range map[string]way{"loop": byLoop, "library": byLibrary} {
		t.Run(name, func(t *testing.T) {
			tested = w
			defer func() { tested = byLoop }()
			test(t)
		})
	}
}

func TestGuards(t *testing.T) {
	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	bothPaths(t, func(t *testing.T) {
		s := backend(t, "app", nil)
		for _, tt := range []struct {
			options, header, value string
			code                   int
			cause, also            string
		}{
			{"allow=10.0.0.0/8", "", "", 403, "ip_not_allowed", ""},
			{"allow=10.0.0.0/8,127.0.0.1", "", "", 200, "", ""},
			{"redirect-https=true", "", "", 308, "https_only", "https://web.lab/a?b"},
			{"redirect-https=true", "X-Forwarded-Proto", "https", 308, "https_only", "https://web.lab/a?b"}, // by nobody trusted
			{"basic-auth=anna:" + string(hash), "", "", 401, "unauthorized", `Basic realm="web.lab"`},
			{"basic-auth=anna:" + string(hash), "Authorization", "Basic YW5uYTp3cm9uZw==", 401, "unauthorized", ""},
			{"basic-auth=anna:" + string(hash), "Authorization", "Basic Ym9iOnNlY3JldA==", 401, "unauthorized", ""}, // bob:secret
			{"basic-auth=anna:" + string(hash), "Authorization", "Bearer YW5uYTpzZWNyZXQ=", 401, "unauthorized", ""},
			{"basic-auth=anna:" + string(hash), "Authorization", "Basic YW5uYTpzZWNyZXQ=", 200, "", ""},
		} {
			_, client := routing(t, withOptions(t, tt.options, addr(s)))
			for range 2 { // the second time from memory
				res, _ := get(t, client, "http://web.lab/a?b", cmp.Or(tt.header, "X"), tt.value)
				also := res.Header.Get("Location") + res.Header.Get("Www-Authenticate")
				if res.StatusCode != tt.code || res.Header.Get("X-Cf-RouterError") != tt.cause || !strings.HasPrefix(also, tt.also) {
					t.Errorf("%s %s: got %d, %s, %s", tt.options, tt.value, res.StatusCode, res.Header.Get("X-Cf-RouterError"), also)
				}
			}
		}
	})
}

func TestRateLimits(t *testing.T) {
	bothPaths(t, func(t *testing.T) {
		s := backend(t, "app", nil)
		for _, options := range []string{"rate-limit=1/h|rate-burst=2", "client-rate-limit=1/h|client-rate-burst=2"} {
			_, client := routing(t, withOptions(t, options, addr(s)))
			var codes []int
			for range 3 {
				res, _ := get(t, client, "http://web.lab/")
				if codes = append(codes, res.StatusCode); res.StatusCode == 429 && res.Header.Get("Retry-After") == "" {
					t.Error("it is not told when to come again")
				}
			}
			if fmt.Sprint(codes) != "[200 200 429]" {
				t.Errorf("%s: got %v", options, codes)
			}
		}
	})
}

func TestHeaderRules(t *testing.T) {
	bothPaths(t, func(t *testing.T) {
		s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
			w.Header().Set("Server", "app")
			w.Header().Set("X-Kept", "1")
			for _, name := range []string{"X-A", "X-B", "X-C"} {
				fmt.Fprintf(w, "%s=%s;", name, strings.Join(req.Header[name], "+"))
			}
		})
		_, client := routing(t, withOptions(t, "set-request-header=x-a: router|add-request-header=X-B: router|remove-request-header=X-C|"+
			"remove-response-header=server|set-response-header=X-Frame-Options: DENY|add-response-header=X-Kept: 2", addr(s)))
		res, body := get(t, client, "http://web.lab/", "X-A", "me", "X-B", "me", "X-C", "me")
		if body != "X-A=router;X-B=me+router;X-C=;" {
			t.Errorf("the app got %s", body)
		}
		if h := res.Header; h.Get("Server") != "" || h.Get("X-Frame-Options") != "DENY" || fmt.Sprint(h["X-Kept"]) != "[1 2]" {
			t.Errorf("the client got %v", h)
		}
	})
}

func TestStickySessions(t *testing.T) {
	bothPaths(t, func(t *testing.T) {
		a, b, c := backend(t, "a", nil), backend(t, "b", nil), backend(t, "c", nil)
		r, client := routing(t, withOptions(t, "sticky=at", addr(a), addr(b), addr(c)))
		res, first := get(t, client, "http://web.lab/")
		cookies := res.Cookies()
		if len(cookies) != 1 || cookies[0].Name != "at" || !cookies[0].HttpOnly {
			t.Fatalf("got cookies %v", cookies)
		}
		for range 5 {
			res, again := get(t, client, "http://web.lab/", "Cookie", "x=y; at="+cookies[0].Value)
			if again != first || len(res.Cookies()) != 0 {
				t.Errorf("got %s and %v, want %s and no cookie", again, res.Cookies(), first)
			}
		}
		servers := map[string]string{"a": addr(a), "b": addr(b), "c": addr(c)}
		delete(servers, first)
		left := slices.Collect(func(yield func(string) bool) {
			for _, s := range servers {
				yield(s)
			}
		})
		r.Swap(withOptions(t, "sticky=at", left...))
		if res, other := get(t, client, "http://web.lab/", "Cookie", "at="+cookies[0].Value); other == first || len(res.Cookies()) != 1 {
			t.Errorf("its instance is gone: got %s and %v", other, res.Cookies())
		}
	})
}

func TestHashKeepsKeysTogether(t *testing.T) {
	bothPaths(t, func(t *testing.T) {
		a, b, c := backend(t, "a", nil), backend(t, "b", nil), backend(t, "c", nil)
		for _, on := range []string{"header:X-User", "cookie:user"} {
			_, client := routing(t, withOptions(t, "balance=hash|hash-on="+on, addr(a), addr(b), addr(c)))
			used := map[string]bool{}
			for k := range 30 {
				user := fmt.Sprint("u", k)
				_, first := get(t, client, "http://web.lab/", "X-User", user, "Cookie", "user="+user)
				_, again := get(t, client, "http://web.lab/", "X-User", user, "Cookie", "user="+user)
				if used[first] = true; first != again {
					t.Errorf("%s: %s is led to %s and %s", on, user, first, again)
				}
			}
			if len(used) != 3 {
				t.Errorf("%s: 30 users are at %v only", on, used)
			}
		}
	})
}

// holding starts an instance that answers when finish is closed, and counts
// who waits.
func holding(t *testing.T, finish <-chan struct{}) (string, *atomic.Int32) {
	var n atomic.Int32
	s := backend(t, "", func(w http.ResponseWriter, _ *http.Request) {
		n.Add(1)
		w.WriteHeader(200)
		http.NewResponseController(w).Flush() // the head is out, the request is not over
		<-finish
	})
	return addr(s), &n
}

func TestLeastConnectionsCountsToTheEnd(t *testing.T) {
	bothPaths(t, func(t *testing.T) {
		finish := make(chan struct{})
		slow, held := holding(t, finish)
		quick := backend(t, "quick", nil)
		_, client := routing(t, withOptions(t, "balance=least-connections", slow, addr(quick)))
		var open []io.Closer
		for held.Load() == 0 {
			res, err := client.Get("http://web.lab/")
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, res.Body)
			if held.Load() == 0 {
				io.Copy(io.Discard, res.Body)
				res.Body.Close()
			}
		}
		for range 10 {
			if _, body := get(t, client, "http://web.lab/"); body != "quick" {
				t.Errorf("got %q, want the instance that has nothing to do", body)
			}
		}
		close(finish)
		for _, c := range open {
			c.Close()
		}
	})
}

func TestMaxConnections(t *testing.T) {
	bothPaths(t, func(t *testing.T) {
		finish := make(chan struct{})
		slow, held := holding(t, finish)
		r, client := routing(t, withOptions(t, "max-connections=2", slow))
		var wait sync.WaitGroup
		for range 2 {
			wait.Go(func() { get(t, client, "http://web.lab/") })
		}
		eventually(t, func() bool { return held.Load() == 2 })
		res, _ := get(t, client, "http://web.lab/")
		if res.StatusCode != 503 || res.Header.Get("X-Cf-RouterError") != "connection_limit_reached" {
			t.Errorf("got %d, %v", res.StatusCode, res.Header)
		}
		close(finish)
		wait.Wait()
		eventually(t, func() bool { return r.Stats().Backends[0].InFlight == 0 })
		if res, _ := get(t, client, "http://web.lab/"); res.StatusCode != 200 {
			t.Errorf("there is room again: got %d", res.StatusCode)
		}
	})
}

func TestTimeouts(t *testing.T) {
	bothPaths(t, func(t *testing.T) {
		s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
			if req.URL.Path == "/head" {
				<-req.Context().Done()
				return
			}
			for {
				if _, err := io.WriteString(w, "some"); err != nil || http.NewResponseController(w).Flush() != nil {
					return
				}
				wait := 100 * time.Millisecond
				if req.URL.Path == "/still" {
					wait = time.Hour
				}
				select {
				case <-req.Context().Done():
					return
				case <-time.After(wait):
				}
			}
		})
		for _, tt := range []struct {
			options, path string
			code          int
		}{
			{"header-timeout=1s", "/head", 504},
			{"total-timeout=1s", "/head", 504},
			{"total-timeout=1s", "/moving", 200},
			{"idle-timeout=1s", "/still", 200},
		} {
			_, client := routing(t, withOptions(t, tt.options, addr(s)))
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://web.lab"+tt.path, nil)
			res, err := client.Do(req)
			if err != nil {
				t.Errorf("%s %s: %v", tt.options, tt.path, err)
				continue
			}
			_, err = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode != tt.code || (err != nil) != (tt.code == 200) || ctx.Err() != nil {
				t.Errorf("%s %s: got %d and %v", tt.options, tt.path, res.StatusCode, err)
			}
		}
	})
}

func TestRetriesAreLimited(t *testing.T) {
	bothPaths(t, func(t *testing.T) {
		s := backend(t, "app", nil)
		for options, want := range map[string]int{"retries=0": 502, "retries=1": 502, "retries=2": 200} {
			r, client := routing(t, withOptions(t, options, nobody(t), nobody(t), addr(s)))
			if res, _ := get(t, client, "http://web.lab/"); res.StatusCode != want {
				t.Errorf("%s: got %d, want %d", options, res.StatusCode, want)
			}
			if st := r.Stats(); options == "retries=2" && (st.Ejections != 2 || st.Retries != 2) {
				t.Errorf("%d ejections and %d retries are counted, want 2 and 2", st.Ejections, st.Retries)
			}
		}
	})
}

func TestTrustedProxies(t *testing.T) {
	bothPaths(t, func(t *testing.T) {
		s, got := seen(t)
		r := router.New(router.Options{Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
		r.Swap(withOptions(t, "redirect-https=true", addr(s)))
		client := front(t, r)
		get(t, client, "http://web.lab/", "X-Forwarded-For", "1.2.3.4", "X-Forwarded-For", "5.6.7.8", "X-Forwarded-Proto", "https",
			"X-Forwarded-Host", "www.example.com", "Forwarded", "for=1.2.3.4")
		req := <-got
		for name, want := range map[string]string{
			"X-Forwarded-For": "1.2.3.4, 5.6.7.8, 127.0.0.1", "X-Forwarded-Proto": "https", "X-Forwarded-Host": "www.example.com",
			"Forwarded": `for=1.2.3.4, for=127.0.0.1;host="web.lab";proto=http`,
		} {
			if g := strings.Join(req.Header[name], "|"); g != want {
				t.Errorf("%s: got %q, want %q", name, g, want)
			}
		}
	})
}

// TestCountsOutliveATable checks that a change elsewhere doesn't begin a limit anew.
func TestCountsOutliveATable(t *testing.T) {
	s := backend(t, "app", nil)
	b := router.NewBuilder("lab", nil)
	web := instances("web", addr(s))
	web.App.Routes = []app.Route{{Host: "web", Options: &app.RouteOptions{RateLimit: "1/h"}}}
	b.Set(&web)
	r, client := routing(t, b.Table())
	get(t, client, "http://web.lab/")
	for name, change := range map[string]func(){
		"another app": func() { other := instances("other", addr(s)); b.Set(&other) },
		"another instance": func() {
			web = instances("web", addr(s), nobody(t))
			web.App.Routes = []app.Route{{Host: "web", Options: &app.RouteOptions{RateLimit: "1/h"}}}
			b.Set(&web)
		},
	} {
		change()
		r.Swap(b.Table())
		if res, _ := get(t, client, "http://web.lab/"); res.StatusCode != 429 {
			t.Errorf("%s: got %d, want 429 still", name, res.StatusCode)
		}
	}
	web.App.Routes = []app.Route{{Host: "web", Options: &app.RouteOptions{RateLimit: "2/h"}}}
	b.Set(&web)
	r.Swap(b.Table())
	if res, _ := get(t, client, "http://web.lab/"); res.StatusCode != 200 {
		t.Errorf("other options: got %d, want 200", res.StatusCode)
	}
}

// Pages of a route go before those of the router, for browsers only, and hold
// for that route only.
func TestErrorPagesOfARoute(t *testing.T) {
	bothPaths(t, func(t *testing.T) {
		folder := t.TempDir()
		if err := os.WriteFile(filepath.Join(folder, "error.html"), []byte("router's {status}"), 0o644); err != nil {
			t.Fatal(err)
		}
		pages, err := router.ReadPages(folder)
		if err != nil {
			t.Fatal(err)
		}
		r := router.New(router.Options{Pages: pages})
		client := front(t, r)
		for _, tt := range []struct{ options, host, accept, want string }{
			{"error-page=503:<b>{cause}</b>", "web.lab", "text/html", "<b>no_endpoints</b>"},
			{"error-page=5xx:<i>{status}</i>", "web.lab", "text/html", "<i>503 Service Unavailable</i>"},
			{"error-page=404:none", "web.lab", "text/html", "router's 503 Service Unavailable"},
			{"error-page=503:x", "web.lab", "application/json", "the app behind"},
			{"error-page=404:x", "other.lab", "text/html", "router's 404 Not Found"},
			{"allow=10.0.0.0/8|error-page=error:out", "web.lab", "text/html", "out"},
		} {
			addrs := []string{}
			if strings.HasPrefix(tt.options, "allow") {
				addrs = append(addrs, nobody(t))
			}
			r.Swap(withOptions(t, tt.options, addrs...))
			res, body := get(t, client, "http://"+tt.host+"/", "Accept", tt.accept)
			if res.StatusCode < 400 || !strings.HasPrefix(body, tt.want) {
				t.Errorf("%s, %s at %s: got %d %q, want %q", tt.options, tt.accept, tt.host, res.StatusCode, body, tt.want)
			}
		}
	})
}

// That an instance was late with one answer says nothing of the client's next
// requests: their connections are used again.
func TestLateOnce(t *testing.T) {
	var made, asked atomic.Int32
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, req *http.Request) {
		if asked.Add(1) == 1 {
			<-req.Context().Done()
		}
	}))
	s.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			made.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	ln, _ := rawFront(t, withOptions(t, "header-timeout=1s", addr(s)))
	c := dial(t, ln)
	in := bufio.NewReader(c)
	for i, want := range []int{504, 200, 200, 200} {
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: web.lab\r\n\r\n")
		res, err := http.ReadResponse(in, nil)
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		if res.StatusCode != want {
			t.Errorf("answer %d: %d, want %d", i, res.StatusCode, want)
		}
	}
	if n := made.Load(); n != 2 {
		t.Errorf("%d connections were made, want 2", n)
	}
}
