package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"lattice/api"
	"lattice/app"
)

// lattice is `lattice up`, driven through its API as ltc drives it.
type lattice struct {
	*host
	proc   *exec.Cmd
	client *api.Client
	router *http.Client
}

func (l *lattice) up() (err error) {
	if l.proc, err = l.background("lattice.log", "bin/lattice", "up"); err != nil {
		return err
	}
	if err := waitFor(filepath.Join(l.dir, "lattice.log"), "is ready"); err != nil {
		return err
	}
	if err := l.proxy(); err != nil {
		return err
	}
	l.router = l.host.client("127.0.0.1:80")
	_, err = l.start(-1) // unpacks the image
	return err
}

// proxy makes a client. Its connections come from outside the namespace
// through a relay, since the API's client dials by itself.
func (l *lattice) proxy() error {
	var file struct {
		Targets map[string]struct{ URL, Token, CA string }
	}
	b, err := os.ReadFile(filepath.Join(l.dir, "home", ".lattice", "config.json"))
	if err == nil {
		err = json.Unmarshal(b, &file)
	}
	if err != nil {
		return err
	}
	t := file.Targets["default"]
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	go l.relay(ln, strings.TrimPrefix(t.URL, "https://"))
	l.client, err = api.NewClient(api.ClientConfig{URL: "https://" + ln.Addr().String(), Token: t.Token, CA: t.CA})
	return err
}

func (l *lattice) relay(ln net.Listener, to string) {
	for {
		in, err := ln.Accept()
		if err != nil {
			return // the process ends
		}
		out, err := l.dial(context.Background(), "tcp", to)
		if err != nil {
			in.Close()
			continue
		}
		go func() { in.(*net.TCPConn).ReadFrom(out); in.Close() }()
		go func() { out.(*net.TCPConn).ReadFrom(in); out.Close() }()
	}
}

func (l *lattice) start(i int) (time.Duration, error) {
	ctx := context.Background()
	name := fmt.Sprintf("bench%d", i+1)
	began := time.Now()
	if _, err := l.client.CreateApp(ctx, app.App{Name: name, Image: "lattice/hello", Instances: 1, MemoryMB: 64}); err != nil {
		return 0, err
	}
	err := until200(l.router, "http://"+name+".lattice.localhost/index")
	took := time.Since(began)
	return took, errors.Join(err, l.remove(name))
}

func (l *lattice) remove(name string) error {
	ctx := context.Background()
	if err := l.client.RemoveApp(ctx, name, false); err != nil {
		return err
	}
	for {
		if _, err := l.client.App(ctx, name); errors.Is(err, app.ErrNotFound) {
			return nil
		} else if err != nil {
			return err
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// settled is how long a process may take to give back what a burst took.
const settled = 12 * time.Second

// idle returns the resident memory of the process in MB.
func (l *lattice) idle() (float64, error) {
	time.Sleep(settled)
	return memory(l.pid(), "Rss:")
}

// pid is the process itself: nsenter has become it.
func (l *lattice) pid() int { return l.proc.Process.Pid }

// perContainer returns what each of n instances adds: the proportional set
// size of its shim and logger, and the growth of our own resident set.
func (l *lattice) perContainer(n int) (float64, error) {
	before, err := memory(l.pid(), "Rss:")
	if err != nil {
		return 0, err
	}
	ctx := context.Background()
	if _, err := l.client.CreateApp(ctx, app.App{Name: "many", Image: "lattice/hello", Instances: n, MemoryMB: 64}); err != nil {
		return 0, err
	}
	for running := 0; running < n; time.Sleep(50 * time.Millisecond) {
		st, err := l.client.App(ctx, "many")
		if err != nil {
			return 0, err
		}
		running = 0
		for _, in := range st.Instances {
			if in.State == app.Running {
				running++
			}
		}
	}
	time.Sleep(settled)
	after, err := memory(l.pid(), "Rss:")
	if err != nil {
		return 0, err
	}
	helpers, err := l.helpers()
	return (max(0, after-before) + helpers) / float64(n), errors.Join(err, l.remove("many"))
}

// helpers adds up the shims and loggers of this installation.
func (l *lattice) helpers() (sum float64, err error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		b, _ := os.ReadFile(f)
		if s := string(b); strings.Contains(s, l.dir) && (strings.Contains(s, "shim-runc-v2") || strings.Contains(s, "lattice-logger")) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(f)))
			mb, err := memory(pid, "Pss:")
			if err != nil {
				return 0, err
			}
			sum += mb
		}
	}
	return sum, err
}

func (l *lattice) down() {
	if err := l.run("bin/lattice", "down", "--delete-data"); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
	l.proc.Wait()
}

// memory returns a figure of /proc/PID/smaps_rollup in MB.
func memory(pid int, field string) (float64, error) {
	f, err := os.Open(fmt.Sprintf("/proc/%d/smaps_rollup", pid))
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		if fields := strings.Fields(lines.Text()); len(fields) == 3 && fields[0] == field {
			kb, err := strconv.ParseFloat(fields[1], 64)
			return kb / 1024, err
		}
	}
	return 0, fmt.Errorf("no %s in smaps_rollup of %d", field, pid)
}

// waitFor waits until the file contains text.
func waitFor(path, text string) error {
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), text) {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("not ready within 30 s: %s", b), err)
		}
	}
}

// ctr is a containerd of its own with its command line.
type ctr struct {
	*host
	proc *exec.Cmd
}

const (
	ctrImage          = "docker.io/lattice/hello:latest"
	containerdVersion = "v2.4.2" // the one in go.mod
)

func (c *ctr) bin(name string) string { return filepath.Join(c.dir, "bin", name) }
func (c *ctr) socket() string         { return filepath.Join(c.dir, "containerd.sock") }

func (c *ctr) up() (err error) {
	// go install builds them with containerd's own go.mod, not with ours.
	install := exec.Command("go", "install", "github.com/containerd/containerd/v2/cmd/containerd@"+containerdVersion, "github.com/containerd/containerd/v2/cmd/ctr@"+containerdVersion)
	install.Env = append(os.Environ(), "CGO_ENABLED=0", "GOBIN="+filepath.Join(c.dir, "bin"))
	if out, err := install.CombinedOutput(); err != nil {
		return fmt.Errorf("build containerd and ctr: %w: %s", err, out)
	}
	archive := filepath.Join(c.dir, "hello.tar")
	if err := command("go", "run", "./examples/hello/image", "-o", archive); err != nil {
		return err
	}
	helpers, err := filepath.Glob(filepath.Join(c.dir, "data", "cell", "bin", "*", "runc"))
	if err != nil || len(helpers) != 1 {
		return fmt.Errorf("lattice's runc and shim: found %v %w", helpers, err)
	}
	config := filepath.Join(c.dir, "containerd.toml")
	text := fmt.Sprintf("version = 3\nroot = %q\nstate = %q\n[grpc]\naddress = %q\n", filepath.Join(c.dir, "ctr-root"), filepath.Join(c.dir, "ctr-state"), c.socket())
	if err := os.WriteFile(config, []byte(text), 0o600); err != nil {
		return err
	}
	os.Setenv("PATH", filepath.Dir(helpers[0])+":"+os.Getenv("PATH"))
	if c.proc, err = c.background("containerd.log", c.bin("containerd"), "-c", config); err != nil {
		return err
	}
	if err := waitFor(filepath.Join(c.dir, "containerd.log"), "containerd successfully booted"); err != nil {
		return err
	}
	return c.ctr("images", "import", archive)
}

func (c *ctr) ctr(args ...string) error {
	return c.run(c.bin("ctr"), append([]string{"-a", c.socket()}, args...)...)
}

func (c *ctr) start(i int) (time.Duration, error) {
	port := strconv.Itoa(20000 + i)
	name := "bench" + port
	began := time.Now()
	if err := c.ctr("run", "-d", "--net-host", "--env", "PORT="+port, ctrImage, name); err != nil {
		return 0, err
	}
	client := c.client("127.0.0.1:" + port)
	err := until200(client, "http://ctr/index")
	took := time.Since(began)
	client.CloseIdleConnections()
	return took, errors.Join(err, c.ctr("task", "kill", "-s", "SIGKILL", name), c.remove(name))
}

func (c *ctr) remove(name string) (err error) {
	for range 100 {
		if err = c.ctr("task", "rm", name); err == nil {
			return c.ctr("containers", "rm", name)
		}
		time.Sleep(10 * time.Millisecond)
	}
	return err
}

func (c *ctr) down() {
	c.proc.Process.Signal(os.Interrupt)
	c.proc.Wait()
}
