package certs_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	pebbleca "github.com/letsencrypt/pebble/v2/ca"
	pebbledb "github.com/letsencrypt/pebble/v2/db"
	pebbleva "github.com/letsencrypt/pebble/v2/va"
	pebblewfe "github.com/letsencrypt/pebble/v2/wfe"
	"github.com/miekg/dns"

	"lattice/app"
	"lattice/internal/pki"
	"lattice/router"
	"lattice/router/certs"
)

// issue writes a fresh certificate for a name under lab.
func issue(t *testing.T, name, cert, key string) *x509.Certificate {
	t.Helper()
	ca, err := pki.OpenAppsCA(t.TempDir(), "lab")
	if err != nil {
		t.Fatal(err)
	}
	pair, err := ca.Certificate(name)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(pair.PrivateKey)
	if err != nil {
		t.Fatal(err)
	}
	write(t, key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
	write(t, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: pair.Certificate[0]}))
	return pair.Leaf
}

func write(t *testing.T, path string, b []byte) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o700), os.WriteFile(path, b, 0o600)); err != nil {
		t.Fatal(err)
	}
}

// running runs c until the test ends.
func running(t *testing.T, run func(context.Context) error) {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- run(ctx) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}

func nothing(string) (*tls.Certificate, error) { return nil, errors.New("there is no own CA") }

func TestFilesGoByNameAndAreReadAgain(t *testing.T) {
	dir := t.TempDir()
	web := issue(t, "a.web.lab", filepath.Join(dir, "web.crt"), filepath.Join(dir, "web.key"))
	shop := issue(t, "a.shop.lab", filepath.Join(dir, "shop", "fullchain.pem"), filepath.Join(dir, "shop", "privkey.pem"))
	write(t, filepath.Join(dir, "README"), nil)
	own := &tls.Certificate{}
	c, err := certs.New(certs.Config{Folder: dir, Own: func(string) (*tls.Certificate, error) { return own, nil }})
	if err != nil {
		t.Fatal(err)
	}
	running(t, c.Run)
	ask := func(name string) *x509.Certificate {
		cert, err := c.TLSConfig().GetCertificate(&tls.ClientHelloInfo{ServerName: name})
		if err != nil {
			t.Fatal(err)
		}
		return cert.Leaf
	}
	if !ask("b.WEB.lab.").Equal(web) || !ask("web.lab").Equal(web) || !ask("x.shop.lab").Equal(shop) {
		t.Error("a name has a wrong certificate")
	}
	if ask("a.b.web.lab") != nil || ask("other.lab") != nil || ask("") != nil {
		t.Error("a name has a certificate from a file, though none is for it")
	}
	write(t, filepath.Join(dir, "web.crt"), []byte("half"))
	next := issue(t, "a.web.lab", filepath.Join(dir, "web.crt"), filepath.Join(dir, "web.key"))
	added := issue(t, "a.new.lab", filepath.Join(dir, "new.crt"), filepath.Join(dir, "new.key"))
	deadline := time.Now().Add(time.Minute)
	for (!ask("b.web.lab").Equal(next) || ask("b.new.lab") == nil || !ask("b.new.lab").Equal(added)) && time.Now().Before(deadline) {
		time.Sleep(50 * time.Millisecond)
	}
	if !ask("b.web.lab").Equal(next) || !ask("x.shop.lab").Equal(shop) {
		t.Error("the changed file was not read again")
	}
}

func TestBadFilesAreTold(t *testing.T) {
	dir := t.TempDir()
	issue(t, "a.web.lab", filepath.Join(dir, "web.crt"), filepath.Join(dir, "other.key"))
	_, err := certs.New(certs.Config{Folder: dir, Own: nothing})
	if err == nil || !strings.Contains(err.Error(), filepath.Join(dir, "web.key")) {
		t.Errorf("got %v, want it to name the key that is missing", err)
	}
	if _, err := certs.New(certs.Config{Folder: filepath.Join(dir, "none"), Own: nothing}); err == nil {
		t.Error("a folder that isn't there is no error")
	}
}

// names starts a name server for which all names are this host's.
func names(t *testing.T) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0") // pebble asks by TCP
	if err != nil {
		t.Fatal(err)
	}
	srv := &dns.Server{Listener: ln, Handler: dns.HandlerFunc(func(w dns.ResponseWriter, q *dns.Msg) {
		reply := new(dns.Msg).SetReply(q)
		if q.Question[0].Qtype == dns.TypeA {
			reply.Answer = []dns.RR{&dns.A{
				Hdr: dns.RR_Header{Name: q.Question[0].Name, Rrtype: dns.TypeA, Class: dns.ClassINET, Ttl: 1}, A: net.IPv4(127, 0, 0, 1),
			}}
		}
		_ = w.WriteMsg(reply)
	})}
	go srv.ActivateAndServe()
	t.Cleanup(func() { srv.Shutdown() })
	return ln.Addr().String()
}

// pebble starts Let's Encrypt's test server and returns the URL of its
// directory, what to trust for that, and what its certificates come from.
func pebble(t *testing.T, httpPort, tlsPort int) (url string, trust, roots *x509.CertPool) {
	t.Helper()
	t.Setenv("PEBBLE_VA_NOSLEEP", "1")
	t.Setenv("PEBBLE_WFE_NONCEREJECT", "10") // percent: a client must bear that
	quiet := log.New(io.Discard, "", 0)
	db := pebbledb.NewMemoryStore()
	ca := pebbleca.New(quiet, db, "", "ecdsa", 0, 1, map[string]pebbleca.Profile{"default": {Description: "default"}})
	va := pebbleva.New(quiet, httpPort, tlsPort, false, names(t), db)
	wfe := pebblewfe.New(quiet, db, va, ca, []string{"pebble.test"}, false, false, 1, 1)
	s := httptest.NewTLSServer(wfe.Handler())
	t.Cleanup(s.Close)
	trust = x509.NewCertPool()
	trust.AddCert(s.Certificate())
	roots = x509.NewCertPool()
	roots.AddCert(ca.GetRootCert(0).Cert)
	return s.URL + pebblewfe.DirectoryPath, trust, roots
}

// routed is a router with HTTP and HTTPS, whose certificates come by ACME.
func routed(t *testing.T, dir string, plain, secure net.Listener, url string, trust *x509.CertPool) *certs.Certs {
	t.Helper()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) { io.WriteString(w, req.Host) }))
	t.Cleanup(s.Close)
	_, port, _ := net.SplitHostPort(s.Listener.Addr().String())
	container, err := net.LookupPort("tcp", port)
	if err != nil {
		t.Fatal(err)
	}
	var r *router.Router
	c, err := certs.New(certs.Config{Own: nothing, ACME: &certs.ACME{
		URL: url, Email: "lab@example.com", Roots: trust, Dir: dir, Routed: func(host string) bool { return r.Routes(host) },
		HTTPPort: plain.Addr().(*net.TCPAddr).Port, HTTPSPort: secure.Addr().(*net.TCPAddr).Port,
	}})
	if err != nil {
		t.Fatal(err)
	}
	r = router.New(router.Options{Challenge: c.Challenge})
	r.Swap(router.Build([]app.Status{{
		App: app.App{Name: "shop", Routes: []app.Route{{Host: "shop.example.com"}, {Host: "www.example.com"}, {Host: "*.wild.example.com"}}},
		Instances: []app.Instance{{
			App: "shop", State: app.Running, Host: "127.0.0.1", Ports: []app.PortPair{{Container: 80, Host: container}},
		}},
	}}, "lab", nil))
	running(t, c.Run)
	running(t, func(ctx context.Context) error { return r.Serve(ctx, plain, time.Second) })
	running(t, func(ctx context.Context) error { return r.ServeTLS(ctx, secure, c.TLSConfig(), time.Second) })
	return c
}

func listener(t *testing.T) net.Listener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln
}

func TestACME(t *testing.T) {
	for _, challenge := range []string{"http-01", "tls-alpn-01"} {
		t.Run(challenge, func(t *testing.T) {
			plain, secure := listener(t), listener(t)
			httpPort, tlsPort := plain.Addr().(*net.TCPAddr).Port, secure.Addr().(*net.TCPAddr).Port
			nobody := listener(t)
			nobody.Close()
			switch challenge { // the way that is not tried leads nowhere
			case "http-01":
				tlsPort = nobody.Addr().(*net.TCPAddr).Port
			default:
				httpPort = nobody.Addr().(*net.TCPAddr).Port
			}
			url, trust, roots := pebble(t, httpPort, tlsPort)
			dir := t.TempDir()
			routed(t, dir, plain, secure, url, trust)
			client := &http.Client{Timeout: time.Minute, Transport: &http.Transport{
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, secure.Addr().String())
				},
				TLSClientConfig: &tls.Config{RootCAs: roots}, DisableKeepAlives: true, ForceAttemptHTTP2: true,
			}}
			deadline := time.Now().Add(2 * time.Minute)
			for {
				res, err := client.Get("https://shop.example.com/")
				if err == nil {
					body, _ := io.ReadAll(res.Body)
					res.Body.Close()
					if string(body) != "shop.example.com" || res.ProtoMajor != 2 {
						t.Errorf("got %s by %s", body, res.Proto)
					}
					break
				}
				if time.Now().After(deadline) {
					t.Fatal(err)
				}
				time.Sleep(200 * time.Millisecond) // the certificate takes longer than a handshake may
			}
			for _, host := range []string{"other.example.com", "any.wild.example.com"} {
				if _, err := client.Get("https://" + host + "/"); err == nil || strings.Contains(err.Error(), "Timeout") {
					t.Errorf("%s has no route of its own: got %v, want a refused handshake", host, err)
				}
			}
			if found, err := filepath.Glob(filepath.Join(dir, "certificates", "*", "*", "*.crt")); err != nil || len(found) != 1 {
				t.Errorf("on the disk are %v, %v; want the one certificate", found, err)
			}
		})
	}
}
