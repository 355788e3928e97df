package cells

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"sync"
	"testing"
	"time"

	"lattice/app"
)

// serve starts a real server and returns the lease of an instance that is it.
func serve(t *testing.T, h http.HandlerFunc) Lease {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	at := netip.MustParseAddrPort(s.Listener.Addr().String())
	return Lease{IP: at.Addr(), Ports: []app.PortPair{{Container: int(at.Port())}}}
}

func TestProbeHTTP(t *testing.T) {
	l := serve(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/slow":
			<-r.Context().Done()
		case "/moved":
			http.Redirect(w, r, "/gone", http.StatusFound)
		case "/gone":
			w.WriteHeader(http.StatusGone)
		case "/teapot":
			w.WriteHeader(http.StatusTeapot)
		}
	})
	port := l.Ports[0].Container
	p := newProber(nil)
	for _, c := range []struct {
		path, statuses, want string
	}{
		{"/", "", "<nil>"},
		{"/moved", "", "<nil>"}, // and not followed
		{"/moved", "200-299", fmt.Sprintf("GET /moved on port %d: answered 302, wanted 200-299", port)},
		{"/gone", "", fmt.Sprintf("GET /gone on port %d: answered 410, wanted 200-399", port)},
		{"/teapot", "200,418", "<nil>"},
		{"/slow", "", fmt.Sprintf("GET /slow on port %d: no answer in time", port)},
	} {
		check := app.Check{Type: app.CheckHTTP, Path: c.path, Statuses: c.statuses, Timeout: app.Duration(200 * time.Millisecond)}
		if got := fmt.Sprint(p.probe(t.Context(), check, l)); got != c.want {
			t.Errorf("GET %s: got %s, want %s", c.path, got, c.want)
		}
	}
}

func TestProbePort(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	at := netip.MustParseAddrPort(ln.Addr().String())
	l := Lease{IP: at.Addr(), Ports: []app.PortPair{{Container: int(at.Port())}}}
	p := newProber(nil)
	if err := p.probe(t.Context(), app.Check{Type: app.CheckPort}, l); err != nil {
		t.Errorf("somebody listens: %v", err)
	}
	ln.Close()
	want := fmt.Sprintf("port %d: connection refused", at.Port())
	if got := fmt.Sprint(p.probe(t.Context(), app.Check{Type: app.CheckPort}, l)); got != want {
		t.Errorf("nobody listens: got %s, want %s", got, want)
	}
	if err := p.probe(t.Context(), app.Check{Type: app.CheckNone}, l); err != nil {
		t.Errorf("no check: %v", err)
	}
}

// TestSlowProbesKeepNobodyWaiting lets more instances hang than may be probed at
// a time, and probes one that does not.
func TestSlowProbesKeepNobodyWaiting(t *testing.T) {
	hang := serve(t, func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
	good := serve(t, func(http.ResponseWriter, *http.Request) {})
	p := newProber(nil)
	check := app.Check{Type: app.CheckHTTP, Path: "/", Timeout: app.Duration(5 * time.Minute)}
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 2 * probesAtOnce {
		all.Go(func() { p.probe(ctx, check, hang) })
	}
	start := time.Now()
	for range 10 {
		if err := p.probe(t.Context(), check, good); err != nil {
			t.Fatal(err)
		}
	}
	if took := time.Since(start); took > 5*slowProbe {
		t.Errorf("ten probes beside %d that hang took %v", 2*probesAtOnce, took)
	}
	stop()
	all.Wait()
	if len(p.slots) != 0 {
		t.Errorf("%d places were not given back", len(p.slots))
	}
}
