package sessions_test

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coder/websocket"

	"lattice/api"
	"lattice/app"
	"lattice/cells/session"
	"lattice/sessions"
	"lattice/sessions/sessionstest"
)

const testToken = "token-of-a-user"

// execs is api.Execs with one app.
type execs struct{ *sessions.Broker }

func (execs) Find(name string, index int) (app.SessionPlace, error) {
	if name != "web" {
		return app.SessionPlace{}, app.ErrNotFound
	}
	return app.SessionPlace{App: name, Index: max(index, 0), Cell: "c", GUID: "g"}, nil
}

func (execs) FindTask(string) (app.SessionPlace, error) {
	return app.SessionPlace{}, app.ErrNotFound
}

func (e execs) Open(ctx, in context.Context, o app.SessionOrder) (app.Link, error) {
	s, err := e.Broker.Open(ctx, in, o)
	if err != nil {
		return nil, err
	}
	return s, nil
}

// A cluster is a broker behind a real API, and a cell whose containers are this
// machine.
type cluster struct {
	*world
	broker *sessions.Broker
	local  *sessionstest.Local
	url    string
	ca     string
	client *api.Client
}

func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{local: &sessionstest.Local{}}
	var stop context.CancelFunc
	c.broker, c.world, stop = newBroker(t)
	cert, ca, pool := certificate(t)
	c.ca = ca
	done, streams := context.WithCancel(context.Background())
	srv := httptest.NewUnstartedServer(api.NewServer(api.ServerConfig{
		Execs: execs{c.broker}, Auth: api.Tokens{User: api.HashToken(testToken)}, Done: done, Log: slog.New(slog.DiscardHandler),
	}))
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}, ClientAuth: tls.VerifyClientCertIfGiven, ClientCAs: pool}
	srv.StartTLS()
	c.url = srv.URL
	c.client = c.newClient(t, api.ClientConfig{Token: testToken})
	asCell := c.newClient(t, api.ClientConfig{Certificate: func() *tls.Certificate { return &cert }})
	ctx, stopCell := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = session.New(session.Config{Cell: "c", Brain: asCell, Runtime: c.local, Network: c.local, Log: slog.New(slog.DiscardHandler)}).Run(ctx)
	}()
	t.Cleanup(func() {
		stopCell()
		<-ended
		stop()
		streams()
		srv.Close()
		if n := c.local.Running.Load(); n != 0 {
			t.Errorf("%d programs are left", n)
		}
	})
	return c
}

func (c *cluster) newClient(t *testing.T, cfg api.ClientConfig) *api.Client {
	t.Helper()
	cfg.URL, cfg.CA = c.url, c.ca
	client, err := api.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return client
}

// certificate returns one that is server, cell c and CA in one.
func certificate(t *testing.T) (tls.Certificate, string, *x509.CertPool) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	about := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "c"}, DNSNames: []string{api.ServerName}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, about, about, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(text)
	return tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}, string(text), pool
}

// A result is what a session brought.
type result struct {
	out, err string
	end      app.SessionEnd
}

// exec runs a request to its end with in as input.
func (c *cluster) exec(t *testing.T, r app.SessionRequest, in []byte) result {
	t.Helper()
	l, err := c.client.Exec(t.Context(), "web", 0, r)
	if err != nil {
		t.Fatal(err)
	}
	defer l.Abort()
	go func() {
		for len(in) > 0 {
			n := min(len(in), app.MaxFrame)
			if l.Send(app.ChanIn, in[:n]) != nil {
				return
			}
			in = in[n:]
		}
		_ = l.Send(app.ChanIn, nil)
	}()
	return gather(t, l)
}

func gather(t *testing.T, l app.Link) result {
	t.Helper()
	var out, errs bytes.Buffer
	for {
		ch, data, err := l.Receive()
		if err != nil {
			t.Fatalf("broke after %q %q: %v", out.String(), errs.String(), err)
		}
		switch ch {
		case app.ChanOut:
			out.Write(data)
		case app.ChanErr:
			errs.Write(data)
		case app.ChanEnd:
			r := result{out: out.String(), err: errs.String()}
			if err := json.Unmarshal(data, &r.end); err != nil {
				t.Fatal(err)
			}
			if err := l.Close(); err != nil {
				t.Error(err)
			}
			return r
		}
	}
}

func shell(line string) app.SessionRequest {
	return app.SessionRequest{Kind: app.SessionShell, Line: line}
}

func TestProgramsThroughTheAPI(t *testing.T) {
	c := newCluster(t)
	if r := c.exec(t, shell("cat; echo err >&2; exit 7"), []byte("in")); r.out != "in" || r.err != "err\n" || r.end != (app.SessionEnd{Code: 7}) {
		t.Errorf("got %+v", r)
	}
	big := make([]byte, 8<<20)
	_, _ = rand.Read(big)
	if r := c.exec(t, app.SessionRequest{Kind: app.SessionExec, Command: []string{"cat"}}, big); r.out != string(big) || r.end.Code != 0 {
		t.Errorf("%d of %d bytes came back, %+v", len(r.out), len(big), r.end)
	}
	if r := c.exec(t, app.SessionRequest{Kind: app.SessionExec, Command: []string{"no-such"}}, nil); r.end.Code != 127 || !strings.Contains(r.end.Reason, "not in the image") {
		t.Errorf("got %+v", r)
	}
	if r := c.exec(t, app.SessionRequest{Kind: app.SessionExec, Command: []string{"env"}, Env: []string{"A=b"}}, nil); !strings.Contains(r.out, "A=b\n") {
		t.Errorf("got %+v", r)
	}
	var all sync.WaitGroup
	for range 50 {
		all.Go(func() {
			if r := c.exec(t, shell("cat; exit 3"), []byte("x")); r.out != "x" || r.end.Code != 3 {
				t.Errorf("one of many: %+v", r)
			}
		})
	}
	all.Wait()
}

func TestASignalArrives(t *testing.T) {
	c := newCluster(t)
	l, err := c.client.Exec(t.Context(), "web", 0, shell("trap 'echo got; exit 5' INT; echo ready; while :; do sleep 0.1; done"))
	if err != nil {
		t.Fatal(err)
	}
	for {
		ch, data, err := l.Receive()
		if err != nil {
			t.Fatal(err)
		}
		if ch == app.ChanOut && string(data) == "ready\n" {
			break
		}
	}
	if err := app.SendControl(l, app.SessionControl{Signal: "INT"}); err != nil {
		t.Fatal(err)
	}
	if r := gather(t, l); r.out != "got\n" || r.end.Code != 5 {
		t.Errorf("got %+v", r)
	}
}

func TestAProgramEndsWithItsClient(t *testing.T) {
	for name, line := range map[string]string{"silent": "exec sleep 1000", "deaf": "exec sleep 1000 <&0", "chatty": "while :; do echo x; done"} {
		t.Run(name, func(t *testing.T) {
			c := newCluster(t)
			l, err := c.client.Exec(t.Context(), "web", 0, shell(line))
			if err == nil {
				_, err = app.AwaitOpening(l)
			}
			if err != nil {
				t.Fatal(err)
			}
			l.Abort()
			eventually(t, "the program has ended", func() bool { return c.local.Running.Load() == 0 })
		})
	}
}

func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	for deadline := time.Now().Add(60 * time.Second); !ok(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within a minute: %s", what)
		}
	}
}

func TestConnectionsThroughTheAPI(t *testing.T) {
	c := newCluster(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go echo(ln)
	port := ln.Addr().(*net.TCPAddr).Port
	data := make([]byte, 1<<20)
	_, _ = rand.Read(data)
	var all sync.WaitGroup
	for range 10 {
		all.Go(func() { c.carried(t, app.SessionRequest{Kind: app.SessionDial, Host: "127.0.0.1", Port: port}, data) })
	}
	all.Wait()

	l, err := c.client.Exec(t.Context(), "web", 0, app.SessionRequest{Kind: app.SessionListen})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Abort()
	o, err := app.AwaitOpening(l)
	if err != nil {
		t.Fatal(err)
	}
	go func() {
		for {
			_, b, err := l.Receive()
			var m app.SessionControl
			if err != nil || json.Unmarshal(b, &m) != nil || m.Accepted == nil {
				return
			}
			all.Go(func() { c.carried(t, app.SessionRequest{Kind: app.SessionAccept, Conn: m.Accepted.Conn}, data) })
		}
	}()
	for range 5 {
		conn, err := net.Dial("tcp", net.JoinHostPort("127.0.0.1", big.NewInt(int64(o.Port)).String()))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(conn, conn); err != nil {
			t.Error(err)
		}
		conn.Close()
	}
	all.Wait()

	for what, r := range map[string]app.SessionRequest{"refused": {Kind: app.SessionDial, Host: "127.0.0.1", Port: 1}, "gone": {Kind: app.SessionAccept, Conn: "x"}} {
		l, err := c.client.Exec(t.Context(), "web", 0, r)
		if err != nil {
			t.Fatal(err)
		}
		var refused *app.Refusal
		if _, err := app.AwaitOpening(l); !errors.As(err, &refused) || !strings.Contains(err.Error(), what) {
			t.Errorf("got %v, want %q", err, what)
		}
		l.Abort()
	}
}

func echo(ln net.Listener) {
	for {
		conn, err := ln.Accept()
		if err != nil {
			return
		}
		go func() {
			defer conn.Close()
			_, _ = io.Copy(conn, conn)
		}()
	}
}

// carried sends data through a connection and wants it back.
func (c *cluster) carried(t *testing.T, r app.SessionRequest, data []byte) {
	l, err := c.client.Exec(context.Background(), "web", 0, r)
	if err == nil {
		_, err = app.AwaitOpening(l)
	}
	if err != nil {
		t.Error(err)
		return
	}
	near, far, err := tcpPair()
	if err != nil {
		t.Error(err)
		return
	}
	spliced := make(chan error, 1)
	go func() { spliced <- app.Splice(l, far) }()
	go func() {
		_, _ = near.Write(data)
		_ = near.CloseWrite()
	}()
	if got, err := io.ReadAll(near); err != nil || !bytes.Equal(got, data) {
		t.Errorf("%s: %d of %d bytes, %v", r.Kind, len(got), len(data), err)
	}
	near.Close()
	if err := <-spliced; err != nil {
		t.Error(err)
	}
}

func tcpPair() (a, b *net.TCPConn, err error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, nil, err
	}
	defer ln.Close()
	x, err := net.Dial("tcp", ln.Addr().String())
	if err != nil {
		return nil, nil, err
	}
	y, err := ln.Accept()
	if err != nil {
		return nil, nil, err
	}
	return x.(*net.TCPConn), y.(*net.TCPConn), nil
}

func TestWhatTheAPIRefuses(t *testing.T) {
	c := newCluster(t)
	if _, err := c.client.Exec(t.Context(), "none", 0, shell("")); !errors.Is(err, app.ErrNotFound) {
		t.Errorf("unknown app: %v", err)
	}
	stranger := c.newClient(t, api.ClientConfig{Token: "guessed"})
	if _, err := stranger.Exec(t.Context(), "web", 0, shell("")); !errors.Is(err, app.ErrUnauthorized) {
		t.Errorf("wrong token: %v", err)
	}
	if _, err := c.client.Exec(t.Context(), "web", 0, app.SessionRequest{Kind: "dance"}); !errors.Is(err, app.ErrInvalid) {
		t.Errorf("unknown kind: %v", err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM([]byte(c.ca))
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool, ServerName: api.ServerName}}}
	dial := func(header http.Header) (*websocket.Conn, *http.Response, error) {
		header.Set("Authorization", "Bearer "+testToken)
		return websocket.Dial(t.Context(), c.url+"/api/v1/apps/web/exec", &websocket.DialOptions{HTTPClient: client, HTTPHeader: header})
	}
	if _, resp, err := dial(http.Header{"Origin": {"https://evil.example"}}); err == nil || resp.StatusCode != http.StatusForbidden {
		t.Errorf("another site's page: %v %v", resp, err)
	}
	for name, m := range map[string]struct {
		kind websocket.MessageType
		text string
		says string
	}{
		"no request first": {websocket.MessageBinary, "\x00ls\n", "first frame"},
		"no JSON":          {websocket.MessageBinary, "\x03{", "JSON"},
		"unknown kind":     {websocket.MessageBinary, "\x03" + `{"kind":"dance"}`, "dance"},
		"too long":         {websocket.MessageBinary, "\x03" + strings.Repeat(" ", app.MaxSessionBytes+1), "at most"},
		"text":             {websocket.MessageText, "hello", "binary"},
		"nothing":          {websocket.MessageBinary, "", "without a channel"},
		"much too long":    {websocket.MessageBinary, strings.Repeat("x", app.MaxFrameTaken+2), ""},
	} {
		conn, _, err := dial(http.Header{})
		if err != nil {
			t.Fatal(err)
		}
		if err := conn.Write(t.Context(), m.kind, []byte(m.text)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		_, b, err := conn.Read(t.Context())
		if got := string(b); m.says == "" && err == nil || m.says != "" && (!strings.HasPrefix(got, "\x04") || !strings.Contains(got, m.says)) {
			t.Errorf("%s: %q %v", name, got, err)
		}
		_ = conn.CloseNow()
	}
}
