package api_test

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"lattice/api"
	"lattice/app"
)

func TestTheClientTrustsOnlyItsCA(t *testing.T) {
	b := start(t, &backend{})
	_, other := certificates(t, api.ServerName)
	sum := sha256.Sum256(other.Raw)
	otherPEM := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: other.Raw}))
	for _, tt := range []struct {
		name     string
		ca, hash string
		want     error
	}{
		{"the CA", b.ca, "", nil},
		{"one of two CAs", otherPEM + b.ca, "", nil},
		{"the CA's hash", "", b.hash, nil},
		{"the CA's hash, written otherwise", "", "SHA256:" + strings.ToUpper(b.hash[:2]) + ":" + b.hash[2:], nil},
		{"another CA of the same name", otherPEM, "", api.ErrUntrusted},
		{"another CA's hash", "", hex.EncodeToString(sum[:]), api.ErrUntrusted},
		{"the system's CAs", "", "", api.ErrUntrusted},
	} {
		c := b.client(t, "", func(cfg *api.ClientConfig) { cfg.CA, cfg.CAHash = tt.ca, tt.hash })
		if err := c.Ping(t.Context()); !errors.Is(err, tt.want) {
			t.Errorf("%s: got %v, want %v", tt.name, err, tt.want)
		}
	}
}

func TestAHashTrustsNoForeignCertificate(t *testing.T) {
	good, ca := certificates(t, api.ServerName)
	bad, _ := certificates(t, api.ServerName)
	wrongName, itsCA := certificates(t, "www.example.com")
	leafOnly, _ := certificates(t, api.ServerName)
	leafOnly.Certificate = leafOnly.Certificate[:1]
	hash := func(der []byte) string { s := sha256.Sum256(der); return hex.EncodeToString(s[:]) }
	for _, tt := range []struct {
		name  string
		hash  string
		chain [][]byte
		key   any
		ok    bool
	}{
		{"the right one", hash(ca.Raw), good.Certificate, good.PrivateKey, true},
		{"a foreign leaf beside the CA", hash(ca.Raw), [][]byte{bad.Certificate[0], ca.Raw}, bad.PrivateKey, false},
		{"a certificate of the CA for another name", hash(itsCA.Raw), wrongName.Certificate, wrongName.PrivateKey, false},
		{"the CA is not shown", hash(ca.Raw), leafOnly.Certificate, leafOnly.PrivateKey, false},
		{"the hash of the leaf", hash(good.Certificate[0]), good.Certificate, good.PrivateKey, false},
	} {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "{}") }))
		srv.TLS = &tls.Config{Certificates: []tls.Certificate{{Certificate: tt.chain, PrivateKey: tt.key}}}
		srv.Config.ErrorLog = nullLog()
		srv.StartTLS()
		c, err := api.NewClient(api.ClientConfig{URL: srv.URL, CAHash: tt.hash})
		if err != nil {
			t.Fatal(err)
		}
		if err := c.Ping(t.Context()); tt.ok && err != nil || !tt.ok && !errors.Is(err, api.ErrUntrusted) {
			t.Errorf("%s: got %v", tt.name, err)
		}
		c.Close()
		srv.Close()
	}
}

func TestNewClientRefusesBadConfig(t *testing.T) {
	for _, tt := range []struct {
		cfg  api.ClientConfig
		want string
	}{
		{api.ClientConfig{URL: ""}, "no URL"},
		{api.ClientConfig{URL: "https://"}, "no URL"},
		{api.ClientConfig{URL: "https://:80"}, "no URL"},
		{api.ClientConfig{URL: "https://a b"}, "no URL"},
		{api.ClientConfig{URL: "http://brain:8443"}, "does not start with https://"},
		{api.ClientConfig{URL: "https://user:s3cr3t@brain"}, "https://HOST:PORT and nothing more"},
		{api.ClientConfig{URL: "https://brain/api/v1"}, "https://HOST:PORT and nothing more"},
		{api.ClientConfig{URL: "brain", CA: "what"}, "it must be PEM"},
		{api.ClientConfig{URL: "brain", CAHash: "12"}, "is no SHA-256"},
	} {
		_, err := api.NewClient(tt.cfg)
		if !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "s3cr3t") {
			t.Errorf("%+v: got %v, want %q", tt.cfg, err, tt.want)
		}
	}
	if _, err := api.NewClient(api.ClientConfig{URL: "10.0.0.1:8443/"}); err != nil {
		t.Error(err)
	}
}

func TestABrainThatIsNotThere(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := ln.Addr().String()
	mute := make(chan net.Conn, 2) // accepted and never answered
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				close(mute)
				return
			}
			mute <- conn
		}
	}()
	c, err := api.NewClient(api.ClientConfig{URL: addr, Timeout: 100 * time.Millisecond})
	if err != nil {
		t.Fatal(err)
	}
	for name, call := range map[string]func() error{
		"a call":   func() error { return c.Ping(t.Context()) },
		"a stream": func() error { return c.Work(t.Context(), "c", nil) },
	} {
		if err := call(); !errors.Is(err, app.ErrUnavailable) || !strings.Contains(err.Error(), "did not answer within 100ms") {
			t.Errorf("%s to who never answers: got %v", name, err)
		}
	}
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if err := c.Ping(gone); !errors.Is(err, context.Canceled) || errors.Is(err, app.ErrUnavailable) {
		t.Errorf("a call that nobody waits for: got %v", err)
	}
	ln.Close()
	for conn := range mute {
		conn.Close()
	}
	if err := c.Ping(t.Context()); !errors.Is(err, app.ErrUnavailable) || !strings.Contains(err.Error(), "the brain at https://"+addr+" does not answer: is it up?") {
		t.Errorf("nobody listens: got %v", err)
	}
	lost, err := api.NewClient(api.ClientConfig{URL: "brain.invalid"})
	if err != nil {
		t.Fatal(err)
	}
	if err := lost.Ping(t.Context()); !errors.Is(err, app.ErrUnavailable) || !strings.Contains(err.Error(), "can't be found") {
		t.Errorf("no such host: got %v", err)
	}
}

// foreign serves what handle says as if it were a brain.
func foreign(t *testing.T, handle http.HandlerFunc) *api.Client {
	t.Helper()
	cert, ca := certificates(t, api.ServerName)
	srv := httptest.NewUnstartedServer(handle)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.Config.ErrorLog = nullLog()
	srv.StartTLS()
	t.Cleanup(srv.Close)
	c, err := api.NewClient(api.ClientConfig{URL: srv.URL, Token: userToken, CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: ca.Raw}))})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func TestAnswersThatNoBrainGives(t *testing.T) {
	var elsewhere atomic.Bool
	for name, tt := range map[string]struct {
		handle http.HandlerFunc
		want   error
		text   string
	}{
		"a page": {func(w http.ResponseWriter, r *http.Request) { http.Error(w, "<html>", http.StatusBadGateway) },
			app.ErrUnavailable, `answered "502 Bad Gateway", which is not how a brain answers`},
		"a redirect": {func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/elsewhere" {
				elsewhere.Store(true)
			}
			http.Redirect(w, r, "/elsewhere", http.StatusFound)
		}, app.ErrUnavailable, "302 Found"},
		"a code of a later version": {func(w http.ResponseWriter, r *http.Request) {
			w.WriteHeader(418)
			io.WriteString(w, `{"error":{"code":"teapot","message":"no coffee here"}}`)
		}, nil, "no coffee here"},
		"half an answer": {func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Length", "100")
			io.WriteString(w, `{"version":`)
		}, app.ErrUnavailable, "does not answer"},
		"no JSON": {func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") },
			nil, "read the answer of"},
	} {
		_, err := foreign(t, tt.handle).Info(t.Context())
		if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.text) {
			t.Errorf("%s: got %v, want %q", name, err, tt.text)
		}
	}
	if elsewhere.Load() {
		t.Error("the token was sent to where a redirect pointed")
	}
}

func TestAStreamThatIsCutOffIsNotTakenForWhole(t *testing.T) {
	for name, handle := range map[string]http.HandlerFunc{
		"within a line": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"seq":1}`+"\n"+`{"seq":2}`)
		},
		"within the answer": func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, `{"seq":1}`+"\n")
			http.NewResponseController(w).Flush()
			panic(http.ErrAbortHandler)
		},
	} {
		seen := 0
		err := foreign(t, handle).Logs(t.Context(), "web", api.LogOptions{}, func(app.LogLine) error { seen++; return nil })
		if !errors.Is(err, app.ErrUnavailable) || seen != 1 {
			t.Errorf("%s: got %v after %d lines", name, err, seen)
		}
	}
	ended := foreign(t, func(http.ResponseWriter, *http.Request) {})
	err := ended.Logs(t.Context(), "web", api.LogOptions{Follow: true}, nil)
	if !errors.Is(err, app.ErrUnavailable) {
		t.Errorf("a stream that follows and ends: got %v", err)
	}
	if err := ended.Logs(t.Context(), "web", api.LogOptions{}, nil); err != nil {
		t.Errorf("one that doesn't follow: got %v", err)
	}
}

func TestLongLinesAndManyLinesArrive(t *testing.T) {
	const count = 100
	var got []app.LogLine
	requests := 0
	c := newCounter()
	c.pad = strings.Repeat("x", 3<<20)
	c.appendLogs = func(l []app.LogLine) { got = append(got, l...); requests++ }
	b := start(t, c.backend)
	lines := make([]app.LogLine, count)
	for i := range lines {
		lines[i] = app.LogLine{GUID: "g", Seq: uint64(i + 1), Text: strings.Repeat("\\", app.MaxLine)} // twice as long on the wire
	}
	if err := b.cell.SendLogs(t.Context(), "c", lines); err != nil {
		t.Fatal(err)
	}
	if len(got) != count || got[count-1] != lines[count-1] || requests < 3 || requests > 6 {
		t.Errorf("got %d lines in %d requests", len(got), requests)
	}
	err := b.user.WatchApp(within(t, 20*time.Second), "web", func(s app.Status) error {
		if s.URLs[0] != c.pad {
			t.Errorf("got %d bytes, want %d", len(s.URLs[0]), len(c.pad))
		}
		return io.EOF
	})
	if err != io.EOF {
		t.Error(err)
	}
}
