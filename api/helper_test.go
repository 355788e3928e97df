package api_test

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/hex"
	"encoding/pem"
	"io"
	"log"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"lattice/api"
	"lattice/app"
)

const (
	userToken = "the-token-of-a-user"
	cellToken = "the-token-of-the-cells"
)

// backend is a brain whose parts a test sets; what it doesn't set panics, which
// the test sees as an internal error.
type backend struct {
	create   func(app.App) (app.App, error)
	status   func(name string) (app.Status, error)
	statuses func() []app.Status
	scale    func(name string, n int) (app.App, error)
	remove   func(name string) error

	cells  func() []app.Cell
	strays func() []app.Instance
	work   func(cell string) (app.Work, error)
	report func(app.Report) error
	join   func(api.JoinRequest) (api.JoinReply, error)

	appendLogs func([]app.LogLine)
	cursors    func([]string) map[string]uint64
	tail       func(app string, n int) []app.LogLine
	follow     func(ctx context.Context, app string, n int, fn func([]app.LogLine) error) error

	change func(what string, args ...any) error // of changes_test.go

	mu      sync.Mutex
	changed chan struct{}
}

// touch tells those who wait that something changed.
func (b *backend) touch() {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed != nil {
		close(b.changed)
		b.changed = nil
	}
}

func (b *backend) Changed() <-chan struct{} {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.changed == nil {
		b.changed = make(chan struct{})
	}
	return b.changed
}

func (b *backend) WorkChanged(string) <-chan struct{} { return b.Changed() }

func (b *backend) Create(_ context.Context, a app.App) (app.App, error)      { return b.create(a) }
func (b *backend) Status(n string) (app.Status, error)                       { return b.status(n) }
func (b *backend) Statuses() []app.Status                                    { return b.statuses() }
func (b *backend) Scale(_ context.Context, s string, n int) (app.App, error) { return b.scale(s, n) }
func (b *backend) Remove(_ context.Context, name string) error               { return b.remove(name) }
func (b *backend) Cells() []app.Cell                                         { return b.cells() }
func (b *backend) Strays() []app.Instance                                    { return b.strays() }
func (b *backend) Work(cell string) (app.Work, error)                        { return b.work(cell) }
func (b *backend) Report(r app.Report) error                                 { return b.report(r) }
func (b *backend) Join(r api.JoinRequest) (api.JoinReply, error)             { return b.join(r) }
func (b *backend) Append(lines []app.LogLine)                                { b.appendLogs(lines) }
func (b *backend) Cursors(guids []string) map[string]uint64                  { return b.cursors(guids) }
func (b *backend) Tail(name string, n int) []app.LogLine                     { return b.tail(name, n) }
func (b *backend) Follow(ctx context.Context, name string, n int, fn func([]app.LogLine) error) error {
	return b.follow(ctx, name, n, fn)
}

// brain is a server on loopback with TLS and what is needed to talk to it.
type brain struct {
	*backend
	url  string
	ca   string // PEM
	hash string // of the CA
	user *api.Client
	cell *api.Client
	stop context.CancelFunc // ends the streams
	log  *logBuffer
}

// start serves b until the end of the test. change may adapt the server.
func start(t *testing.T, b *backend, change ...func(*api.ServerConfig)) *brain {
	t.Helper()
	done, stop := context.WithCancel(context.Background())
	text := &logBuffer{}
	cfg := api.ServerConfig{
		Apps: b, Cells: b, Logs: b,
		Auth: api.Tokens{User: api.HashToken(userToken), Cell: api.HashToken(cellToken)},
		Info: api.Info{Version: "1.2.3", Domain: "example.com"},
		Log:  slog.New(slog.NewTextHandler(text, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Done: done,
	}
	for _, f := range change {
		f(&cfg)
	}
	cert, ca := certificates(t, api.ServerName)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{cert}})
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: api.NewServer(cfg), ReadHeaderTimeout: 10 * time.Second, ErrorLog: nullLog()}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(ln) }()
	sum := sha256.Sum256(ca.Raw)
	br := &brain{
		backend: b, url: "https://" + ln.Addr().String(), stop: stop, log: text,
		ca:   string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw})),
		hash: hex.EncodeToString(sum[:]),
	}
	br.user, br.cell = br.client(t, userToken), br.client(t, cellToken)
	t.Cleanup(func() {
		stop()
		br.user.Close()
		br.cell.Close()
		ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
		defer cancel()
		if err := hs.Shutdown(ctx); err != nil {
			t.Errorf("the server did not stop: %v", err)
		}
		if err := <-served; err != http.ErrServerClosed {
			t.Error(err)
		}
	})
	return br
}

func (b *brain) client(t *testing.T, token string, change ...func(*api.ClientConfig)) *api.Client {
	t.Helper()
	cfg := api.ClientConfig{URL: b.url, Token: token, CA: b.ca}
	for _, f := range change {
		f(&cfg)
	}
	c, err := api.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

// raw sends a request as a user without the help of the client.
func (b *brain) raw(t *testing.T, method, path, token string, body io.Reader) (*http.Response, string) {
	t.Helper()
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(b.ca))
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: api.ServerName}}
	defer tr.CloseIdleConnections()
	req, err := http.NewRequest(method, b.url+path, body)
	if err != nil {
		t.Fatal(err)
	}
	if token != "" {
		req.Header.Set("Authorization", "Bearer "+token)
	}
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	return resp, string(text)
}

// certificates makes a CA and a certificate of it for the given names; the CA
// is part of the chain.
func certificates(t *testing.T, names ...string) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	key := newKey(t)
	caDER := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, key, key)
	ca, err := x509.ParseCertificate(caDER)
	if err != nil {
		t.Fatal(err)
	}
	leafKey := newKey(t)
	leaf := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(2), DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}, ca, leafKey, key)
	return tls.Certificate{Certificate: [][]byte{leaf, caDER}, PrivateKey: leafKey}, ca
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return key
}

func sign(t *testing.T, cert, by *x509.Certificate, key, signer *ecdsa.PrivateKey) []byte {
	t.Helper()
	if by == nil {
		by = cert
	}
	der, err := x509.CreateCertificate(rand.Reader, cert, by, &key.PublicKey, signer)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// logBuffer keeps what a server logged.
type logBuffer struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

// within returns a context that ends the test's calls before the test hangs.
func within(t *testing.T, d time.Duration) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), d)
	t.Cleanup(cancel)
	return ctx
}

// recorder is a httptest.ResponseRecorder with deadlines that do nothing.
type recorder struct{ *httptest.ResponseRecorder }

func (recorder) SetReadDeadline(time.Time) error  { return nil }
func (recorder) SetWriteDeadline(time.Time) error { return nil }

func discard() *slog.Logger { return slog.New(slog.DiscardHandler) }

// nullLog is for servers that a test makes fail.
func nullLog() *log.Logger { return slog.NewLogLogger(slog.DiscardHandler, slog.LevelError) }
