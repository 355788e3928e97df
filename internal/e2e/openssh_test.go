package e2e

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"syscall"
	"time"

	"lattice/api"
)

// ssh runs one of OpenSSH's programs with a password, against the brain's port.
func (h *host) openSSH(in io.Reader, password, program string, args ...string) (int, string, string) {
	h.t.Helper()
	ask := filepath.Join(h.dir, "askpass")
	if err := os.WriteFile(ask, []byte("#!/bin/sh\necho \"$TEST_PASSWORD\"\n"), 0o700); err != nil {
		h.t.Fatal(err)
	}
	all := append([]string{"-F", "none", "-o", "UserKnownHostsFile=" + filepath.Join(h.dir, "known_hosts"), "-o", "StrictHostKeyChecking=yes",
		"-o", "NumberOfPasswordPrompts=1", "-o", "IdentitiesOnly=yes"}, args...)
	if id := filepath.Join(h.dir, "id"); exists(id) {
		all = append([]string{"-o", "IdentityFile=" + id}, all...)
	}
	cmd := h.command(program, all...)
	cmd.Env = append(cmd.Env, "SSH_ASKPASS="+ask, "SSH_ASKPASS_REQUIRE=force", "TEST_PASSWORD="+password, "DISPLAY=:0")
	var out, errs bytes.Buffer
	cmd.Stdin, cmd.Stdout, cmd.Stderr = in, &out, &errs
	timer := time.AfterFunc(2*time.Minute, func() { cmd.Process.Kill() })
	defer timer.Stop()
	if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
		h.t.Fatal(err)
	}
	return cmd.ProcessState.ExitCode(), out.String(), errs.String()
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

func plainSSH(h *host) {
	var info api.SSH
	if err := json.Unmarshal([]byte(h.ltc("ssh", "--fingerprint", "-o", "json")), &info); err != nil {
		h.t.Fatal(err)
	}
	known := fmt.Sprintf("[127.0.0.1]:%d %s\n", info.Port, info.HostKey)
	if err := os.WriteFile(filepath.Join(h.dir, "known_hosts"), []byte(known), 0o600); err != nil {
		h.t.Fatal(err)
	}
	token := h.adminToken()
	host := []string{"-p", fmt.Sprint(info.Port), "-l", "box/1", "127.0.0.1"}
	run := func(line string) (int, string, string) {
		return h.openSSH(strings.NewReader("from here\n"), token, "ssh", append(host, line)...)
	}
	for line, want := range map[string]int{"exit 0": 0, "exit 7": 7, "no-such-program": 127, "kill -9 $$": 137} {
		if code, out, errs := run(line); code != want {
			h.t.Errorf("ssh %q: exit code %d, want %d: %s %s", line, code, want, out, errs)
		}
	}
	if code, out, errs := run("cat; echo $INSTANCE_INDEX; echo two >&2"); code != 0 || out != "from here\n1\n" || errs != "two\n" {
		h.t.Errorf("ssh with input: %d %q %q", code, out, errs)
	}
	if code, _, errs := h.openSSH(nil, "wrong", "ssh", append(host, "true")...); code != 255 || !strings.Contains(errs, "Permission denied") {
		h.t.Errorf("wrong password: %d %s", code, errs)
	}
	if code, _, errs := h.openSSH(nil, token, "ssh", "-p", fmt.Sprint(info.Port), "-l", "none/0", "127.0.0.1", "true"); code != 255 || !strings.Contains(errs, "none") {
		h.t.Errorf("unknown app: %d %s", code, errs)
	}
	h.keys(host)
	h.plainTerminal(host)
	h.scpAndSFTP(info.Port)
	h.plainForwards(host)
	if err := os.WriteFile(filepath.Join(h.dir, "known_hosts"), []byte(strings.Replace(known, info.HostKey, "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIIbN1gUMMlXK0v9YDPmoBdQbbBQ9Zp3wXlZZlF2nLw3l", 1)), 0o600); err != nil {
		h.t.Fatal(err)
	}
	if code, _, errs := run("true"); code != 255 || !strings.Contains(errs, "HOST IDENTIFICATION HAS CHANGED") {
		h.t.Errorf("another host key: %d %s", code, errs)
	}
}

// adminToken returns what stands in the client's target.
func (h *host) adminToken() string {
	b, err := os.ReadFile(filepath.Join(h.home(), ".lattice", "config.json"))
	if err != nil {
		h.t.Fatal(err)
	}
	m := regexp.MustCompile(`"token": *"([^"]+)"`).FindSubmatch(b)
	if m == nil {
		h.t.Fatal("the target has no token")
	}
	return string(m[1])
}

func (h *host) keys(host []string) {
	id := filepath.Join(h.dir, "id")
	h.run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "laptop", "-f", id)
	out := h.ltc("ssh-key", "add", id+".pub")
	if !strings.Contains(out, "laptop") {
		h.t.Errorf("ssh-key add: %s", out)
	}
	if code, _, errs := h.openSSH(nil, "wrong", "ssh", append(host, "exit 9")...); code != 9 {
		h.t.Errorf("with a key: %d %s", code, errs)
	}
	if out := h.ltc("ssh-key", "list"); !strings.Contains(out, "laptop") || !strings.Contains(out, "SHA256:") {
		h.t.Errorf("ssh-key list: %s", out)
	}
	if code, _, errs := h.lattice("ssh-key", "add", id); code != 13 || !strings.Contains(errs, "private key") {
		h.t.Errorf("a private key: %d %s", code, errs)
	}
	h.ltc("ssh-key", "remove", "laptop")
	if code, _, errs := h.openSSH(nil, "wrong", "ssh", append(host, "exit 9")...); code != 255 {
		h.t.Errorf("with a key that was removed: %d %s", code, errs)
	}
	h.ltc("ssh-key", "add", id+".pub") // for what follows
}

func (h *host) plainTerminal(host []string) {
	cmd := h.command("ssh", append([]string{"-F", "none", "-tt", "-o", "UserKnownHostsFile=" + filepath.Join(h.dir, "known_hosts"), "-i", filepath.Join(h.dir, "id")}, host...)...)
	x := inTerminal(h.t, cmd, 93, 33)
	x.expect("$ ")
	x.say("stty size\n")
	x.expect("33 93")
	x.resize(77, 22)
	cmd.Process.Signal(syscall.SIGWINCH)
	x.hasSize("22 77")
	x.say("exit 4\n")
	if code := x.end(); code != 4 {
		h.t.Errorf("ssh in a terminal: exit code %d, want 4", code)
	}
}

func (h *host) scpAndSFTP(port int) {
	src, _ := h.site()
	at := "scp://box%2f1@127.0.0.1:" + fmt.Sprint(port)
	if code, _, errs := h.openSSH(nil, "", "scp", "-r", src, at+"//home/ann/by-scp"); code != 0 {
		h.t.Errorf("scp there: %d %s", code, errs)
	}
	back := filepath.Join(h.dir, "by-scp")
	if code, _, errs := h.openSSH(nil, "", "scp", "-r", at+"//home/ann/by-scp", back); code != 0 {
		h.t.Errorf("scp back: %d %s", code, errs)
	}
	a, err := os.ReadFile(filepath.Join(src, "deep/er/big.bin"))
	b, err2 := os.ReadFile(filepath.Join(back, "deep/er/big.bin"))
	if err != nil || err2 != nil || !bytes.Equal(a, b) {
		h.t.Errorf("scp there and back: %d and %d bytes, %v %v", len(a), len(b), err, err2)
	}
	script := "put " + filepath.Join(src, "index.html") + " /tmp/by-sftp\nrename /tmp/by-sftp /tmp/renamed\nls -l /tmp\nget /tmp/renamed " + filepath.Join(h.dir, "by-sftp") + "\n"
	code, out, errs := h.openSSH(strings.NewReader(script), "", "sftp", "-b", "-", "-P", fmt.Sprint(port), "-o", "User=box/1", "127.0.0.1")
	if got, _ := os.ReadFile(filepath.Join(h.dir, "by-sftp")); code != 0 || string(got) != "hi" || !strings.Contains(out, "renamed") {
		h.t.Errorf("sftp: %d %q %s %s", code, got, out, errs)
	}
	code, out, errs = h.openSSH(strings.NewReader("get /bin/hello /dev/null\n"), "", "sftp", "-b", "-", "-P", fmt.Sprint(port), "-o", "User=hello/0", "127.0.0.1")
	if code != 0 {
		h.t.Errorf("sftp with an image that has nothing: %d %s %s", code, out, errs)
	}
}

func (h *host) plainForwards(host []string) {
	h.echoServer(h.addr+":7300", "outside ")
	all := append([]string{"-F", "none", "-N", "-v", "-o", "ExitOnForwardFailure=yes", "-o", "UserKnownHostsFile=" + filepath.Join(h.dir, "known_hosts"), "-i", filepath.Join(h.dir, "id"),
		"-L", "7401:" + h.addr + ":7300", "-L", "7402:localhost:7500", "-R", "7500:" + h.addr + ":7300"}, host...)
	cmd := h.command("ssh", all...)
	stderr, err := cmd.StderrPipe()
	if err != nil {
		h.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		h.t.Fatal(err)
	}
	defer func() {
		cmd.Process.Kill()
		cmd.Wait()
	}()
	said := bufio.NewReader(stderr)
	for {
		line, err := said.ReadString('\n')
		if err != nil {
			h.t.Fatalf("ssh -L -R: %v %s", err, line)
		}
		if strings.Contains(line, "remote forward success") {
			break
		}
	}
	go io.Copy(io.Discard, said)
	var conns sync.WaitGroup
	for i := range 20 {
		conns.Go(func() { h.echoThrough(fmt.Sprintf("127.0.0.1:740%d", 1+i%2), 100+i) })
	}
	conns.Wait()
}
