package e2e

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"
)

// TestHTTPS is what a person does for https, and with options of a route.
func TestHTTPS(t *testing.T) {
	h := newLab(t, "one").host("one")
	pages := filepath.Join(t.TempDir(), "pages")
	if err := os.MkdirAll(pages, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(pages, "error.html"), []byte("our page: {status}"), 0o644); err != nil {
		t.Fatal(err)
	}
	h.up("--error-pages", pages, "--access-log-format", "json")
	h.ltc("create", "web", "lattice/hello", "-i", "2", "--route-option", "redirect-https=true", "--route-option", "sticky=at")

	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(h.ltc("ca"))) {
		t.Fatal("ltc ca printed no certificate")
	}
	client := http.Client{Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			DialContext: func(ctx context.Context, network, addr string) (net.Conn, error) {
				_, port, _ := net.SplitHostPort(addr)
				return h.dial(ctx, network, h.addr+":"+port)
			},
			TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true,
		}}
	ask := func(url string, header ...string) (*http.Response, string) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), "GET", url, nil)
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatalf("GET %s: %v", url, err)
		}
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatalf("GET %s: %v", url, err)
		}
		return res, string(body)
	}

	const host = "web.lattice.localhost"
	if res, _ := ask("http://" + host + "/index?x=1"); res.StatusCode != 308 || res.Header.Get("Location") != "https://"+host+"/index?x=1" {
		t.Errorf("plain http: got %d to %q", res.StatusCode, res.Header.Get("Location"))
	}
	res, first := ask("https://" + host + "/index")
	if res.StatusCode != 200 || res.ProtoMajor != 2 || len(res.Cookies()) != 1 {
		t.Fatalf("https: got %d by %s with cookies %v: %s", res.StatusCode, res.Proto, res.Cookies(), first)
	}
	for range 4 {
		if _, again := ask("https://"+host+"/index", "Cookie", "at="+res.Cookies()[0].Value); again != first {
			t.Errorf("the sticky client was led from %q to %q", first, again)
		}
	}
	if res, body := ask("https://nowhere.lattice.localhost/", "Accept", "text/html"); res.StatusCode != 404 || body != "our page: 404 Not Found" {
		t.Errorf("no such app: got %d %q", res.StatusCode, body)
	}

	hash, err := bcrypt.GenerateFromPassword([]byte("secret"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	users := filepath.Join(t.TempDir(), "users")
	if err := os.WriteFile(users, append([]byte("anna:"), hash...), 0o600); err != nil {
		t.Fatal(err)
	}
	h.ltc("update", "web", "--route-option", "basic-auth=@"+users)
	eventually(t, time.Minute, "a password is wanted", func() string {
		if res, _ := ask("https://" + host + "/index"); res.StatusCode != 401 {
			return res.Status
		}
		return ""
	})
	if res, _ := ask("https://"+host+"/index", "Authorization", "Basic YW5uYTpzZWNyZXQ="); res.StatusCode != 200 {
		t.Errorf("with the password: got %s", res.Status)
	}
	if shown := h.ltc("status", "web"); strings.Contains(shown, string(hash)) || !strings.Contains(shown, "basic-auth=anna:****") {
		t.Errorf("status shows the wrong things:\n%s", shown)
	}
	eventually(t, time.Minute, "the access log is JSON", func() string {
		log := h.ltc("logs", "web", "--no-follow")
		if strings.Contains(log, `"target":"/index"`) && strings.Contains(log, `"code":401`) {
			return ""
		}
		return log
	})
}
