package e2e

import (
	"context"
	"io"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// TestTCPRoute runs a real Redis behind a TCP route, on a cell that is not the
// brain's, and an echo whose connections are closed by halves.
func TestTCPRoute(t *testing.T) {
	l := newLab(t, "brain", "c1")
	h, c1 := l.host("brain"), l.host("c1")
	h.registry()
	h.pushImage("10.99.0.1:5000/redis:7", redisImage(t))
	h.pushImage("10.99.0.1:5000/box:1", boxImage(t))
	h.up("--memory-mb", "64")
	c1.waitReady(c1.start("cell", "--join", h.addr, "--token", strings.TrimSpace(h.ltc("token"))))
	h.ltc("registry", "add", "10.99.0.1:5000", "--plain-http")

	h.ltc("create", "redis", "10.99.0.1:5000/redis:7", "--no-routes", "-T", "6379")
	if got := perCell(h.status("redis")); got["c1"] != 1 {
		t.Errorf("instances by cell: %v, want one on c1", got)
	}
	if got := h.redis("6379", "set", "colour", "blue"); got != "OK" {
		t.Fatalf("set: %s", got)
	}
	if got := h.redis("6379", "get", "colour"); got != "blue" {
		t.Errorf("get: %s", got)
	}
	if code, _, errs := h.lattice("create", "other", "10.99.0.1:5000/redis:7", "-T", "6379"); code == 0 || !strings.Contains(errs, `port 6379 is that of a TCP route of app "redis"`) {
		t.Errorf("the same port again: exit code %d\n%s", code, errs)
	}

	before := h.status("redis").Instances[0].GUID
	_ = h.redis("6379", "shutdown", "nosave") // the answer is the end of the connection
	h.waitFor(time.Minute, "redis", "runs again", func(in app.Instance) bool { return in.State == app.Running && in.GUID != before })
	eventually(t, time.Minute, "redis answers at the same port", func() string {
		if got := h.redis("6379", "ping"); got != "PONG" {
			return got
		}
		return ""
	})

	// cat answers when the client has said all and goes on to listen.
	h.ltc("create", "echo", "10.99.0.1:5000/box:1", "-m", "32", "--no-routes", "--no-monitor", "-p", "7000", "-T", "auto", "--",
		"sh", "-c", "while :; do nc -l -p 7000 -e cat; done")
	st := h.status("echo")
	port := st.App.TCPRoutes[0].External
	if port < 20000 || port > 20999 {
		t.Errorf("the automatic port is %d", port)
	}
	text := strings.Repeat("0123456789abcdef", 1<<14)
	eventually(t, time.Minute, "all comes back after half of the connection is closed", func() string {
		conn, err := h.dial(context.Background(), "tcp", net.JoinHostPort(h.addr, strconv.Itoa(port)))
		if err != nil {
			return err.Error()
		}
		defer conn.Close()
		_ = conn.SetDeadline(time.Now().Add(20 * time.Second))
		go func() {
			_, _ = io.WriteString(conn, text)
			_ = conn.(*net.TCPConn).CloseWrite()
		}()
		b, err := io.ReadAll(conn)
		if err != nil || string(b) != text {
			return "not all came back: " + errString(err)
		}
		return ""
	})
	h.ltc("remove", "redis", "echo")
}
