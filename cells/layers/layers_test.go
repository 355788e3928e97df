package layers_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"lattice/app"
	"lattice/cells/layers"
)

// A ca is a cluster's.
type ca struct {
	t    *testing.T
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  string
}

func newCA(t *testing.T) *ca {
	t.Helper()
	c := &ca{t: t}
	about := &x509.Certificate{SerialNumber: big.NewInt(1), IsCA: true, BasicConstraintsValid: true, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	var der []byte
	der, c.key = c.sign(about, about, nil)
	var err error
	if c.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	c.pem = string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}))
	return c
}

func (c *ca) sign(about, by *x509.Certificate, with *ecdsa.PrivateKey) ([]byte, *ecdsa.PrivateKey) {
	c.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		c.t.Fatal(err)
	}
	if with == nil {
		with = key
	}
	der, err := x509.CreateCertificate(rand.Reader, about, by, &key.PublicKey, with)
	if err != nil {
		c.t.Fatal(err)
	}
	return der, key
}

// trust is that of a cell, which knows the members.
func (c *ca) trust(cell string, members *sync.Map) layers.Trust {
	c.t.Helper()
	der, key := c.sign(&x509.Certificate{
		SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: cell}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth},
	}, c.cert, c.key)
	cert := &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
	return layers.Trust{
		CA: func() string { return c.pem }, Certificate: func() *tls.Certificate { return cert },
		Cell:   func(x *x509.Certificate) string { return x.Subject.CommonName },
		Member: func(id string) bool { _, ok := members.Load(id); return ok },
	}
}

// shelf is a Store.
type shelf struct {
	layers map[string][]byte
	cut    atomic.Int64 // bytes after which a layer breaks off; 0: not
	given  atomic.Int64
	hold   chan struct{} // nil, or what is waited for first
}

func (s *shelf) Layer(_ context.Context, digest string) (io.ReadCloser, int64, error) {
	b, ok := s.layers[digest]
	if !ok {
		return nil, 0, fmt.Errorf("layer %w", app.ErrNotFound)
	}
	s.given.Add(1)
	if s.hold != nil {
		<-s.hold
	}
	n := int64(len(b))
	if c := s.cut.Load(); c > 0 {
		b = b[:c]
	}
	return io.NopCloser(bytes.NewReader(b)), n, nil
}

// serve gives the layers of s and returns where.
func serve(t *testing.T, s *shelf, trust layers.Trust) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	g := layers.NewGiver(s, trust)
	srv := &http.Server{Handler: g, ErrorLog: slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(tls.NewListener(ln, g.TLSConfig())) }()
	t.Cleanup(func() { srv.Close(); <-done })
	return ln.Addr().String()
}

// A brain names places, and has everything.
type brain struct {
	shelf
	places string
	asked  atomic.Int64 // for layers themselves
}

func (b *brain) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get(app.LayersHeader) != "" && b.places != "" {
		w.Header().Set(app.LayersHeader, b.places)
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	b.asked.Add(1)
	rc, _, err := b.Layer(r.Context(), r.URL.Path[strings.LastIndex(r.URL.Path, "/")+1:])
	if err != nil {
		http.NotFound(w, r)
		return
	}
	_, _ = io.Copy(w, rc)
}

func digestOf(b []byte) string { return fmt.Sprintf("sha256:%x", sha256.Sum256(b)) }

// A layer is taken from the cell that the brain names, and from the brain
// whenever that doesn't work.
func TestTake(t *testing.T) {
	cluster, members := newCA(t), &sync.Map{}
	members.Store("a", true)
	members.Store("b", true)
	content := bytes.Repeat([]byte("layer"), 200_000)
	digest := digestOf(content)
	full := func() map[string][]byte { return map[string][]byte{digest: content} }
	stranger := newCA(t)
	gone, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	gone.Close()

	for _, tt := range []struct {
		name  string
		giver func() (*shelf, string)
		cell  bool // it comes from the cell
	}{
		{"a member has it", func() (*shelf, string) {
			s := &shelf{layers: full()}
			return s, serve(t, s, cluster.trust("a", members))
		}, true},
		{"the first is gone, the second has it", func() (*shelf, string) {
			s := &shelf{layers: full()}
			return s, gone.Addr().String() + "," + serve(t, s, cluster.trust("a", members))
		}, true},
		{"nobody has it any more", func() (*shelf, string) {
			s := &shelf{}
			return s, serve(t, s, cluster.trust("a", members))
		}, false},
		{"nobody is named", func() (*shelf, string) { return &shelf{}, "" }, false},
		{"who is named was put out", func() (*shelf, string) {
			s := &shelf{layers: full()}
			return s, serve(t, s, cluster.trust("evil", members))
		}, false},
		{"who is named is of another cluster", func() (*shelf, string) {
			s := &shelf{layers: full()}
			return s, serve(t, s, stranger.trust("a", members))
		}, false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s, places := tt.giver()
			b := &brain{shelf: shelf{layers: full()}, places: places}
			srv := httptest.NewServer(b)
			defer srv.Close()
			c := &http.Client{Transport: layers.NewTaker(http.DefaultTransport, cluster.trust("b", members), slog.New(slog.DiscardHandler))}
			get := func() {
				t.Helper()
				resp, err := c.Get(srv.URL + "/v2/team/web/blobs/" + digest)
				if err != nil {
					t.Fatal(err)
				}
				defer resp.Body.Close()
				got, err := io.ReadAll(resp.Body)
				if err != nil || !bytes.Equal(got, content) {
					t.Errorf("%d bytes came, %v", len(got), err)
				}
			}
			get()
			if fromCell := s.given.Load() == 1 && b.asked.Load() == 0; fromCell != tt.cell {
				t.Errorf("the cell gave %d, the brain %d", s.given.Load(), b.asked.Load())
			}
			get() // again so soon: something was wrong with it
			if b.asked.Load() == 0 {
				t.Error("what is wanted again isn't asked of the brain")
			}
		})
	}
}

// A cell that breaks off is told apart from the end, so that whoever reads can go
// on with a range, which goes to the brain.
func TestGiverBreaksOff(t *testing.T) {
	cluster, members := newCA(t), &sync.Map{}
	members.Store("a", true)
	members.Store("b", true)
	content := bytes.Repeat([]byte("x"), 1_000_000)
	s := &shelf{layers: map[string][]byte{digestOf(content): content}}
	s.cut.Store(500_000)
	b := &brain{places: serve(t, s, cluster.trust("a", members))}
	srv := httptest.NewServer(b)
	defer srv.Close()
	c := &http.Client{Transport: layers.NewTaker(http.DefaultTransport, cluster.trust("b", members), slog.New(slog.DiscardHandler))}
	resp, err := c.Get(srv.URL + "/v2/team/web/blobs/" + digestOf(content))
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if n, err := io.Copy(io.Discard, resp.Body); err != io.ErrUnexpectedEOF || n > 500_000 {
		t.Errorf("%d bytes, %v; want an unexpected end", n, err)
	}
}

// Who is no member gets nothing, and nobody gets anything but layers.
func TestGive(t *testing.T) {
	cluster, members := newCA(t), &sync.Map{}
	for _, m := range []string{"a", "b"} {
		members.Store(m, true)
	}
	content := []byte("layer")
	s := &shelf{layers: map[string][]byte{digestOf(content): content}, hold: make(chan struct{})}
	at := serve(t, s, cluster.trust("a", members))
	ask := func(who layers.Trust, method, path string) (int, error) {
		tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true, GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			return who.Certificate(), nil
		}}}
		defer tr.CloseIdleConnections()
		req, err := http.NewRequest(method, "https://"+at+path, nil)
		if err != nil {
			return 0, err
		}
		resp, err := tr.RoundTrip(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, err
	}
	b := cluster.trust("b", members)
	for _, tt := range []struct{ method, path string }{
		{"GET", "/"}, {"GET", app.LayersPath}, {"GET", app.LayersPath + "sha256:abc"}, {"GET", app.LayersPath + "../../etc/passwd"},
		{"POST", app.LayersPath + digestOf(content)}, {"GET", app.LayersPath + digestOf([]byte("other"))}, {"DELETE", app.LayersPath + digestOf(content)},
	} {
		if code, err := ask(b, tt.method, tt.path); code != http.StatusNotFound {
			t.Errorf("%s %s: %d %v", tt.method, tt.path, code, err)
		}
	}
	for what, who := range map[string]layers.Trust{"one that was put out": cluster.trust("evil", members), "a cell of another cluster": newCA(t).trust("b", members)} {
		if code, err := ask(who, "GET", app.LayersPath+digestOf(content)); err == nil {
			t.Errorf("%s gets %d", what, code)
		}
	}

	// As many at once as may be; the next is refused, at once.
	var busy sync.WaitGroup
	for range 8 {
		busy.Go(func() {
			if code, err := ask(b, "GET", app.LayersPath+digestOf(content)); code != http.StatusOK {
				t.Errorf("one of those that may: %d %v", code, err)
			}
		})
	}
	for deadline := time.Now().Add(30 * time.Second); s.given.Load() < 8 && time.Now().Before(deadline); {
		time.Sleep(5 * time.Millisecond)
	}
	if code, err := ask(b, "GET", app.LayersPath+digestOf(content)); code != http.StatusServiceUnavailable {
		t.Errorf("the ninth: %d %v", code, err)
	}
	close(s.hold)
	busy.Wait()
}
