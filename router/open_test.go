package router_test

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lattice/router"
)

func TestProxyProtocol(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		fmt.Fprintf(w, "%s by %s", req.Header.Get("X-Forwarded-For"), req.Header.Get("X-Forwarded-Proto"))
	})
	r := router.New(router.Options{ProxyProtocol: true})
	r.Swap(hosting("web", addr(s)))
	plain := plainFront(t, r)
	secure, _, roots := secureFront(t, r)
	const v1 = "PROXY TCP4 1.2.3.4 5.6.7.8 4711 80\r\n"
	const v2 = "\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x67\x00\x50"
	const request = "GET / HTTP/1.1\r\nHost: web.lab\r\nConnection: close\r\n\r\n"
	for _, header := range []string{v1, v2} {
		if got := say(t, plain, header+request); !strings.HasSuffix(got, "1.2.3.4 by http") {
			t.Errorf("got %q", got)
		}
		for _, protocol := range []string{"http/1.1", "h2"} {
			client := &http.Client{Timeout: 30 * time.Second, Transport: &http.Transport{
				DialTLSContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
					conn, err := net.Dial("tcp", secure)
					if err != nil {
						return nil, err
					}
					io.WriteString(conn, header)
					return tls.Client(conn, &tls.Config{RootCAs: roots, ServerName: "web.lab", NextProtos: []string{protocol}}), nil
				},
				ForceAttemptHTTP2: protocol == "h2", DisableKeepAlives: true,
			}}
			if res, body := get(t, client, "https://web.lab/"); body != "1.2.3.4 by https" || (res.ProtoMajor == 2) != (protocol == "h2") {
				t.Errorf("%s: got %q by %s", protocol, body, res.Proto)
			}
		}
	}
	c := dial(t, plain) // byte by byte
	for i := range len(v1 + request) {
		io.WriteString(c, (v1 + request)[i:i+1])
	}
	if got, err := io.ReadAll(c); err != nil || !strings.HasSuffix(string(got), "1.2.3.4 by http") {
		t.Errorf("byte by byte: got %q, %v", got, err)
	}
	if got := say(t, plain, request); got != "" {
		t.Errorf("without a header: got %q, want nothing", got)
	}

	// Of others than the trusted proxies no header is wanted, nor believed.
	r = router.New(router.Options{ProxyProtocol: true, Trusted: []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")}})
	r.Swap(hosting("web", addr(s)))
	plain = plainFront(t, r)
	if got := say(t, plain, request); !strings.HasSuffix(got, "127.0.0.1 by http") {
		t.Errorf("not by a proxy: got %q", got)
	}
	if got := say(t, plain, v1+request); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Errorf("a header of nobody trusted: got %q", got)
	}
}

func TestCancelReachesTheAppByTLS(t *testing.T) {
	told := make(chan bool, 1)
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		w.WriteHeader(200)
		http.NewResponseController(w).Flush()
		<-req.Context().Done()
		told <- true
	})
	r := newRouter(t, hosting("web", addr(s)))
	secure, _, roots := secureFront(t, r)
	for _, protocol := range []string{"http/1.1", "h2"} {
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		defer cancel()
		client := &http.Client{Transport: &http.Transport{
			DialContext: func(ctx context.Context, n, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, n, secure)
			},
			TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: protocol == "h2",
		}}
		call, leave := context.WithCancel(ctx)
		req, _ := http.NewRequestWithContext(call, "GET", "https://web.lab/", nil)
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		leave()
		res.Body.Close()
		select {
		case <-told:
		case <-ctx.Done():
			t.Errorf("%s: the app was not told that the client is gone", protocol)
		}
	}
}

// TestSlowHandshakes checks that who connects and says nothing holds nothing.
func TestSlowHandshakes(t *testing.T) {
	if testing.Short() {
		t.Skip("it waits until they are cut off")
	}
	r := newRouter(t, hosting("web"))
	secure, _, _ := secureFront(t, r)
	proxied := router.New(router.Options{ProxyProtocol: true})
	for at, text := range map[string]string{secure: "\x16\x03\x01", plainFront(t, proxied): "PROXY TCP4 "} {
		c, err := net.Dial("tcp", at)
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		c.SetDeadline(time.Now().Add(time.Minute))
		io.WriteString(c, text)
		if _, err := io.ReadAll(c); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Errorf("%q was not cut off", text)
		}
	}
}

func TestErrorPages(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{"404.html": "<h1>{status}</h1>{reason}", "5xx.html": "sorry: {cause}", "notes.txt": "no page"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	pages, err := router.ReadPages(dir)
	if err != nil {
		t.Fatal(err)
	}
	bothPaths(t, func(t *testing.T) {
		r := router.New(router.Options{Pages: pages})
		r.Swap(hosting("web"))
		client := front(t, r)
		for _, tt := range []struct{ url, accept, kind, body string }{
			{"http://nowhere.lab/", "text/html,*/*", "text/html", `<h1>404 Not Found</h1>no app is routed to &#34;nowhere.lab&#34;`},
			{"http://web.lab/", "text/html", "text/html", "sorry: no_endpoints"},
			{"http://web.lab/", "*/*", "text/plain", "the app behind \"web.lab\" has no healthy instance at the moment\n"},
		} {
			res, body := get(t, client, tt.url, "Accept", tt.accept)
			if body != tt.body || !strings.HasPrefix(res.Header.Get("Content-Type"), tt.kind) || res.Header.Get("X-Cf-RouterError") == "" {
				t.Errorf("%s for %s: got %s %q", tt.url, tt.accept, res.Header.Get("Content-Type"), body)
			}
		}
	})
	if _, err := router.ReadPages(filepath.Join(dir, "none")); err == nil {
		t.Error("a folder that isn't there is no error")
	}
}

func TestChallenges(t *testing.T) {
	s := backend(t, "app", nil)
	r := router.New(router.Options{Challenge: func(w http.ResponseWriter, req *http.Request) bool {
		if !strings.HasSuffix(req.URL.Path, "/mine") {
			return false
		}
		fmt.Fprint(w, "token of ", req.Host)
		return true
	}})
	r.Swap(hosting("web", addr(s)))
	client := front(t, r)
	for path, want := range map[string]string{"/.well-known/acme-challenge/mine": "token of web.lab", "/.well-known/acme-challenge/other": "app", "/": "app"} {
		if _, body := get(t, client, "http://web.lab"+path); body != want {
			t.Errorf("%s: got %q, want %q", path, body, want)
		}
	}
}
