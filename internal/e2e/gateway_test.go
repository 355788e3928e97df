package e2e

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// ask gets a URL from a router elsewhere and returns status and body.
func (h *host) ask(addr, url string, roots *x509.CertPool) (int, string, error) {
	client := http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{DisableKeepAlives: true, TLSClientConfig: &tls.Config{RootCAs: roots},
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			_, port, _ := net.SplitHostPort(to)
			return h.dial(ctx, network, net.JoinHostPort(addr, port))
		}}}
	resp, err := client.Get(url)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// again asks on a connection that is open already.
func again(conn net.Conn, path string) error {
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		return err
	}
	if _, err := fmt.Fprintf(conn, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", path); err != nil {
		return err
	}
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		return err
	}
	_, err = io.Copy(io.Discard, resp.Body)
	return err
}

// TestRouterOnACell leads requests through a cell: while all is well, while
// instances come and go, and while the brain is away, over a restart of the cell.
func TestRouterOnACell(t *testing.T) {
	l := newLab(t, "brain", "c1", "c2")
	brain, c1, c2 := l.host("brain"), l.host("c1"), l.host("c2")
	serve := []string{"brain", "--metrics", ":9100", "--certificate-life", "2h"}
	first := brain.start(serve...)
	brain.waitReady(first)
	token := strings.TrimSpace(brain.ltc("token"))
	join := []string{"--join", brain.addr, "--token", token}
	gate := c1.start(append([]string{"cell", "--router", "--metrics", ":9101"}, join...)...)
	c1.waitReady(gate)
	c2.waitReady(c2.start(append([]string{"cell"}, join...)...))
	brain.ltc("create", "hello", "lattice/hello", "-i", "3", "-e", "COLOUR=blue", "-T", "7100", "-R", "hello", "-R", "deep.hello."+domain)

	const host = "hello." + domain
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(brain.ltc("ca"))) {
		t.Fatal("ltc ca printed no certificate")
	}
	reach := func(what string) {
		t.Helper()
		for _, url := range []string{"http://" + host + "/index", "https://" + host + "/index", "https://deep.hello." + domain + "/index", "http://" + host + ":7100/index"} {
			eventually(t, time.Minute, what+": "+url, func() string {
				if code, body, err := brain.ask(c1.addr, url, roots); err != nil || code != 200 {
					return fmt.Sprint(code, " ", err, " ", body)
				}
				return ""
			})
		}
	}
	reach("through the cell")

	changesThrough(t, brain, c1)
	keepsConnection(t, brain, c1)
	seenFromTheBrain(t, brain, c1)

	load := brain.loadOn(c1.addr, true)
	first.kill()
	time.Sleep(2 * time.Second) // some requests without it
	load.end(t, "the brain is gone")
	gate.kill()
	c1.start("cell", "--router", "--metrics", ":9101")
	reach("after a restart of the cell without the brain")
	dir := filepath.Join(c1.data(), "cell", "router")
	for _, f := range []string{"table.json", "certificate.json"} {
		if info, err := os.Stat(filepath.Join(dir, f)); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v %v, want it for its owner only", f, info, err)
		}
	}
	if b, err := os.ReadFile(filepath.Join(dir, "table.json")); err != nil || strings.Contains(string(b), "COLOUR") {
		t.Errorf("the table has an environment in it, or can't be read: %v", err)
	}
	for range 6 { // most instances of the cell end, and have another address afterwards
		code, _, err := brain.ask(c1.addr, "http://"+host+"/exit", nil)
		t.Logf("exit: %d %v", code, err) // there may be none for a moment
		time.Sleep(200 * time.Millisecond)
	}
	reach("after instances ended without the brain")

	load = brain.loadOn(c1.addr, true)
	brain.waitReady(brain.start(serve...))
	brain.running("hello", 4, anywhere)
	brain.ltc("update", "hello", "-e", "COLOUR=red")
	load.end(t, "the brain comes back and updates")
}

// changesThrough changes an app in every way while requests come through a cell.
func changesThrough(t *testing.T, brain, gate *host) {
	for _, step := range [][]string{
		{"scale", "hello", "1"}, {"scale", "hello", "3"}, {"update", "hello", "-e", "COLOUR=green"}, {"restart", "hello"},
		{"cell", "drain", "c2"}, {"cell", "undrain", "c2"}, {"scale", "hello", "4"},
	} {
		fresh, kept := brain.loadOn(gate.addr, true), brain.loadOn(gate.addr, false)
		start := time.Now()
		brain.ltc(step...)
		what := fmt.Sprintf("%s (%v)", strings.Join(step, " "), time.Since(start).Round(time.Millisecond))
		fresh.end(t, what)
		kept.end(t, what+", connections kept")
	}
}

// keepsConnection restarts an app to one of whose instances there is a
// connection through the cell only.
func keepsConnection(t *testing.T, brain, gate *host) {
	conn, err := brain.dial(context.Background(), "tcp", gate.addr+":7100")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := again(conn, "/index"); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		code, out, errs := brain.lattice("restart", "hello")
		if code != 0 {
			done <- fmt.Errorf("restart: exit code %d\n%s%s", code, out, errs)
		}
		close(done)
	}()
	eventually(t, time.Minute, "an instance waits for the connection", func() string {
		for _, in := range brain.status("hello").Instances {
			if in.Draining {
				return ""
			}
		}
		return "none drains"
	})
	for range 10 { // well beyond what routers get to take an instance out
		if err := again(conn, "/index"); err != nil {
			t.Fatalf("the connection broke: %v", err)
		}
		time.Sleep(100 * time.Millisecond)
	}
	conn.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// seenFromTheBrain looks for what went through the cell in metrics, routes and
// logs of the brain.
func seenFromTheBrain(t *testing.T, brain, gate *host) {
	eventually(t, time.Minute, "the brain's metrics have the cell's", func() string {
		_, text, err := brain.ask(brain.addr, "http://x:9100/metrics", nil)
		for _, want := range []string{`lattice_router_requests_total{app="hello",code="2xx",router="c1"} `, `lattice_router_tcp_connections_total{app="hello",port="7100",router="c1"} `} {
			if err != nil || !strings.Contains(text, want) {
				return fmt.Sprintf("%v, no %s in\n%s", err, want, text)
			}
		}
		return ""
	})
	if _, text, err := brain.ask(gate.addr, "http://x:9101/metrics", nil); err != nil || !strings.Contains(text, `lattice_router_requests_total{app="hello",code="2xx"} `) {
		t.Errorf("the cell's own metrics: %v\n%s", err, text)
	}
	eventually(t, time.Minute, "the app's log has the requests", func() string {
		lines := brain.ltc("logs", "hello", "--no-follow", "-n", "5000")
		if strings.Count(lines, "RTR") < 10 || !strings.Contains(lines, `"TCP :7100"`) {
			return fmt.Sprintf("%d lines of RTR", strings.Count(lines, "RTR"))
		}
		return ""
	})
	conn, err := brain.dial(context.Background(), "tcp", gate.addr+":7100")
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := again(conn, "/index"); err != nil {
		t.Fatal(err)
	}
	eventually(t, time.Minute, "ltc routes has the connection", func() string {
		out := brain.ltc("routes", "hello")
		for line := range strings.Lines(out) {
			if strings.Contains(line, "tcp :7100") && strings.Contains(line, "1 open") {
				return ""
			}
		}
		return out
	})
	var cells []app.Cell
	if err := json.Unmarshal([]byte(brain.ltc("cells", "-o", "json")), &cells); err != nil {
		t.Fatal(err)
	}
	for _, c := range cells {
		if c.Router != (c.ID == "c1") {
			t.Errorf("cell %s is said to be a router: %t", c.ID, c.Router)
		}
	}
}
