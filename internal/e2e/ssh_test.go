package e2e

import (
	"bufio"
	"bytes"
	"context"
	"crypto/sha256"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"lattice/app"
)

// TestSessions opens sessions of all kinds in containers on a cell elsewhere.
func TestSessions(t *testing.T) {
	l := newLab(t, "brain", "c1")
	h, c1 := l.host("brain"), l.host("c1")
	h.registry()
	h.pushImage("10.99.0.1:5000/box:v1", boxImage(t))
	h.start("brain")
	h.waitReady(h.procs[len(h.procs)-1])
	token := strings.TrimSpace(h.ltc("token"))
	cell := c1.start("cell", "--join", h.addr, "--token", token)
	c1.waitReady(cell)
	h.ltc("registry", "add", "10.99.0.1:5000", "--plain-http")
	h.ltc("create", "box", "10.99.0.1:5000/box:v1", "-i", "2", "--no-monitor", "--no-routes")
	h.ltc("create", "hello", "lattice/hello")

	t.Run("exit codes", h.on(exitCodes))
	t.Run("input and output", h.on(inputAndOutput))
	t.Run("terminal", h.on(terminalSession))
	t.Run("confined as the app", h.on(confinedAsTheApp))
	t.Run("no shell in the image", h.on(noShell))
	t.Run("task", h.on(taskSession))
	t.Run("copy", h.on(copyFiles))
	t.Run("forward", h.on(forwardPorts))
	t.Run("who may", h.on(whoMay))
	t.Run("plain ssh", h.on(plainSSH))
	t.Run("told", h.on(sessionsAreTold))
	t.Run("cell is killed", func(t *testing.T) { h.with(t).cellIsKilled(cell) })
}

// on returns a test with h as its host.
func (h *host) on(f func(*host)) func(*testing.T) {
	return func(t *testing.T) { f(h.with(t)) }
}

// with returns h for a test below the one that made it.
func (h *host) with(t *testing.T) *host {
	l := *h.lab
	l.t = t
	below := *h
	below.lab = &l
	return &below
}

// feed runs a client command with something to read.
func (h *host) feed(in io.Reader, args ...string) (code int, stdout []byte, stderr string) {
	h.t.Helper()
	var out, errs bytes.Buffer
	cmd := h.command(h.binary, args...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	timer := time.AfterFunc(3*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.Bytes(), errs.String()
}

func exitCodes(h *host) {
	for _, c := range []struct {
		args []string
		code int
		says string // part of standard error; empty: nothing at all
	}{
		{[]string{"exec", "box", "--", "true"}, 0, ""},
		{[]string{"exec", "box", "--", "sh", "-c", "exit 7"}, 7, ""},
		{[]string{"exec", "box", "--", "no-such-program"}, 127, "not in the image's PATH"},
		{[]string{"exec", "box", "--", "/etc/passwd"}, 126, "not executable"},
		{[]string{"exec", "box", "--", "sh", "-c", "kill -9 $$"}, 137, ""},
		{[]string{"exec", "box", "--", "sh", "-c", "kill -TERM $$"}, 143, ""},
		{[]string{"ssh", "box", "--", "exit 7"}, 7, ""},
		{[]string{"ssh", "box", "--", "no-such-program"}, 127, "not found"},
		{[]string{"ssh", "box", "false"}, 1, ""},
		{[]string{"exec", "box", "-i", "5", "--", "true"}, 14, "instance box/5 does not exist: box has instances 0 to 1"},
		{[]string{"exec", "none", "--", "true"}, 14, "none"},
		{[]string{"exec", "box/1", "-i", "0", "--", "true"}, 13, "--index"},
		{[]string{"ssh", "box", "-N"}, 13, "-L or -R"},
		{[]string{"exec", "box"}, 13, "a command"},
	} {
		code, out, errs := h.lattice(c.args...)
		if code != c.code || c.says == "" && errs != "" || !strings.Contains(errs, c.says) {
			h.t.Errorf("%s: exit code %d, want %d; %q, want %q; %s", strings.Join(c.args, " "), code, c.code, errs, c.says, out)
		}
	}
	if out := h.ltc("exec", "box", "-i", "1", "-e", "MORE=x y", "--", "sh", "-c", "echo $FROM_IMAGE $MORE $INSTANCE_INDEX"); out != "yes x y 1\n" {
		h.t.Errorf("environment: %q", out)
	}
}

func inputAndOutput(h *host) {
	code, out, errs := h.feed(strings.NewReader("b\na\n"), "exec", "box", "--", "sh", "-c", "cat; echo err >&2")
	if code != 0 || string(out) != "b\na\n" || errs != "err\n" {
		h.t.Errorf("input to its end: %d %q %q", code, out, errs)
	}
	if code, out, _ := h.feed(nil, "exec", "box", "--", "cat"); code != 0 || len(out) != 0 {
		h.t.Errorf("no input: %d %q", code, out)
	}
	big := make([]byte, 50<<20)
	_, _ = rand.NewChaCha8([32]byte{7}).Read(big)
	began := time.Now()
	code, out, errs = h.feed(bytes.NewReader(big), "exec", "box", "--", "cat")
	if code != 0 || sha256.Sum256(out) != sha256.Sum256(big) {
		h.t.Errorf("50 MB both ways: exit code %d, %d bytes came back, %s", code, len(out), errs)
	}
	h.t.Logf("50 MB there and back took %v", time.Since(began))
	code, out, _ = h.feed(bytes.NewReader(big), "exec", "box", "--", "true") // doesn't read
	if code != 0 || len(out) != 0 {
		h.t.Errorf("a program that does not read: %d %q", code, out)
	}
	cmd := h.command(h.binary, "exec", "box", "--", "sh", "-c", "trap 'echo got it; exit 5' INT; echo ready; while :; do sleep 1 & wait; done")
	pipe, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	defer cmd.Process.Kill()
	lines := bufio.NewReader(pipe)
	for _, want := range []string{"ready\n", "got it\n"} {
		if line, err := lines.ReadString('\n'); line != want {
			h.t.Fatalf("%q %v, want %q", line, err, want)
		}
		if want == "ready\n" {
			cmd.Process.Signal(syscall.SIGINT)
		}
	}
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 5 {
		h.t.Errorf("Ctrl-C without a terminal: exit code %d, want 5", cmd.ProcessState.ExitCode())
	}
}

func terminalSession(h *host) {
	cmd := h.command(h.binary, "ssh", "box/0")
	cmd.Env = append(cmd.Env, "TERM=vt100")
	x := inTerminal(h.t, cmd, 90, 30)
	x.expect("Connecting to box/0")
	x.expect("$ ")
	x.say("stty size; echo $TERM\n")
	x.expect("30 90\r\nvt100")
	x.resize(121, 41)
	x.hasSize("41 121")
	x.say("echo start; sleep 1000\n")
	x.expect("\nstart\r\n")
	x.say("\x03")
	x.say("echo code=$?\n")
	x.expect("code=130")
	began := time.Now()
	x.say("exit 3\n")
	code := x.end()
	h.t.Logf("the end of a terminal took %v", time.Since(began))
	if code != 3 {
		h.t.Errorf("exit code %d, want 3", code)
	}
}

// confinedAsTheApp compares what a session may with what the app may.
func confinedAsTheApp(h *host) {
	const look = "grep -E '^(Uid|Gid|Cap|NoNewPrivs|Seccomp)' /proc/%s/status; cat /proc/%s/cgroup"
	script := strings.ReplaceAll(look, "grep -E '^(Uid|Gid|Cap|NoNewPrivs|Seccomp)' /proc/%s/status", "cat /proc/%s/status")
	of := func(pid string) string {
		out := h.ltc("exec", "box/0", "--", "sh", "-c", strings.ReplaceAll(script, "%s", pid))
		keep := regexp.MustCompile(`(?m)^(Uid|Gid|Cap\w+|NoNewPrivs|Seccomp\w*|\d+):.*$`)
		return strings.Join(keep.FindAllString(out, -1), "\n")
	}
	if session, instance := of("self"), of("1"); session != instance || !strings.Contains(session, "Seccomp:\t2") {
		h.t.Errorf("a session has\n%s\nthe app has\n%s", session, instance)
	}
}

func noShell(h *host) {
	code, out, errs := h.lattice("exec", "hello", "--", "/bin/hello", "no-such-argument")
	if code == 127 {
		h.t.Errorf("its own program: %d %s %s", code, out, errs)
	}
	code, _, errs = h.lattice("ssh", "hello")
	if code != 127 || !strings.Contains(errs, "no shell") || !strings.Contains(errs, "ltc exec") {
		h.t.Errorf("shell: %d %s", code, errs)
	}
	if code, _, errs = h.lattice("ssh", "hello", "--", "ls | wc"); code != 127 || !strings.Contains(errs, "no shell") {
		h.t.Errorf("line for a shell: %d %s", code, errs)
	}
	if got := h.ltc("cp", "hello:/bin/hello", filepath.Join(h.dir, "hello-copy")); got != "" {
		h.t.Errorf("cp prints %q", got)
	}
	if info, err := os.Stat(filepath.Join(h.dir, "hello-copy")); err != nil || info.Size() < 1<<20 {
		h.t.Errorf("copy of a program: %v %v", info, err)
	}
}

func taskSession(h *host) {
	h.ltc("run", "10.99.0.1:5000/box:v1", "--name", "job", "--detach", "--", "sh", "-c", "trap 'exit 0' TERM; sleep 1000 & wait")
	eventually(h.t, time.Minute, "the task runs", func() string {
		code, out, errs := h.lattice("exec", "job", "--", "echo", "hi")
		if code != 0 || out != "hi\n" {
			return fmt.Sprintf("%d %s %s", code, out, errs)
		}
		return ""
	})
	if code, out, errs := h.lattice("ssh", "job", "--", "exit 6"); code != 6 {
		h.t.Errorf("%d %s %s", code, out, errs)
	}
	h.ltc("cancel-task", "job")
	if code, _, errs := h.lattice("exec", "job", "--", "true"); code != 14 || !strings.Contains(errs, "does not run") {
		h.t.Errorf("a task that has ended: %d %s", code, errs)
	}
	h.ltc("delete-task", "job")
}

// site makes a folder with files of all sizes, the largest of them big.
func (h *host) site() (src string, big []byte) {
	src = filepath.Join(h.dir, "site")
	big = make([]byte, 20<<20)
	_, _ = rand.NewChaCha8([32]byte{3}).Read(big)
	for name, content := range map[string][]byte{"index.html": []byte("hi"), "deep/er/big.bin": big, "empty": nil} {
		p := filepath.Join(src, name)
		if err := os.MkdirAll(filepath.Dir(p), 0o755); err != nil {
			h.t.Fatal(err)
		}
		if err := os.WriteFile(p, content, 0o640); err != nil {
			h.t.Fatal(err)
		}
	}
	if link := filepath.Join(src, "link"); !exists(link) {
		if err := os.Symlink("index.html", link); err != nil {
			h.t.Fatal(err)
		}
	}
	return src, big
}

func copyFiles(h *host) {
	src, big := h.site()
	h.ltc("cp", src, "box/1:/tmp")
	h.ltc("cp", src+"/.", "box/1:/home/ann")
	h.ltc("cp", filepath.Join(src, "index.html"), "box/1:other.html")
	if out := h.ltc("exec", "box/1", "--", "sh", "-c", "cat /home/ann/link /home/ann/other.html; ls -ln /tmp/site/index.html"); !strings.HasPrefix(out, "hihi-rw-r-----    1 1000     1000 ") {
		h.t.Errorf("in the instance: %s", out)
	}
	back := filepath.Join(h.dir, "back")
	h.ltc("cp", "box/1:/tmp/site", back)
	sum := func(dir string) string {
		var b strings.Builder
		_ = filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
			rel, _ := filepath.Rel(dir, p)
			content, _ := os.ReadFile(p)
			fmt.Fprintln(&b, rel, d, err, sha256.Sum256(content))
			return nil
		})
		return b.String()
	}
	if a, b := sum(src), sum(back); strings.ReplaceAll(a, "site", "back") != strings.ReplaceAll(b, "site", "back") {
		h.t.Errorf("there and back:\n%s\n%s", a, b)
	}
	code, out, _ := h.feed(nil, "cp", "box/1:/tmp/site", "-")
	if code != 0 || len(out) < len(big) {
		h.t.Errorf("as a stream: %d, %d bytes", code, len(out))
	}
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"cp", "box:/nope", back}, 12, "no such file"},
		{[]string{"cp", src, "box:/etc"}, 12, "permission denied"},
		{[]string{"cp", filepath.Join(src, "nope"), "box:/tmp"}, 12, "no such file"},
		{[]string{"cp", "box:/tmp/site", "/proc/nope/x"}, 12, "no such file"},
		{[]string{"cp", "a", "b"}, 13, "APP:PATH"},
	} {
		if code, _, errs := h.lattice(c.args...); code != c.code || !strings.Contains(errs, c.says) {
			h.t.Errorf("%s: exit code %d, want %d: %s", strings.Join(c.args, " "), code, c.code, errs)
		}
	}
}

// echoServer listens on the host and answers each connection with what it gets,
// and tag first.
func (h *host) echoServer(addr, tag string) {
	h.t.Helper()
	ln := h.listen(addr)
	h.t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.WriteString(c, tag)
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

func forwardPorts(h *host) {
	h.echoServer(h.addr+":7100", "outside ")
	cmd := h.command(h.binary, "ssh", "box/0", "-N", "-L", "7001:"+h.addr+":7100", "-L", "127.0.0.1:7002:localhost:7200", "-R", "7200:"+h.addr+":7100", "-R", "0:localhost:7100")
	stderr, err := cmd.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	defer cmd.Process.Kill()
	said := bufio.NewReader(stderr)
	for range 4 {
		line, err := said.ReadString('\n')
		if err != nil || !strings.HasPrefix(line, "Forwarding ") {
			h.t.Fatalf("%q %v", line, err)
		}
	}
	go io.Copy(io.Discard, said)
	var conns sync.WaitGroup
	began := time.Now()
	for i := range 40 { // half of them there and back again by -R
		conns.Go(func() { h.echoThrough(fmt.Sprintf("127.0.0.1:700%d", 1+i%2), i) })
	}
	conns.Wait()
	h.t.Logf("40 connections at once, 256 KiB each there and back, took %v", time.Since(began))
	cmd.Process.Signal(syscall.SIGINT)
	if err := cmd.Wait(); err != nil {
		h.t.Errorf("end of forwarding: %v", err)
	}
	if code, _, errs := h.lattice("ssh", "box/0", "-N", "-L", "7001:localhost"); code != 13 || !strings.Contains(errs, "PORT:HOST:PORT") {
		h.t.Errorf("bad -L: %d %s", code, errs)
	}
}

// echoThrough sends data through a forward and wants it back.
func (h *host) echoThrough(addr string, seed int) {
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	c, err := h.dial(ctx, "tcp", addr)
	if err != nil {
		h.t.Error(err)
		return
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(time.Minute))
	data := make([]byte, 256<<10)
	_, _ = rand.NewChaCha8([32]byte{byte(seed)}).Read(data)
	go func() {
		_, _ = c.Write(data)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if want := "outside " + string(data); err != nil || string(got) != want {
		h.t.Errorf("%s: %d bytes, %v, want %d bytes", addr, len(got), err, len(want))
	}
}

func whoMay(h *host) {
	token := strings.TrimSpace(h.ltc("user", "add", "vera", "--role", "viewer"))
	cmd := h.command(h.binary, "exec", "box", "--", "true")
	cmd.Env = append(cmd.Env, "LATTICE_TOKEN="+token)
	if out, err := cmd.CombinedOutput(); err == nil || !strings.Contains(string(out), "ask an admin") {
		h.t.Errorf("a viewer: %v %s", err, out)
	}
	admin := strings.TrimSpace(h.ltc("user", "add", "adam", "--role", "admin"))
	cmd = h.command(h.binary, "exec", "box", "--", "sh", "-c", "echo ready; sleep 1000")
	cmd.Env = append(cmd.Env, "LATTICE_TOKEN="+admin)
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	defer cmd.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		h.t.Fatalf("%q %v %s", line, err, errs.String())
	}
	h.ltc("user", "remove", "adam")
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 255 || !strings.Contains(errs.String(), "adam") {
		h.t.Errorf("a user who was removed in mid-session: exit code %d, %s", cmd.ProcessState.ExitCode(), errs.String())
	}
	h.ltc("user", "remove", "vera")
}

// sessionsAreTold looks for the sessions in the journal.
func sessionsAreTold(h *host) {
	events := h.ltc("events", "-n", "-1", "-o", "json", "--kind", "session")
	for _, want := range []string{"session.opened", "session.closed", "exec sh", "exit code 7", `"actor":"admin"`, "dial " + h.addr + ":7100"} {
		if !strings.Contains(events, want) {
			h.t.Errorf("the journal lacks %q:\n%s", want, tail([]byte(events), 3000))
		}
	}
	if strings.Contains(events, "kill -9") {
		h.t.Error("the journal has more of a command than its first word")
	}
}

func (h *host) cellIsKilled(cell *proc) {
	cmd := h.command(h.binary, "exec", "box/0", "--", "sh", "-c", "echo ready; sleep 1000")
	var errs bytes.Buffer
	cmd.Stderr = &errs
	out, err := cmd.StdoutPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	defer cmd.Process.Kill()
	if line, err := bufio.NewReader(out).ReadString('\n'); line != "ready\n" {
		h.t.Fatalf("%q %v %s", line, err, errs.String())
	}
	cell.kill()
	if _ = cmd.Wait(); cmd.ProcessState.ExitCode() != 255 || !strings.Contains(errs.String(), "the cell c1") {
		h.t.Errorf("exit code %d, %s", cmd.ProcessState.ExitCode(), errs.String())
	}
	c1 := h.host("c1")
	c1.waitReady(c1.start("cell"))
	eventually(h.t, time.Minute, "the cell is back", func() string {
		if n := count(h.status("box"), app.Running); n != 2 {
			return fmt.Sprintf("%d instances run", n)
		}
		code, out, errs := h.lattice("exec", "box/0", "--", "ps")
		if code != 0 {
			return errs
		}
		if strings.Contains(out, "echo ready") {
			return "the command of the broken session still runs:\n" + out
		}
		return ""
	})
}
