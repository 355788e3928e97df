package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// A lab is hosts on one switch.
type lab struct {
	dir   string
	sw    string
	hosts map[string]*host
}

// A host is a network namespace.
type host struct {
	name, ns, addr, dir string
}

func newLab(dir string) (*lab, error) {
	l := &lab{dir: dir, sw: fmt.Sprintf("latbench-%d-sw", os.Getpid()), hosts: map[string]*host{}}
	err := errors.Join(command("ip", "netns", "add", l.sw), command("ip", "-n", l.sw, "link", "add", "br0", "type", "bridge"), command("ip", "-n", l.sw, "link", "set", "br0", "up"))
	for i, name := range []string{"brain", "c1", "c2", "c3", "reg"} {
		if err == nil {
			err = l.add(name, fmt.Sprintf("10.98.0.%d", i+1))
		}
	}
	if err != nil {
		l.close()
	}
	return l, err
}

func (l *lab) add(name, addr string) error {
	h := &host{name: name, ns: fmt.Sprintf("latbench-%d-%s", os.Getpid(), name), addr: addr, dir: filepath.Join(l.dir, name)}
	if err := errors.Join(os.Mkdir(h.dir, 0o700), command("ip", "netns", "add", h.ns)); err != nil {
		return err
	}
	l.hosts[name] = h
	return errors.Join(
		command("ip", "-n", h.ns, "link", "set", "lo", "up"),
		command("ip", "-n", h.ns, "link", "add", "eth0", "type", "veth", "peer", "name", name, "netns", l.sw),
		command("ip", "-n", l.sw, "link", "set", name, "master", "br0", "up"),
		command("ip", "-n", h.ns, "addr", "add", addr+"/24", "dev", "eth0"),
		command("ip", "-n", h.ns, "link", "set", "eth0", "up"),
		command("ip", "-n", h.ns, "route", "add", "default", "dev", "eth0"),
	)
}

func (l *lab) close() {
	all := []string{l.sw}
	for _, h := range l.hosts {
		all = append(all, h.ns)
	}
	for _, ns := range all {
		if err := command("ip", "netns", "del", ns); err != nil {
			fmt.Fprintln(os.Stderr, err)
		}
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
	cmd.Env = append(os.Environ(), "LATTICE_DATA_DIR="+filepath.Join(h.dir, "data"), "LATTICE_CLI_HOME="+filepath.Join(h.dir, "home"), "LATTICE_CELL_ID="+h.name, "NO_COLOR=1")
	return cmd
}

func (h *host) run(name string, args ...string) (string, error) {
	var errs bytes.Buffer
	cmd := h.command(name, args...)
	cmd.Stderr = &errs
	out, err := cmd.Output()
	if err != nil {
		return "", fmt.Errorf("%s %s: %w: %s%s", name, args[0], err, out, errs.Bytes())
	}
	return string(out), nil
}

// background starts a command and waits until it has written ready.
func (h *host) background(ready, name string, args ...string) (*exec.Cmd, error) {
	path := filepath.Join(h.dir, filepath.Base(name)+".log")
	f, err := os.Create(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	cmd := h.command(name, args...)
	cmd.Stdout, cmd.Stderr = f, f
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(20 * time.Millisecond) {
		b, err := os.ReadFile(path)
		if strings.Contains(string(b), ready) {
			return cmd, nil
		}
		if time.Now().After(deadline) {
			return cmd, errors.Join(fmt.Errorf("%s is not ready within a minute: %s", name, b), err)
		}
	}
}

// inside calls fn on a thread that is in the host's network.
func (h *host) inside(fn func() error) error {
	done := make(chan error)
	go func() { // the thread ends with the goroutine
		runtime.LockOSThread()
		f, err := os.Open("/run/netns/" + h.ns)
		if err == nil {
			err = unix.Setns(int(f.Fd()), unix.CLONE_NEWNET)
			f.Close()
		}
		if err == nil {
			err = fn()
		}
		done <- err
	}()
	return <-done
}

// relay returns an address outside of the namespace that leads to one inside.
func (h *host) relay(to string) (string, error) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	go func() {
		for {
			in, err := ln.Accept()
			if err != nil {
				return // the process ends
			}
			var out net.Conn
			if err := h.inside(func() (err error) {
				out, err = new(net.Dialer).DialContext(context.Background(), "tcp", to)
				return err
			}); err != nil {
				in.Close()
				continue
			}
			go func() { in.(*net.TCPConn).ReadFrom(out); in.Close() }()
			go func() { out.(*net.TCPConn).ReadFrom(in); out.Close() }()
		}
	}()
	return ln.Addr().String(), nil
}
