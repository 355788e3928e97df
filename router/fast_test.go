package router_test

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"runtime"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// say sends text on a new connection and returns all that comes back.
func say(t *testing.T, addr, text string) string {
	t.Helper()
	c := dial(t, addr)
	io.WriteString(c, text)
	got, err := io.ReadAll(c)
	if err != nil {
		t.Errorf("%.60q: %v", text, err)
	}
	return string(got)
}

func TestSmugglingIsRefused(t *testing.T) {
	var reached atomic.Int32
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		if strings.HasPrefix(req.URL.Path, "/hidden") {
			reached.Add(1)
		}
	})
	ln, _ := rawFront(t, hosting("web", addr(s)))
	const hidden = "GET /hidden HTTP/1.1\r\nHost: web.lab\r\n\r\n"
	for name, text := range map[string]string{
		"both lengths":       "POST / HTTP/1.1\r\nHost: web.lab\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"two lengths":        "POST / HTTP/1.1\r\nHost: web.lab\r\nContent-Length: 0\r\nContent-Length: 40\r\n\r\n" + hidden,
		"obscured chunked":   "POST / HTTP/1.1\r\nHost: web.lab\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n" + hidden,
		"folded":             "POST / HTTP/1.1\r\nHost: web.lab\r\nX: y\r\n Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n" + hidden,
		"bare LF":            "GET / HTTP/1.1\nHost: web.lab\n\n" + hidden,
		"bare CR":            "GET / HTTP/1.1\r\nHost: web.lab\r\nX: a\rY: b\r\n\r\n" + hidden,
		"NUL":                "GET / HTTP/1.1\r\nHost: web.lab\r\nX: a\x00\r\n\r\n" + hidden,
		"two hosts":          "GET / HTTP/1.1\r\nHost: web.lab\r\nHost: other.lab\r\n\r\n" + hidden,
		"bad chunk":          "POST / HTTP/1.1\r\nHost: web.lab\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab0\r\n\r\n" + hidden,
		"chunk ends with LF": "POST / HTTP/1.1\r\nHost: web.lab\r\nTransfer-Encoding: chunked\r\n\r\n0\n\n" + hidden,
		"chunk in the dark":  "POST / HTTP/1.1\r\nHost: web.lab\r\nTransfer-Encoding: chunked\r\n\r\n3;\n\r\nabc\r\n0\r\n\r\n" + hidden,
		"length in trailer":  "POST / HTTP/1.1\r\nHost: web.lab\r\nTransfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 9\r\n\r\n" + hidden,
		"bad escape":         "GET /%zz HTTP/1.1\r\nHost: web.lab\r\nContent-Length: 50\r\n\r\n" + hidden,
		"odd target":         "GET web.lab HTTP/1.1\r\nHost: web.lab\r\nContent-Length: 50\r\n\r\n" + hidden,
	} {
		got := say(t, ln, text)
		if !strings.HasPrefix(got, "HTTP/1.1 400 ") || !strings.Contains(got, "X-Cf-Routererror: bad_request") || strings.Count(got, "HTTP/1.1 ") != 1 {
			t.Errorf("%s: got %q, want one 400", name, got)
		}
	}
	for code, text := range map[string]string{
		"501": "POST / HTTP/1.1\r\nHost: web.lab\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n" + hidden,
		"505": "GET / HTTP/3.0\r\nHost: web.lab\r\n\r\n" + hidden,
		"417": "POST / HTTP/1.1\r\nHost: web.lab\r\nExpect: tea\r\nContent-Length: 50\r\n\r\n" + hidden,
	} {
		if got := say(t, ln, text); !strings.HasPrefix(got, "HTTP/1.1 "+code) {
			t.Errorf("got %q, want %s", got, code)
		}
	}
	if n := reached.Load(); n != 0 {
		t.Errorf("%d hidden requests reached the app", n)
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		fmt.Fprintf(w, "<%s %s>", req.URL.Path, body)
	})
	ln, _ := rawFront(t, hosting("web", addr(s)))
	got := say(t, ln, "GET /0 HTTP/1.1\r\nHost: web.lab\r\nExpect: 100-continue\r\n\r\n"+ // without a body there is nothing to wait for
		"GET /1 HTTP/1.1\r\nHost: web.lab\r\n\r\n"+
		"POST /2 HTTP/1.1\r\nHost: web.lab\r\nContent-Length: 3\r\n\r\nabc"+
		"POST /3 HTTP/1.1\r\nHost: web.lab\r\nTransfer-Encoding: chunked\r\n\r\n2;x=y\r\nde\r\n0\r\nX: y\r\n\r\n"+
		"GET /4 HTTP/1.1\r\nHost: web.lab\r\nConnection: close\r\n\r\n")
	pos := 0
	for _, want := range []string{"</0 >", "</1 >", "</2 abc>", "</3 de>", "</4 >"} {
		i := strings.Index(got[pos:], want)
		if i < 0 {
			t.Fatalf("%s is missing or out of order: %q", want, got)
		}
		pos += i
	}
}

func TestOldClients(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		io.WriteString(w, "part")
		if req.URL.Path == "/long" {
			http.NewResponseController(w).Flush() // from here on in chunks
		}
		io.WriteString(w, "rest")
	})
	ln, _ := rawFront(t, hosting("web", addr(s)))
	for request, want := range map[string]string{
		"GET /long HTTP/1.0\r\nHost: web.lab\r\n\r\n":                                                              "Connection: close\r\n\r\npartrest",
		"GET / HTTP/1.0\r\nHost: web.lab\r\n\r\n":                                                                  "Connection: close\r\n\r\npartrest",
		"GET http://web.lab/long HTTP/1.0\r\nConnection: keep-alive\r\n\r\n":                                       "Connection: close\r\n\r\npartrest",
		"GET / HTTP/1.0\r\nHost: web.lab\r\nConnection: keep-alive\r\n\r\nGET / HTTP/1.0\r\nHost: web.lab\r\n\r\n": "Connection: keep-alive\r\n\r\npartrestHTTP/1.1 200 OK\r\n",
		"HEAD / HTTP/1.1\r\nHost: web.lab\r\nConnection: close\r\n\r\n":                                            "Connection: close\r\n\r\n",
		"GET HTTP://web.lab?x HTTP/1.1\r\nHost: other\r\nConnection: close\r\n\r\n":                                "partrest",
	} {
		if got := say(t, ln, request); !strings.Contains(got, want) || !strings.Contains(got, "200 OK") {
			t.Errorf("%q: got %q", request, got)
		}
	}
}

// canned starts an instance that answers every connection's first request with text.
func canned(t *testing.T, text string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			br := bufio.NewReader(c)
			if _, err := http.ReadRequest(br); err == nil {
				io.WriteString(c, text)
			}
			c.(*net.TCPConn).CloseWrite()
			io.Copy(io.Discard, br)
			c.Close()
		}
	}()
	return ln.Addr().String()
}

func TestOddAnswers(t *testing.T) {
	for text, want := range map[string]string{ // status and body as an HTTP/1.1 client gets them; "!" for a body that breaks off
		"HTTP/1.0 200 OK\r\n\r\nuntil the end":                                                           "200 until the end",
		"HTTP/1.1 200\nContent-Length: 2\n\nab":                                                          "200 ab",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nabHTTP/1.1 200 OK\r\n\r\n":                          "200 ab",
		"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nab":                                                 "200 ab!",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n":                               "200 ab!",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nabc\r\n0\r\n\r\n":                     "200 ab!",
		"HTTP/1.1 200 OK\r\nContent-Length: 9\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nab\r\n0\r\n\r\n": "200 ab",
		"HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n":                                           "204 ",
		"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx":                     "200 x",
		"HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\n\r\n":                                         "502 ",
		"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nabc":                           "502 ",
		"HTTP/1.1 200 OK\r\nX: a\r\n b\r\n\r\n":                                                          "502 ",
		"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\n":                                             "502 ",
		"HTTP/1.1 20x OK\r\n\r\n":                                                                        "502 ",
		"SSH-2.0-OpenSSH\r\n":                                                                            "502 ",
		"":                                                                                               "502 ",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 2<<20):                                            "502 ",
		"HTTP/1.1 200 OK\r\nX: " + strings.Repeat("x", 100<<10) + "\r\nContent-Length: 1\r\n\r\nx":       "200 x",
	} {
		_, client := routing(t, hosting("web", canned(t, text)))
		res, err := client.Get("http://web.lab/")
		if err != nil {
			t.Errorf("%.60q: %v", text, err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		res.Body.Close()
		got := fmt.Sprintf("%d %s", res.StatusCode, body)
		if res.StatusCode == 502 {
			got = "502 "
		}
		if err != nil {
			got += "!"
		}
		if got != want {
			t.Errorf("%.60q: got %.60q, want %q", text, got, want)
		}
		if res.Header.Get("Date") == "" {
			t.Errorf("%.60q: no Date", text)
		}
	}
}

// TestStaleConnections is an instance that closes connections while they are
// idle: no request may fail for it, whatever its method.
func TestStaleConnections(t *testing.T) {
	s := backend(t, "", echo)
	_, client := routing(t, hosting("web", addr(s)))
	for i := range 20 {
		s.CloseClientConnections()
		method, body := "GET", ""
		if i%2 == 1 {
			method, body = "POST", "text"
		}
		req, _ := http.NewRequest(method, "http://web.lab/", strings.NewReader(body))
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 200 || string(got) != body {
			t.Errorf("%s: got %d %q", method, res.StatusCode, got)
		}
	}
}

func TestHTTP2WithoutTLS(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) { fmt.Fprint(w, req.Header.Get("X-Forwarded-Host")) })
	ln, _ := rawFront(t, hosting("web", addr(s)))
	tr := &http.Transport{DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
		return (&net.Dialer{}).DialContext(ctx, network, ln)
	}, Protocols: new(http.Protocols)}
	tr.Protocols.SetUnencryptedHTTP2(true)
	defer tr.CloseIdleConnections()
	res, body := get(t, &http.Client{Transport: tr}, "http://web.lab/")
	if res.ProtoMajor != 2 || res.StatusCode != 200 || body != "web.lab" {
		t.Errorf("got %s %d %q", res.Proto, res.StatusCode, body)
	}
}

// TestSlowHeads is a client that never finishes its header.
func TestSlowHeads(t *testing.T) {
	if testing.Short() {
		t.Skip("takes the ten seconds that a header may take")
	}
	ln, _ := rawFront(t, hosting("web"))
	c, err := net.Dial("tcp", ln)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	go func() {
		text := "GET / HTTP/1.1\r\nHost: web.lab\r\nX: "
		for {
			if _, err := io.WriteString(c, text); err != nil {
				return
			}
			text = "x"
			time.Sleep(100 * time.Millisecond)
		}
	}()
	start := time.Now()
	c.SetReadDeadline(start.Add(20 * time.Second))
	if n, err := c.Read(make([]byte, 1)); n != 0 || os.IsTimeout(err) {
		t.Errorf("the connection was not closed: %v", err)
	}
	if took := time.Since(start); took < 9*time.Second || took > 13*time.Second {
		t.Errorf("closed after %v", took)
	}
}

// TestNothingIsAllocated is about the common request: a small answer over
// connections that are there.
func TestNothingIsAllocated(t *testing.T) {
	instance := quick(t)
	ln, _ := rawFront(t, hosting("web", instance))
	c := dial(t, ln)
	request := []byte("GET /a HTTP/1.1\r\nHost: web.lab\r\nUser-Agent: test\r\nAccept: */*\r\n\r\n")
	in := make([]byte, 4096)
	n := testing.AllocsPerRun(2000, func() {
		c.Write(request)
		if n, err := c.Read(in); err != nil || !bytes.HasSuffix(in[:n], []byte("hello")) {
			t.Fatalf("got %q, %v", in[:n], err)
		}
	})
	if n > 0 && !raced {
		t.Errorf("%v allocations a request", n)
	}
}

// quick starts an instance that allocates nothing.
func quick(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				in := make([]byte, 4096)
				out := []byte("HTTP/1.1 200 OK\r\nDate: today\r\nContent-Length: 5\r\n\r\nhello")
				for {
					if _, err := c.Read(in); err != nil {
						return
					}
					c.Write(out)
				}
			}()
		}
	}()
	return ln.Addr().String()
}

// TestIdleConnectionsAreCheap opens fewer than ten thousand, because both ends
// are files of this process.
func TestIdleConnectionsAreCheap(t *testing.T) {
	const count, limit = 4000, 20 << 10 // bytes each; 10,000 then take no more than 200 MB
	ln, _ := rawFront(t, hosting("web", quick(t)))
	conns := make([]net.Conn, count)
	before := inUse()
	in := make([]byte, 4096)
	for i := range conns {
		c, err := net.Dial("tcp", ln)
		if err != nil {
			t.Skipf("this host allows %d connections only: %v", i, err)
		}
		defer c.Close()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: web.lab\r\n\r\n")
		if _, err := c.Read(in); err != nil {
			t.Fatal(err)
		}
		conns[i] = c
	}
	if each := (inUse() - before) / count; each > limit {
		t.Errorf("%d bytes for each idle connection, want at most %d", each, limit)
	} else {
		t.Logf("%d bytes for each idle connection, client's end included", each)
	}
}

// inUse returns the memory of heap and stacks.
func inUse() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapInuse + m.StackInuse
}
