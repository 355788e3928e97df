package router_test

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/http/httptrace"
	"net/http/httputil"
	"net/textproto"
	"net/url"
	"runtime"
	"slices"
	"strings"
	"testing"
	"time"

	"lattice/router"
)

// seen starts an instance that keeps the request it gets.
func seen(t *testing.T) (*httptest.Server, <-chan *http.Request) {
	got := make(chan *http.Request, 1)
	return backend(t, "", func(_ http.ResponseWriter, req *http.Request) { got <- req }), got
}

func TestHeadersToTheApp(t *testing.T) {
	s, got := seen(t)
	_, client := routing(t, hosting("web", addr(s)))
	before := time.Now().UnixMilli()
	get(t, client, "http://web.lab/",
		"X-Forwarded-For", "1.2.3.4", "X-Forwarded-For", "5.6.7.8", "X-Forwarded-Host", "liar", "X-Forwarded-Proto", "liar",
		"X-Cf-ApplicationId", "liar", "Connection", "X-Hop, X-Cf-InstanceId", "X-Hop", "1", "Te", "trailers", "Keep-Alive", "1", "X-Own", "kept",
		"User-Agent", "")
	req := <-got
	want := map[string]string{
		"X-Forwarded-For": "127.0.0.1", "Forwarded": `for=127.0.0.1;host="web.lab";proto=http`, "X-Forwarded-Host": "web.lab", "X-Forwarded-Proto": "http",
		"X-Cf-Applicationid": "web", "X-Cf-Instanceid": "guid-" + addr(s), "X-Cf-Instanceindex": "0",
		"X-Own": "kept", "X-Hop": "", "Keep-Alive": "", "Te": "trailers", "User-Agent": "", "Accept-Encoding": "",
	}
	for k, v := range want {
		if g := strings.Join(req.Header[k], "|"); g != v {
			t.Errorf("%s: got %q, want %q", k, g, v)
		}
	}
	if req.Host != "web.lab" {
		t.Errorf("Host: got %q, want it unchanged", req.Host)
	}
	if id := req.Header.Get("X-Request-Id"); len(id) != 32 {
		t.Errorf("X-Request-Id: got %q, want a fresh one", id)
	}
	var at int64
	if _, err := fmt.Sscan(req.Header.Get("X-Request-Start"), &at); err != nil || at < before || at > time.Now().UnixMilli() {
		t.Errorf("X-Request-Start: got %q", req.Header.Get("X-Request-Start"))
	}

	get(t, client, "http://web.lab/", "X-Request-Id", "mine", "X-Request-Start", "1")
	if req = <-got; req.Header.Get("X-Request-Id") != "mine" || req.Header.Get("X-Request-Start") != "1" {
		t.Errorf("a request's own id and start were replaced: %v", req.Header)
	}
}

func TestRequestLineIsPassedOnAsItIs(t *testing.T) {
	s, got := seen(t)
	ln, _ := rawFront(t, hosting("web", addr(s)))
	for _, target := range []string{"/", "/a%2Fb/c|d?x=1;y=%zz&&", "/?", "//double//slash?q", "/a/../b", "/%41", "/\xc3\xa4\"<>"} {
		c := dial(t, ln)
		fmt.Fprintf(c, "GET %s HTTP/1.1\r\nHost: WEB.lab:80\r\nConnection: close\r\n\r\n", target)
		if _, err := io.ReadAll(c); err != nil {
			t.Fatal(err)
		}
		if req := <-got; req.RequestURI != target || req.Host != "WEB.lab:80" {
			t.Errorf("the app got %q of %q, want %q", req.RequestURI, req.Host, target)
		}
	}
}

// rawFront serves a router with the table and returns its address.
func rawFront(t *testing.T, table *router.Table) (string, *router.Router) {
	t.Helper()
	return rawFrontBy(t, tested, table)
}

func rawFrontBy(t *testing.T, w way, table *router.Table) (string, *router.Router) {
	t.Helper()
	r := router.New(router.Options{})
	r.Swap(table)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serveBy(ctx, w, r, ln, 5*time.Second) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return ln.Addr().String(), r
}

// dial connects to addr; a test that waits for ten seconds fails.
func dial(t *testing.T, addr string) net.Conn {
	t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	return c
}

func TestAnswersArePassedOnAsTheyAre(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Location", "/elsewhere")
		w.Header()["Set-Cookie"] = []string{"a=1", "b=2"}
		w.Header().Set("Proxy-Authenticate", "hop")
		w.WriteHeader(http.StatusFound)
		io.WriteString(w, req.Method)
	})
	_, client := routing(t, hosting("web", addr(s)))
	res, body := get(t, client, "http://web.lab/", "Accept-Encoding", "identity")
	if res.StatusCode != 302 || body != "GET" || res.Header.Get("Location") != "/elsewhere" || res.Header.Get("Content-Encoding") != "" {
		t.Errorf("got %d %q %v", res.StatusCode, body, res.Header)
	}
	if got := res.Header["Set-Cookie"]; !slices.Equal(got, []string{"a=1", "b=2"}) || res.Header.Get("Proxy-Authenticate") != "" {
		t.Errorf("headers: %v", res.Header)
	}
	head, err := client.Head("http://web.lab/")
	if err != nil || head.StatusCode != 302 {
		t.Errorf("HEAD: %v %v", head, err)
	}
}

func TestUpgrade(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		c, rw, err := http.NewResponseController(w).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		fmt.Fprintf(rw, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: %s\r\nX-Key: %s\r\n\r\n", req.Header.Get("Upgrade"), req.Header.Get("Sec-Websocket-Key"))
		rw.Flush()
		io.Copy(c, rw) // until the client has said all
	})
	ln, r := rawFront(t, hosting("web", addr(s)))
	c := dial(t, ln)
	io.WriteString(c, "GET /ws HTTP/1.1\r\nHost: web.lab\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: k\r\n\r\nearly")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 101 || res.Header.Get("Upgrade") != "websocket" || res.Header.Get("X-Key") != "k" {
		t.Fatalf("got %v, %v", res, err)
	}
	for _, message := range []string{"early", "one", strings.Repeat("long", 100_000)} {
		if message != "early" {
			go io.WriteString(c, message)
		}
		got := make([]byte, len(message))
		if _, err := io.ReadFull(br, got); err != nil || string(got) != message {
			t.Fatalf("echo of %d bytes: got %d, %v", len(message), len(got), err)
		}
	}
	if n := r.Stats().Backends[0].InFlight; n != 1 {
		t.Errorf("%d in flight while the tunnel is open, want 1", n)
	}
	c.(*net.TCPConn).CloseWrite()
	if rest, err := io.ReadAll(br); err != nil || len(rest) != 0 {
		t.Errorf("after the end: got %q, %v", rest, err)
	}
}

func TestStreamsAreNotHeldBack(t *testing.T) {
	for name, header := range map[string][2]string{
		"server-sent events": {"Content-Type", "text/event-stream"},
		"unknown length":     {"X", "x"},
		"known length":       {"Content-Length", "15"},
	} {
		t.Run(name, func(t *testing.T) {
			next := make(chan bool)
			s := backend(t, "", func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set(header[0], header[1])
				for i := range 3 {
					http.NewResponseController(w).Flush()
					<-next // the client must have what came before
					fmt.Fprintf(w, "id:%d\n", i)
				}
			})
			_, client := routing(t, hosting("web", addr(s)))
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
			defer cancel()
			req, _ := http.NewRequestWithContext(ctx, "GET", "http://web.lab/", nil)
			res, err := client.Do(req) // returns with the header alone
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			br := bufio.NewReader(res.Body)
			for i := range 3 {
				start := time.Now()
				next <- true
				line, err := br.ReadString('\n')
				if want := fmt.Sprintf("id:%d\n", i); line != want || err != nil {
					t.Fatalf("got %q, %v; want %q", line, err, want)
				}
				if took := time.Since(start); took > time.Second {
					t.Errorf("event %d took %v", i, took)
				}
			}
		})
	}
}

func TestCancelReachesTheApp(t *testing.T) {
	started, ended := make(chan bool, 1), make(chan bool, 1)
	s := backend(t, "", func(_ http.ResponseWriter, req *http.Request) {
		started <- true
		<-req.Context().Done()
		ended <- true
	})
	r, client := routing(t, hosting("web", addr(s)))
	ctx, cancel := context.WithCancel(t.Context())
	go func() { <-started; cancel() }()
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://web.lab/", nil)
	if _, err := client.Do(req); err == nil {
		t.Fatal("got an answer")
	}
	select {
	case <-ended:
	case <-time.After(10 * time.Second):
		t.Fatal("the app was not told that its client went away")
	}
	eventually(t, func() bool { return r.Stats().ClientGone == 1 && r.Stats().Backends[0].InFlight == 0 })
	if s := r.Stats(); s.Retries != 0 || s.Unreachable != 0 {
		t.Errorf("a client that went away was taken for a fault: %+v", s)
	}
}

// eventually waits until ok is true.
func eventually(t *testing.T, ok func() bool) {
	t.Helper()
	for range 1000 {
		if ok() {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	t.Fatal("did not come true within ten seconds")
}

func TestBrokenAnswerBreaksForTheClientToo(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, _ *http.Request) {
		io.WriteString(w, "part")
		http.NewResponseController(w).Flush()
		vanish(w)
	})
	r, client := routing(t, hosting("web", addr(s)))
	res, err := client.Get("http://web.lab/")
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, err := io.ReadAll(res.Body); err == nil {
		t.Errorf("got %q as if it were whole", body)
	}
	eventually(t, func() bool { return r.Stats().Aborted == 1 })
}

// zeros is a body of n bytes.
func zeros(n int64) io.Reader { return io.LimitReader(zero{}, n) }

type zero struct{}

func (zero) Read(p []byte) (int, error) { clear(p); return len(p), nil }

func TestLargeBodiesAreStreamed(t *testing.T) {
	const size, room = 96 << 20, 24 << 20
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		n, err := io.Copy(io.Discard, req.Body)
		if n != size || err != nil {
			t.Errorf("the app got %d bytes, %v", n, err)
		}
		io.Copy(w, zeros(size))
	})
	_, client := routing(t, hosting("web", addr(s)))
	before := heap()
	res, err := client.Post("http://web.lab/", "application/octet-stream", zeros(size))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var most uint64
	var got int64
	buf := make([]byte, 1<<20)
	for err == nil {
		var n int
		n, err = res.Body.Read(buf)
		if got>>24 != (got+int64(n))>>24 {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			most = max(most, m.HeapAlloc)
		}
		got += int64(n)
	}
	if err != io.EOF || got != size {
		t.Errorf("got %d bytes, %v", got, err)
	}
	if most > before+room {
		t.Errorf("%d MiB of heap while %d MiB went through", (most-before)>>20, size>>20)
	}
}

func TestBothDirectionsAtOnce(t *testing.T) {
	s := backend(t, "", echo)
	_, client := routing(t, hosting("web", addr(s)))
	in, out := io.Pipe()
	sent := make(chan bool)
	go func() {
		for i := range 3 {
			fmt.Fprintf(out, "line %d\n", i)
			<-sent // the answer to this line is here
		}
		out.Close()
	}()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	context.AfterFunc(ctx, func() { in.CloseWithError(ctx.Err()) }) // else Do waits for it for ever
	req, _ := http.NewRequestWithContext(ctx, "POST", "http://web.lab/", in)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	br := bufio.NewReader(res.Body)
	for i := range 3 {
		line, err := br.ReadString('\n')
		if want := fmt.Sprintf("line %d\n", i); line != want || err != nil {
			t.Fatalf("got %q, %v; want %q", line, err, want)
		}
		sent <- true
	}
	if rest, err := io.ReadAll(br); len(rest) != 0 || err != nil {
		t.Errorf("after the end: %q, %v", rest, err)
	}
}

// TestEarlyAnswer is an app that refuses an upload without reading it.
func TestEarlyAnswer(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Connection", "close")
		w.WriteHeader(http.StatusRequestEntityTooLarge)
	})
	ln, r := rawFront(t, hosting("web", addr(s)))
	c := dial(t, ln)
	io.WriteString(c, "POST / HTTP/1.1\r\nHost: web.lab\r\nContent-Length: 1000000000\r\n\r\nonly the beginning")
	if res, err := http.ReadResponse(bufio.NewReader(c), nil); err != nil || res.StatusCode != 413 {
		t.Errorf("got %v, %v; want 413", res, err)
	}
	eventually(t, func() bool { return r.Stats().Backends[0].InFlight == 0 })
}

func TestTrailers(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Trailer", "X-Announced")
		io.Copy(w, req.Body)
		w.Header().Set("X-Announced", "a")
		w.Header().Set(http.TrailerPrefix+"X-Sudden", req.Trailer.Get("X-Sum"))
	})
	_, client := routing(t, hosting("web", addr(s)))
	req, _ := http.NewRequest("POST", "http://web.lab/", io.MultiReader(strings.NewReader("body")))
	req.Trailer = http.Header{"X-Sum": {"42"}}
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if body, _ := io.ReadAll(res.Body); string(body) != "body" {
		t.Errorf("got %q", body)
	}
	if res.Trailer.Get("X-Announced") != "a" || res.Trailer.Get("X-Sudden") != "42" {
		t.Errorf("trailers: %v", res.Trailer)
	}
}

func TestEarlyHints(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Link", "</style.css>")
		w.WriteHeader(http.StatusEarlyHints)
		io.WriteString(w, "page")
	})
	_, client := routing(t, hosting("web", addr(s)))
	hint := 0
	ctx := httptrace.WithClientTrace(t.Context(), &httptrace.ClientTrace{
		Got1xxResponse: func(code int, _ textproto.MIMEHeader) error { hint = code; return nil },
	})
	req, _ := http.NewRequestWithContext(ctx, "GET", "http://web.lab/", nil)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if hint != 103 || res.StatusCode != 200 {
		t.Errorf("got %d and %d, want 103 and 200", hint, res.StatusCode)
	}
}

// BenchmarkProxy compares the router with a bare ReverseProxy that has as good
// a transport. Client and instance run in the same process and are counted too.
func BenchmarkProxy(b *testing.B) {
	s := backend(b, "hello", nil)
	b.Run("router", func(b *testing.B) {
		_, client := routing(b, hosting("web", addr(s)))
		load(b, client, "http://web.lab/")
	})
	b.Run("ReverseProxy", func(b *testing.B) {
		tr := &http.Transport{MaxIdleConnsPerHost: 1024, DisableCompression: true}
		defer tr.CloseIdleConnections()
		target := &url.URL{Scheme: "http", Host: addr(s)}
		bare := httptest.NewServer(&httputil.ReverseProxy{Transport: tr, Rewrite: func(p *httputil.ProxyRequest) { p.SetURL(target) }})
		defer bare.Close()
		load(b, bare.Client(), bare.URL)
	})
}

func load(b *testing.B, client *http.Client, url string) {
	client.Transport.(*http.Transport).MaxIdleConnsPerHost = 100
	b.SetParallelism(16)
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		for pb.Next() {
			get(b, client, url)
		}
	})
}
