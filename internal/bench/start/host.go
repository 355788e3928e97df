package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// host is a network namespace of the benchmark's own.
type host struct {
	ns, dir string
}

func newHost(dir string) (*host, error) {
	h := &host{ns: fmt.Sprintf("latbench-%d", os.Getpid()), dir: dir}
	if err := command("ip", "netns", "add", h.ns); err != nil {
		return nil, err
	}
	err := errors.Join(
		command("ip", "-n", h.ns, "link", "set", "lo", "up"),
		command("ip", "-n", h.ns, "link", "add", "eth0", "type", "veth", "peer", "name", "peer0"),
		command("ip", "-n", h.ns, "addr", "add", "10.99.0.1/24", "dev", "eth0"),
		command("ip", "-n", h.ns, "link", "set", "peer0", "up"),
		command("ip", "-n", h.ns, "link", "set", "eth0", "up"),
		command("ip", "-n", h.ns, "route", "add", "default", "dev", "eth0"),
	)
	if err != nil {
		h.close()
	}
	return h, err
}

func (h *host) close() {
	if err := command("ip", "netns", "del", h.ns); err != nil {
		fmt.Fprintln(os.Stderr, err)
	}
}

func command(name string, args ...string) error {
	if out, err := exec.Command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// command returns a command in the host's network.
func (h *host) command(name string, args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--net=/run/netns/" + h.ns, name}, args...)...)
	cmd.Env = append(os.Environ(), "LATTICE_DATA_DIR="+filepath.Join(h.dir, "data"), "LATTICE_CLI_HOME="+filepath.Join(h.dir, "home"), "LATTICE_CELL_ID=bench", "NO_COLOR=1")
	return cmd
}

func (h *host) run(name string, args ...string) error {
	if out, err := h.command(name, args...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s %s: %w: %s", name, strings.Join(args, " "), err, out)
	}
	return nil
}

// background starts a command whose output goes to a file.
func (h *host) background(logName, name string, args ...string) (*exec.Cmd, error) {
	f, err := os.Create(filepath.Join(h.dir, logName))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := h.command(name, args...)
	cmd.Stdout, cmd.Stderr = f, f
	return cmd, cmd.Start()
}

// dial connects from inside the host's network.
func (h *host) dial(ctx context.Context, network, addr string) (c net.Conn, err error) {
	done := make(chan struct{})
	go func() { // the thread enters the namespace and ends with the goroutine
		defer close(done)
		runtime.LockOSThread()
		var f *os.File
		if f, err = os.Open("/run/netns/" + h.ns); err != nil {
			return
		}
		defer f.Close()
		if err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET); err == nil {
			c, err = new(net.Dialer).DialContext(ctx, network, addr)
		}
	}()
	<-done
	return c, err
}

// client returns an HTTP client whose connections all go to addr. One
// connection is kept, so that a poll costs next to nothing.
func (h *host) client(addr string) *http.Client {
	return &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) { return h.dial(ctx, network, addr) },
	}}
}

// until200 asks every millisecond until the answer is 200.
func until200(c *http.Client, url string) error {
	deadline := time.Now().Add(30 * time.Second)
	for {
		resp, err := c.Get(url)
		if err == nil {
			io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return nil
			}
			err = errors.New(resp.Status)
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s: no 200 within 30 s: %w", url, err)
		}
		time.Sleep(time.Millisecond)
	}
}
