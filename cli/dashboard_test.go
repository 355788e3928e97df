package cli

import (
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"lattice/api"
)

// A browser gets to the brain through the proxy, and nobody else does.
func TestLoopbackProxy(t *testing.T) {
	_, url, ca := serve(t, t.Cleanup)
	c, err := api.NewClient(api.ClientConfig{URL: url, Token: testToken, CA: ca})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	l, err := c.LoginLink(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewUnstartedServer(nil)
	own := srv.Listener.Addr().(*net.TCPAddr).String()
	if srv.Config.Handler, err = loopbackProxy(url, own, c.Transport()); err != nil {
		t.Fatal(err)
	}
	srv.Start()
	defer srv.Close()
	ask := func(method, path, body string, headers ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequest(method, srv.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for _, h := range headers {
			name, value, _ := strings.Cut(h, ": ")
			if req.Header.Set(name, value); name == "Host" {
				req.Host = value
			}
		}
		resp, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		return resp
	}
	if got := ask("GET", "/api/v1/apps", "").StatusCode; got != 401 {
		t.Errorf("without a session: got %d, want 401", got)
	}
	resp := ask("POST", "/api/v1/session", `{"code":"`+l.Code+`"}`, "X-Lattice: 1", "Origin: "+srv.URL, "Sec-Fetch-Site: same-origin")
	if resp.StatusCode != 200 || len(resp.Cookies()) != 1 {
		t.Fatalf("log in: %s, %v", resp.Status, resp.Cookies())
	}
	cookie := resp.Cookies()[0]
	if cookie.Secure || strings.HasPrefix(cookie.Name, "__Host-") || !cookie.HttpOnly {
		t.Errorf("a browser would not keep this cookie without TLS: %+v", cookie)
	}
	session := "Cookie: " + cookie.Name + "=" + cookie.Value
	if got := ask("GET", "/api/v1/apps", "", session).StatusCode; got != 200 {
		t.Errorf("with the session: got %d, want 200", got)
	}
	if got := ask("GET", "/api/v1/apps", "", session, "Host: evil.example").StatusCode; got != 421 {
		t.Errorf("by another name: got %d, want 421", got)
	}
	if got := ask("DELETE", "/api/v1/apps/web", "", session, "X-Lattice: 1", "Origin: https://evil.example").StatusCode; got != 403 {
		t.Errorf("from another site: got %d, want 403", got)
	}
}
