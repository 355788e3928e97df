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
	joinToken = "the-token-to-join-with"
)

// backend is a brain whose parts a test sets; what it doesn't set panics, which
// the test sees as an internal error.
type backend struct {
	create   func(app.App) (app.App, error)
	status   func(name string) (app.Status, error)
	statuses func() []app.Status
	scale    func(name string, n int) (app.App, error)
	remove   func(name string, volumes bool) error

	cells  func() []app.Cell
	strays func() []app.Instance
	work   func(cell string) (app.Work, error)
	report func(app.Report) error

	trust // nil: all panic

	appendLogs func([]app.LogLine)
	cursors    func([]string) map[string]uint64
	tail       func(app string, n int) []app.LogLine
	follow     func(ctx context.Context, app string, n int, fn func([]app.LogLine) error) error

	change func(what string, args ...any) error // of changes_test.go

	mu      sync.Mutex
	changed chan struct{}
}

// trust keeps the method Changed apart from that of the apps.
type trust interface {
	Join(r api.JoinRequest) (api.JoinReply, error)
	Renew(cell string, csr []byte) ([]byte, error)
	Membership(cell string) (api.Membership, error)
	Confirm(cell string, revision uint64)
	Revoke(cell string) (api.Revocation, error)
	RotateGossip(ctx context.Context) (api.Rotation, error)
	Tokens() []api.TokenStatus
	CreateToken(api.TokenRequest) (api.NewToken, error)
	RevokeToken(id string) error
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
func (b *backend) Remove(_ context.Context, name string, volumes bool) error {
	return b.remove(name, volumes)
}
func (b *backend) Counts() map[string]app.CellCount         { return api.CountInstances(b.Statuses()) }
func (b *backend) Cells() []app.Cell                        { return b.cells() }
func (b *backend) Strays() []app.Instance                   { return b.strays() }
func (b *backend) Work(cell string) (app.Work, error)       { return b.work(cell) }
func (b *backend) Report(r app.Report) error                { return b.report(r) }
func (b *backend) Append(lines []app.LogLine)               { b.appendLogs(lines) }
func (b *backend) Cursors(guids []string) map[string]uint64 { return b.cursors(guids) }
func (b *backend) Tail(name string, n int) []app.LogLine    { return b.tail(name, n) }
func (b *backend) Follow(ctx context.Context, name string, n int, fn func([]app.LogLine) error) error {
	return b.follow(ctx, name, n, fn)
}

// brain is a server on loopback with TLS and what is needed to talk to it.
type brain struct {
	*backend
	url  string
	ca   string // PEM
	hash string // of the CA
	sign authority
	user *api.Client
	join *api.Client
	cell *api.Client        // of the cell c
	stop context.CancelFunc // ends the streams
	log  *logBuffer
}

// start serves b until the end of the test. change may adapt the server.
func start(t *testing.T, b *backend, change ...func(*api.ServerConfig)) *brain {
	t.Helper()
	done, stop := context.WithCancel(context.Background())
	text := &logBuffer{}
	cfg := api.ServerConfig{
		Apps: b, Cells: b, Logs: b, Trust: b, Tasks: newTaskList(b.touch),
		Auth: api.Tokens{User: api.HashToken(userToken), Join: api.HashToken(joinToken)},
		Info: api.Info{Version: "1.2.3", Domain: "example.com"},
		Log:  slog.New(slog.NewTextHandler(text, &slog.HandlerOptions{Level: slog.LevelDebug})),
		Done: done,
	}
	for _, f := range change {
		f(&cfg)
	}
	au := newAuthority(t)
	ln, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{
		Certificates: []tls.Certificate{au.server(t, api.ServerName)}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: au.pool(),
	})
	if err != nil {
		t.Fatal(err)
	}
	hs := &http.Server{Handler: api.NewServer(cfg), ReadHeaderTimeout: 10 * time.Second, ErrorLog: nullLog()}
	served := make(chan error, 1)
	go func() { served <- hs.Serve(ln) }()
	sum := sha256.Sum256(au.ca.Raw)
	br := &brain{
		backend: b, url: "https://" + ln.Addr().String(), stop: stop, log: text, sign: au,
		ca:   string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: au.ca.Raw})),
		hash: hex.EncodeToString(sum[:]),
	}
	br.user, br.join, br.cell = br.client(t, userToken), br.client(t, joinToken), br.client(t, "", br.as(t, "c"))
	t.Cleanup(func() {
		stop()
		for _, c := range []*api.Client{br.user, br.join, br.cell} {
			c.Close()
		}
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

// as makes a client show the certificate of a cell.
func (b *brain) as(t *testing.T, cell string) func(*api.ClientConfig) {
	t.Helper()
	cert := b.sign.client(t, cell)
	return func(cfg *api.ClientConfig) { cfg.Certificate = func() *tls.Certificate { return &cert } }
}

// raw sends a request without the help of the client: with a token, or as the
// cell whose ID follows "cell:".
func (b *brain) raw(t *testing.T, method, path, token string, body io.Reader) (*http.Response, string) {
	t.Helper()
	trust := &tls.Config{RootCAs: b.sign.pool(), ServerName: api.ServerName}
	if cell, ok := strings.CutPrefix(token, "cell:"); ok {
		token, trust.Certificates = "", []tls.Certificate{b.sign.client(t, cell)}
	}
	tr := &http.Transport{TLSClientConfig: trust}
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

// An authority is a CA.
type authority struct {
	ca  *x509.Certificate
	key *ecdsa.PrivateKey
}

func newAuthority(t *testing.T) authority {
	t.Helper()
	key := newKey(t)
	der := sign(t, &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign,
	}, nil, key, key)
	ca, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return authority{ca, key}
}

func (a authority) pool() *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AddCert(a.ca)
	return pool
}

// server makes a certificate for the given names; the CA is part of the chain.
func (a authority) server(t *testing.T, names ...string) tls.Certificate {
	t.Helper()
	return a.issue(t, &x509.Certificate{DNSNames: names, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}})
}

func (a authority) client(t *testing.T, name string) tls.Certificate {
	t.Helper()
	return a.issue(t, &x509.Certificate{Subject: pkix.Name{CommonName: name}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}})
}

func (a authority) issue(t *testing.T, about *x509.Certificate) tls.Certificate {
	t.Helper()
	about.SerialNumber, about.KeyUsage = big.NewInt(2), x509.KeyUsageDigitalSignature
	about.NotBefore, about.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	key := newKey(t)
	return tls.Certificate{Certificate: [][]byte{sign(t, about, a.ca, key, a.key), a.ca.Raw}, PrivateKey: key}
}

// certificates makes a CA and a certificate of it for the given names.
func certificates(t *testing.T, names ...string) (tls.Certificate, *x509.Certificate) {
	t.Helper()
	a := newAuthority(t)
	return a.server(t, names...), a.ca
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
