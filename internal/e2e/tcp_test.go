package e2e

import (
	"archive/tar"
	"bytes"
	"context"
	"io"
	"net"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	v1 "github.com/google/go-containerregistry/pkg/v1"
	"github.com/google/go-containerregistry/pkg/v1/empty"
	"github.com/google/go-containerregistry/pkg/v1/mutate"
	"github.com/google/go-containerregistry/pkg/v1/tarball"

	"lattice/app"
)

// redisImage is Debian's redis-server with the libraries that it needs.
func redisImage(t *testing.T) v1.Image {
	t.Helper()
	libs, err := exec.Command("ldd", "/usr/bin/redis-server").Output()
	if err != nil {
		t.Fatalf("the libraries of redis-server (a Debian package): %v", err)
	}
	files := append([]string{"/usr/bin/redis-server"}, regexp.MustCompile(`/\S+\.so\S*`).FindAllString(string(libs), -1)...)
	var b bytes.Buffer
	w := tar.NewWriter(&b)
	for _, f := range files {
		data, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		h := tar.Header{Name: strings.TrimPrefix(f, "/"), Typeflag: tar.TypeReg, Mode: 0o755, Size: int64(len(data))}
		if err := w.WriteHeader(&h); err != nil {
			t.Fatal(err)
		}
		if _, err := w.Write(data); err != nil {
			t.Fatal(err)
		}
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	layer, err := tarball.LayerFromOpener(func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b.Bytes())), nil })
	if err != nil {
		t.Fatal(err)
	}
	img, err := mutate.AppendLayers(empty.Image, layer)
	if err != nil {
		t.Fatal(err)
	}
	cfg, err := img.ConfigFile()
	if err != nil {
		t.Fatal(err)
	}
	cfg = cfg.DeepCopy()
	cfg.OS, cfg.Architecture = "linux", "amd64"
	cfg.Config = v1.Config{
		ExposedPorts: map[string]struct{}{"6379/tcp": {}},
		Cmd:          []string{"/usr/bin/redis-server", "--protected-mode", "no", "--save", "", "--dir", "/"},
	}
	if img, err = mutate.ConfigFile(img, cfg); err != nil {
		t.Fatal(err)
	}
	return img
}

// redis runs redis-cli against a port of the host and returns what it printed.
func (h *host) redis(port string, args ...string) string {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	cmd := h.command("redis-cli", append([]string{"-h", h.addr, "-p", port}, args...)...)
	kill := context.AfterFunc(ctx, func() {
		if cmd.Process != nil {
			_ = cmd.Process.Kill()
		}
	})
	defer kill()
	out, err := cmd.CombinedOutput()
	if err != nil {
		return err.Error() + " " + string(out)
	}
	return strings.TrimSpace(string(out))
}

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
