package router_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/xml"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"github.com/summerwind/h2spec"
	h2config "github.com/summerwind/h2spec/config"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	testgrpc "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"

	"lattice/app"
	"lattice/internal/pki"
	"lattice/router"
	"lattice/router/certs"
)

// secureFront serves r over TLS with certificates of an own CA for lab, and
// returns its address and what to trust.
func secureFront(t testing.TB, r *router.Router) (addr, caFile string, roots *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	ca, err := pki.OpenAppsCA(dir, "lab")
	if err != nil {
		t.Fatal(err)
	}
	c, err := certs.New(certs.Config{Own: ca.Certificate})
	if err != nil {
		t.Fatal(err)
	}
	roots = x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM())
	caFile = filepath.Join(dir, "trust.pem")
	if err := os.WriteFile(caFile, ca.PEM(), 0o600); err != nil {
		t.Fatal(err)
	}
	return listening(t, func(ctx context.Context, ln net.Listener) error {
		return r.ServeTLS(ctx, ln, c.TLSConfig(), 5*time.Second)
	}), caFile, roots
}

// plainFront serves r and returns its address.
func plainFront(t testing.TB, r *router.Router) string {
	t.Helper()
	return listening(t, func(ctx context.Context, ln net.Listener) error { return r.Serve(ctx, ln, 5*time.Second) })
}

func listening(t testing.TB, serve func(context.Context, net.Listener) error) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- serve(ctx, ln) }()
	t.Cleanup(func() {
		stop()
		if err := <-ended; err != nil {
			t.Errorf("the router's end: %v", err)
		}
	})
	return ln.Addr().String()
}

// shell runs a program from Debian; where there is none the test is skipped.
func shell(t *testing.T, name string, args ...string) string {
	t.Helper()
	if _, err := exec.LookPath(name); err != nil {
		t.Skipf("%s is not installed: see TEST_PACKAGES", name)
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	out, err := exec.CommandContext(ctx, name, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

func newRouter(t testing.TB, table *router.Table) *router.Router {
	r := router.New(router.Options{})
	r.Swap(table)
	return r
}

func TestCurl(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		body, _ := io.ReadAll(req.Body)
		fmt.Fprintf(w, "%s %s %d", req.Header.Get("X-Forwarded-Proto"), req.Proto, len(body))
	})
	r := newRouter(t, hosting("web", addr(s)))
	plain := plainFront(t, r)
	secure, ca, _ := secureFront(t, r)
	big := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(big, bytes.Repeat([]byte("x"), 3<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		args, want string
	}{
		{"--http1.0 PLAIN", "http HTTP/1.1 0|1.1"}, // the answer's version is the server's
		{"--http1.1 PLAIN", "http HTTP/1.1 0|1.1"},
		{"--http2-prior-knowledge PLAIN", "http HTTP/1.1 0|2"},
		{"--http1.1 SECURE", "https HTTP/1.1 0|1.1"},
		{"--http2 SECURE", "https HTTP/1.1 0|2"},
		{"--http1.1 --data-binary @BIG SECURE", "https HTTP/1.1 3145728|1.1"},
		{"--http2 --data-binary @BIG SECURE", "https HTTP/1.1 3145728|2"},
		{"--http1.1 --expect100-timeout 60 -H Expect:100-continue --data-binary @BIG SECURE", "https HTTP/1.1 3145728|1.1"},
		{"--http1.1 -H Transfer-Encoding:chunked --data-binary @BIG SECURE", "https HTTP/1.1 3145728|1.1"},
		{"--http2-prior-knowledge --data-binary @BIG PLAIN", "http HTTP/1.1 3145728|2"},
	} {
		_, plainPort, _ := net.SplitHostPort(plain)
		_, securePort, _ := net.SplitHostPort(secure)
		line := strings.NewReplacer("PLAIN", "http://web.lab:"+plainPort+"/", "SECURE", "https://web.lab:"+securePort+"/", "BIG", big).Replace(tt.args)
		args := append([]string{"-sS", "--max-time", "50", "--cacert", ca, "--connect-to", "::127.0.0.1:", "-w", "|%{http_version}"}, strings.Fields(line)...)
		if got := shell(t, "curl", args...); got != tt.want {
			t.Errorf("curl %s: got %q, want %q", tt.args, got, tt.want)
		}
	}
}

// TestH2Spec runs the conformance suite for HTTP/2 against both listeners.
func TestH2Spec(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		io.Copy(io.Discard, req.Body)
		io.WriteString(w, "answer")
	})
	app := instances("web", addr(s))
	r := newRouter(t, router.Build(rename(app, "127.0.0.1"), "lab", nil))
	secure, _, _ := secureFront(t, r)
	for name, at := range map[string]string{"h2c": plainFront(t, r), "h2": secure} {
		t.Run(name, func(t *testing.T) {
			host, port, _ := net.SplitHostPort(at)
			cfg := &h2config.Config{
				Host: host, Path: "/", Timeout: 5 * time.Second, MaxHeaderLen: 4000, TLS: name == "h2", Insecure: true,
				JUnitReport: filepath.Join(t.TempDir(), "report.xml"),
			}
			fmt.Sscan(port, &cfg.Port)
			known := map[string]bool{ // net/http refuses these in its own way, and as safely
				"Sends multiple values of SETTINGS_INITIAL_WINDOW_SIZE":                                        true,          // it ends the connection
				"Sends a HEADERS frame that contains the connection-specific header field":                     true,          // it answers 400
				`Sends a HEADERS frame that contains the TE header field with any value other than "trailers"`: true,          // the same
				"Sends invalid connection preface":                                                             name == "h2c", // it may be HTTP/1, so it is answered with 400
			}
			if _, err := h2spec.Run(cfg); err != nil {
				t.Fatal(err)
			}
			passed, failed := outcome(t, cfg.JUnitReport)
			for _, f := range failed {
				if !known[f] {
					t.Errorf("failed: %s", f)
				}
			}
			if passed < 140 {
				t.Errorf("only %d tests have passed", passed)
			}
		})
	}
}

// outcome reads a report of h2spec.
func outcome(t *testing.T, file string) (passed int, failed []string) {
	t.Helper()
	var report struct {
		Suites []struct {
			Cases []struct {
				Name    string    `xml:"classname,attr"`
				Failure *struct{} `xml:"failure"`
				Error   *struct{} `xml:"error"`
				Skipped *struct{} `xml:"skipped"`
			} `xml:"testcase"`
		} `xml:"testsuite"`
	}
	text, err := os.ReadFile(file)
	if err == nil {
		err = xml.Unmarshal(text, &report)
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, s := range report.Suites {
		for _, c := range s.Cases {
			switch {
			case c.Failure != nil || c.Error != nil:
				failed = append(failed, c.Name)
			case c.Skipped == nil:
				passed++
			}
		}
	}
	return passed, failed
}

// rename gives an app one route with this host.
func rename(s app.Status, host string) []app.Status {
	s.App.Routes = []app.Route{{Host: host}}
	return []app.Status{s}
}

func TestH2Load(t *testing.T) {
	s := backend(t, "app", nil)
	r := newRouter(t, router.Build(rename(instances("web", addr(s)), "127.0.0.1"), "lab", nil))
	secure, _, _ := secureFront(t, r)
	out := shell(t, "h2load", "-n", "2000", "-c", "10", "-m", "20", "https://"+secure+"/")
	if !strings.Contains(out, "2000 succeeded, 0 failed, 0 errored, 0 timeout") || !strings.Contains(out, "Application protocol: h2") {
		t.Errorf("h2load:\n%s", out)
	}
}

// echoService answers what it is sent, with metadata and status as it is told.
type echoService struct {
	testgrpc.UnimplementedTestServiceServer
	canceled chan struct{}
}

func (echoService) UnaryCall(ctx context.Context, in *testgrpc.SimpleRequest) (*testgrpc.SimpleResponse, error) {
	md, _ := metadata.FromIncomingContext(ctx)
	if err := grpc.SetHeader(ctx, metadata.Pairs("head", strings.Join(md["ask"], ""))); err != nil {
		return nil, err
	}
	if err := grpc.SetTrailer(ctx, metadata.Pairs("tail-bin", strings.Join(md["ask"], ""))); err != nil {
		return nil, err
	}
	if st := in.ResponseStatus; st != nil {
		return nil, status.Error(codes.Code(st.Code), st.Message)
	}
	return &testgrpc.SimpleResponse{Payload: in.Payload}, nil
}

func (e echoService) FullDuplexCall(stream testgrpc.TestService_FullDuplexCallServer) error {
	for {
		in, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err == nil {
			err = stream.Send(&testgrpc.StreamingOutputCallResponse{Payload: in.Payload})
		}
		if err != nil {
			if stream.Context().Err() != nil {
				close(e.canceled)
			}
			return err
		}
	}
}

func TestGRPC(t *testing.T) {
	for _, options := range []string{"", "protocol=h2c"} { // by what it is, and because it is told
		for _, https := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s,https=%v", options, https), func(t *testing.T) { callGRPC(t, options, https) })
		}
	}
}

func callGRPC(t *testing.T, options string, https bool) {
	service := echoService{canceled: make(chan struct{})}
	srv := grpc.NewServer()
	testgrpc.RegisterTestServiceServer(srv, service)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go srv.Serve(ln)
	t.Cleanup(srv.Stop)
	table := hosting("web", ln.Addr().String())
	if options != "" {
		table = withOptions(t, options, ln.Addr().String())
	}
	r := newRouter(t, table)
	at, _, roots := secureFront(t, r)
	creds := credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: "web.lab"})
	if !https {
		at, creds = plainFront(t, r), insecure.NewCredentials()
	}
	conn, err := grpc.NewClient("passthrough:///"+at, grpc.WithTransportCredentials(creds), grpc.WithAuthority("web.lab"))
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	c := testgrpc.NewTestServiceClient(conn)
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()

	large := &testgrpc.Payload{Body: bytes.Repeat([]byte("x"), 1<<20)}
	var head, tail metadata.MD
	res, err := c.UnaryCall(metadata.AppendToOutgoingContext(ctx, "ask", "this"), &testgrpc.SimpleRequest{Payload: large}, grpc.Header(&head), grpc.Trailer(&tail))
	if err != nil || len(res.Payload.Body) != 1<<20 || strings.Join(head["head"], "") != "this" || strings.Join(tail["tail-bin"], "") != "this" {
		t.Errorf("a call: %v, head %v, trailer %v", err, head, tail)
	}
	_, err = c.UnaryCall(ctx, &testgrpc.SimpleRequest{ResponseStatus: &testgrpc.EchoStatus{Code: int32(codes.DataLoss), Message: "läst, \n and %"}})
	if status.Code(err) != codes.DataLoss || status.Convert(err).Message() != "läst, \n and %" {
		t.Errorf("a failing call: %v", err)
	}
	if _, err := c.EmptyCall(ctx, &testgrpc.Empty{}); status.Code(err) != codes.Unimplemented {
		t.Errorf("a method that isn't there: %v", err)
	}

	streamCtx, leave := context.WithCancel(ctx)
	stream, err := c.FullDuplexCall(streamCtx)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 20 { // each message waits for the answer to the one before
		if err := stream.Send(&testgrpc.StreamingOutputCallRequest{Payload: &testgrpc.Payload{Body: []byte{byte(i)}}}); err != nil {
			t.Fatal(err)
		}
		if out, err := stream.Recv(); err != nil || out.Payload.Body[0] != byte(i) {
			t.Fatalf("message %d: %v", i, err)
		}
	}
	leave()
	select {
	case <-service.canceled:
	case <-ctx.Done():
		t.Error("the app was not told that the client is gone")
	}
	srv.Stop()
	if _, err := c.UnaryCall(ctx, &testgrpc.SimpleRequest{}); status.Code(err) != codes.Unavailable {
		t.Errorf("the app is gone: got %v, want Unavailable", err)
	}
}

func TestH2CToTheApp(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		w.Header().Set("Trailer", "X-Sum")
		io.Copy(w, req.Body)
		io.WriteString(w, req.Proto)
		w.Header().Set("X-Sum", "7")
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetHTTP1(true)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	t.Cleanup(func() { s.CloseClientConnections(); s.Close() })
	for options, want := range map[string]string{"protocol=h2c": "HTTP/2.0", "protocol=http1": "HTTP/1.1", "protocol=auto": "HTTP/1.1"} {
		_, client := routing(t, withOptions(t, options, addr(s)))
		for range 2 {
			res, err := client.Post("http://web.lab/", "text/plain", strings.NewReader("body "))
			if err != nil {
				t.Fatal(err)
			}
			body, err := io.ReadAll(res.Body)
			res.Body.Close()
			if err != nil || string(body) != "body "+want || res.Trailer.Get("X-Sum") != "7" {
				t.Errorf("%s: got %q with trailer %v, %v", options, body, res.Trailer, err)
			}
		}
	}
}

func TestWebSocket(t *testing.T) {
	s := backend(t, "", func(w http.ResponseWriter, req *http.Request) {
		c, err := websocket.Accept(w, req, nil)
		if err != nil {
			return
		}
		defer c.CloseNow()
		for {
			kind, text, err := c.Read(req.Context())
			if err != nil || c.Write(req.Context(), kind, text) != nil {
				return
			}
		}
	})
	for _, table := range []*router.Table{hosting("web", addr(s)), withOptions(t, "protocol=h2c", addr(s)), withOptions(t, "idle-timeout=1h", addr(s))} {
		r := newRouter(t, table)
		secure, _, roots := secureFront(t, r)
		for at, url := range map[string]string{plainFront(t, r): "ws://web.lab/", secure: "wss://web.lab/"} {
			ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
			defer cancel()
			tr := &http.Transport{
				DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
					return new(net.Dialer).DialContext(ctx, network, at)
				},
				TLSClientConfig: &tls.Config{RootCAs: roots},
			}
			c, _, err := websocket.Dial(ctx, url, &websocket.DialOptions{HTTPClient: &http.Client{Transport: tr}})
			if err != nil {
				t.Fatalf("%s: %v", url, err)
			}
			for _, text := range []string{"hello", strings.Repeat("long", 5000)} {
				if err := c.Write(ctx, websocket.MessageText, []byte(text)); err != nil {
					t.Fatal(err)
				}
				if _, got, err := c.Read(ctx); err != nil || string(got) != text {
					t.Errorf("%s: got %.20q, %v", url, got, err)
				}
			}
			if err := c.Close(websocket.StatusNormalClosure, ""); err != nil {
				t.Errorf("%s: close: %v", url, err)
			}
		}
	}
}
