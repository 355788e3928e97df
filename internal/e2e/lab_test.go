// Package e2e drives the built binary as a user would: real processes, real
// containers, one network namespace for each host.
package e2e

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"lattice/app"
)

// binary is what the tests run, unless $LATTICE_E2E_BINARY names another;
// `make build` makes it.
const binary = "../../bin/lattice"

// A lab is a few hosts on one switch. Everything it made is gone when the test ends.
type lab struct {
	t      *testing.T
	id     string // in the names of namespaces and links
	dir    string
	binary string
	hosts  []*host
}

// A host is a network namespace with an address, a data folder and a client's home.
type host struct {
	*lab
	name, ns, addr string
	procs          []*proc
}

// newLab makes a lab with the named hosts.
func newLab(t *testing.T, names ...string) *lab {
	t.Helper()
	if os.Getuid() != 0 {
		t.Fatal("the end-to-end tests run real containers and need root")
	}
	bin, err := filepath.Abs(cmp.Or(os.Getenv("LATTICE_E2E_BINARY"), binary))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(bin); err != nil {
		t.Fatalf("%v: run `make build` first", err)
	}
	dir, err := os.MkdirTemp("", "lattice-e2e-")
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{t: t, id: filepath.Base(dir)[len("lattice-e2e-"):], dir: dir, binary: bin}
	if len(l.id) > 8 {
		l.id = l.id[len(l.id)-8:]
	}
	t.Cleanup(l.tearDown)
	l.run("ip", "netns", "add", l.switchNS())
	l.run("ip", "-n", l.switchNS(), "link", "add", "sw", "type", "bridge")
	l.run("ip", "-n", l.switchNS(), "link", "set", "sw", "up")
	for i, name := range names {
		l.addHost(name, fmt.Sprintf("10.99.0.%d", i+1))
	}
	return l
}

func (l *lab) switchNS() string { return "lat" + l.id + "-sw" }

func (l *lab) addHost(name, addr string) {
	h := &host{lab: l, name: name, ns: "lat" + l.id + "-" + name, addr: addr}
	l.hosts = append(l.hosts, h)
	port := fmt.Sprintf("p%d", len(l.hosts))
	l.run("ip", "netns", "add", h.ns)
	l.run("ip", "-n", h.ns, "link", "add", "eth0", "type", "veth", "peer", "name", port, "netns", l.switchNS())
	l.run("ip", "-n", l.switchNS(), "link", "set", port, "master", "sw", "up")
	l.run("ip", "-n", h.ns, "addr", "add", addr+"/24", "dev", "eth0")
	l.run("ip", "-n", h.ns, "link", "set", "lo", "up")
	l.run("ip", "-n", h.ns, "link", "set", "eth0", "up")
	l.run("ip", "-n", h.ns, "route", "add", "default", "via", "10.99.0.254")
	for _, d := range []string{h.data(), h.home()} {
		if err := os.MkdirAll(d, 0o700); err != nil {
			l.t.Fatal(err)
		}
	}
}

func (l *lab) host(name string) *host {
	for _, h := range l.hosts {
		if h.name == name {
			return h
		}
	}
	l.t.Fatalf("no host %q", name)
	return nil
}

// run runs a command that must succeed and returns what it printed.
func (l *lab) run(name string, args ...string) string {
	l.t.Helper()
	out, err := exec.Command(name, args...).CombinedOutput()
	if err != nil {
		l.t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// tearDown stops everything, shows logs when the test failed, and fails the
// test when something is left behind.
func (l *lab) tearDown() {
	for _, h := range l.hosts {
		for _, p := range h.procs {
			p.kill()
		}
		if l.t.Failed() {
			h.showLogs()
		}
		if code, _, stderr := h.lattice("down", "--delete-data"); code != 0 {
			l.t.Errorf("%s: lattice down: exit code %d\n%s", h.name, code, stderr)
		}
	}
	for _, left := range l.leftovers() {
		l.t.Errorf("left behind: %s", left)
	}
	for _, h := range l.hosts {
		l.dropNS(h.ns)
	}
	l.dropNS(l.switchNS())
	if err := os.RemoveAll(l.dir); err != nil {
		l.t.Errorf("remove the lab's folder: %v", err)
	}
}

func (l *lab) dropNS(ns string) {
	if out, err := exec.Command("ip", "netns", "del", ns).CombinedOutput(); err != nil {
		l.t.Errorf("ip netns del %s: %v %s", ns, err, out)
	}
}

// leftovers lists mounts, processes, control groups, links and nft tables that
// the hosts should not have any more.
func (l *lab) leftovers() []string {
	var left []string
	mounts, _ := os.ReadFile("/proc/self/mountinfo")
	for line := range strings.Lines(string(mounts)) {
		if strings.Contains(line, l.dir) {
			left = append(left, "mount "+strings.TrimSpace(line))
		}
	}
	cmdlines, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range cmdlines {
		if b, _ := os.ReadFile(f); bytes.Contains(b, []byte(l.dir)) {
			left = append(left, "process "+filepath.Base(filepath.Dir(f))+" "+strings.ReplaceAll(string(b), "\x00", " "))
		}
	}
	for _, h := range l.hosts {
		for line := range strings.Lines(l.run("ip", "-n", h.ns, "-o", "link")) {
			if !strings.Contains(line, " lo:") && !strings.Contains(line, " eth0@") {
				left = append(left, h.name+" link "+strings.TrimSpace(line))
			}
		}
		if tables := h.nft("list", "tables"); strings.Contains(tables, "lattice") {
			left = append(left, h.name+" nft "+tables)
		}
	}
	return left
}

func (h *host) data() string { return filepath.Join(h.dir, h.name) }
func (h *host) home() string { return filepath.Join(h.dir, h.name+"-home") }

// command returns a command that runs in the host's network.
func (h *host) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--net=/run/netns/" + h.ns, name}, args...)...)
	cmd.Env = append(os.Environ(), "LATTICE_DATA_DIR="+h.data(), "LATTICE_CLI_HOME="+h.home(), "LATTICE_CELL_ID="+h.name, "NO_COLOR=1")
	return cmd
}

func (h *host) nft(args ...string) string {
	out, err := h.command("nft", args...).CombinedOutput()
	if err != nil {
		h.t.Errorf("%s: nft %s: %v %s", h.name, strings.Join(args, " "), err, out)
	}
	return string(out)
}

// lattice runs the binary to its end.
func (h *host) lattice(args ...string) (code int, stdout, stderr string) {
	var out, errs bytes.Buffer
	cmd := h.command(h.binary, args...)
	cmd.Stdout, cmd.Stderr = &out, &errs
	timer := time.AfterFunc(3*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		h.t.Fatalf("run lattice: %v", err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

// ltc runs a client command that must succeed and returns its standard output.
func (h *host) ltc(args ...string) string {
	h.t.Helper()
	code, out, errs := h.lattice(args...)
	if code != 0 {
		h.t.Fatalf("ltc %s: exit code %d\n%s%s", strings.Join(args, " "), code, out, errs)
	}
	return out
}

// status returns what `ltc status APP -o json` shows.
func (h *host) status(name string) app.Status {
	h.t.Helper()
	var st app.Status
	if err := json.Unmarshal([]byte(h.ltc("status", name, "-o", "json")), &st); err != nil {
		h.t.Fatalf("status of %s: %v", name, err)
	}
	return st
}

// A proc is a lattice process in the background.
type proc struct {
	cmd  *exec.Cmd
	log  string // path
	once sync.Once
}

// start runs the binary in the background; its log goes to a file.
func (h *host) start(args ...string) *proc {
	h.t.Helper()
	p := &proc{cmd: h.command(h.binary, args...), log: filepath.Join(h.dir, fmt.Sprintf("%s-%d.log", h.name, len(h.procs)))}
	f, err := os.Create(p.log)
	if err != nil {
		h.t.Fatal(err)
	}
	defer f.Close()
	p.cmd.Stdout, p.cmd.Stderr = f, f
	if err := p.cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	h.procs = append(h.procs, p)
	return p
}

// kill ends the process with SIGKILL, as a crash would.
func (p *proc) kill() {
	p.once.Do(func() { p.cmd.Process.Kill(); p.cmd.Wait() })
}

// stop ends the process with SIGTERM and returns its exit code.
func (p *proc) stop() int {
	p.once.Do(func() { p.cmd.Process.Signal(syscall.SIGTERM); p.cmd.Wait() })
	return p.cmd.ProcessState.ExitCode()
}

func (h *host) showLogs() {
	for i, p := range h.procs {
		b, _ := os.ReadFile(p.log)
		h.t.Logf("--- %s, process %d:\n%s", h.name, i, tail(b, 12<<10))
	}
}

func tail(b []byte, n int) []byte { return b[max(0, len(b)-n):] }

// dial connects from inside the host's network.
func (h *host) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	type result struct {
		c   net.Conn
		err error
	}
	done := make(chan result)
	go func() { // the thread enters the namespace and ends with the goroutine
		runtime.LockOSThread()
		var r result
		f, err := os.Open("/run/netns/" + h.ns)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			f.Close()
		}
		if r.err = err; err == nil {
			// A literal address: the resolver's goroutines stay outside.
			r.c, r.err = (&net.Dialer{Timeout: 5 * time.Second, FallbackDelay: -1}).DialContext(ctx, network, addr)
		}
		done <- r
	}()
	r := <-done
	return r.c, r.err
}

// get asks the host's router for a path of an app, and returns status and body.
func (h *host) get(hostname, path string) (int, string, error) {
	client := http.Client{Timeout: 10 * time.Second, Transport: &http.Transport{DisableKeepAlives: true,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return h.dial(ctx, network, h.addr+":80")
		}}}
	resp, err := client.Get("http://" + hostname + path)
	if err != nil {
		return 0, "", err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp.StatusCode, string(body), err
}

// mustGet is get for what must answer 200.
func (h *host) mustGet(hostname, path string) string {
	h.t.Helper()
	code, body, err := h.get(hostname, path)
	if err != nil || code != 200 {
		h.t.Fatalf("GET http://%s%s: %d %v\n%s", hostname, path, code, err, body)
	}
	return body
}

// eventually waits until ok returns "", and fails with what it last returned.
func eventually(t *testing.T, limit time.Duration, what string, ok func() string) {
	t.Helper()
	deadline := time.Now().Add(limit)
	for {
		why := ok()
		if why == "" {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s: not within %v: %s", what, limit, why)
		}
		time.Sleep(50 * time.Millisecond)
	}
}
