package main

import (
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// A host is what runs while the benchmark does.
type host struct {
	dir     string
	origin  *exec.Cmd
	proxies []*contender
}

// backend starts an nginx that answers /small with 100 bytes and /large with
// 64 KiB, and returns its address.
func (h *host) backend() (string, error) {
	root := filepath.Join(h.dir, "www")
	if err := os.MkdirAll(root, 0o755); err != nil {
		return "", err
	}
	if err := os.Chmod(h.dir, 0o755); err != nil { // nginx's workers are not root
		return "", err
	}
	if err := os.WriteFile(filepath.Join(root, "large"), make([]byte, 64<<10), 0o644); err != nil {
		return "", err
	}
	addr, err := freeAddr()
	if err != nil {
		return "", err
	}
	conf := fmt.Sprintf(nginxFrame, filepath.Join(h.dir, "origin.pid"), fmt.Sprintf(`
    server { listen %s backlog=4096; root %s; sendfile on;
      location = /small { default_type text/plain; return 200 "%s"; } }`, addr, root, strings.Repeat("x", 100)))
	h.origin, err = h.run("origin", conf, addr, func(file string) []string { return []string{"nginx", "-c", file} })
	return addr, err
}

// start starts all proxies. What they write is shown when one does not come up.
func (h *host) start(all []*contender, backend string, routes int) error {
	for _, c := range all {
		addr, err := freeAddr()
		if err != nil {
			return err
		}
		conf, err := c.conf(h.dir, addr, backend, routes)
		if err != nil {
			return err
		}
		args := func(file string) []string { return c.args(file, addr, backend, routes) }
		if c.cmd, err = h.run(c.name, conf, addr, args); err != nil {
			return err
		}
		c.addr = addr
		h.proxies = append(h.proxies, c)
	}
	return nil
}

// run writes the configuration to a file, starts a process with it and waits
// until it listens on addr.
func (h *host) run(name, conf, addr string, args func(file string) []string) (*exec.Cmd, error) {
	file := filepath.Join(h.dir, name+".conf")
	if err := os.WriteFile(file, []byte(conf), 0o644); err != nil {
		return nil, err
	}
	out, err := os.Create(filepath.Join(h.dir, name+".out"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	argv := args(file)
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Env = append(os.Environ(), "HOME="+h.dir)
	cmd.Stdout, cmd.Stderr = out, out
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for range 600 { // a table of 100,000 routes takes some seconds to load
		if c, err := net.Dial("tcp", addr); err == nil {
			return cmd, c.Close()
		}
		time.Sleep(50 * time.Millisecond)
	}
	end(cmd)
	said, _ := os.ReadFile(out.Name())
	return nil, fmt.Errorf("%s did not come up: %s", name, said)
}

func (h *host) stopProxies() {
	for _, c := range h.proxies {
		end(c.cmd)
	}
	h.proxies = nil
}

func (h *host) stop() {
	h.stopProxies()
	if h.origin != nil {
		end(h.origin)
	}
}

// end stops the process; one that doesn't go within two seconds is killed.
func end(cmd *exec.Cmd) {
	_ = cmd.Process.Signal(syscall.SIGTERM) // gone already is fine
	late := time.AfterFunc(2*time.Second, func() { _ = cmd.Process.Kill() })
	defer late.Stop()
	_ = cmd.Wait() // it was told to go, so its status says nothing
}

func freeAddr() (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	return ln.Addr().String(), ln.Close()
}

// cpuTime returns the processor time that the process and its children have
// used so far.
func cpuTime(pid int) (time.Duration, error) {
	var ticks int
	for _, p := range append([]int{pid}, children(pid)...) {
		stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", p))
		if err != nil {
			return 0, err
		}
		_, rest, _ := strings.Cut(string(stat), ") ")
		f := strings.Fields(rest)
		user, err1 := strconv.Atoi(f[11])
		system, err2 := strconv.Atoi(f[12])
		if err := errors.Join(err1, err2); err != nil {
			return 0, err
		}
		ticks += user + system
	}
	return time.Duration(ticks) * 10 * time.Millisecond, nil
}

func children(pid int) []int {
	list, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var pids []int
	for _, f := range strings.Fields(string(list)) {
		if p, err := strconv.Atoi(f); err == nil {
			pids = append(pids, p)
		}
	}
	return pids
}
