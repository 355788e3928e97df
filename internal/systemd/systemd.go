// Package systemd is what a service tells systemd and gets from it: that it is
// ready, and listening sockets that outlive the process. While one version of
// the program makes room for the next, systemd keeps them open, so that whoever
// connects then waits a moment and is not refused. Elsewhere than under systemd
// all of it does nothing. A Sockets is not safe for concurrent use.
package systemd

import (
	"errors"
	"fmt"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
)

// The environment by which systemd talks to a service.
const (
	envNotify = "NOTIFY_SOCKET"
	envPID    = "LISTEN_PID"
	envCount  = "LISTEN_FDS"
	envNames  = "LISTEN_FDNAMES"
)

const firstFD = 3 // of the inherited ones

// Ready tells that the service does its work from now on.
func Ready() error { return tell("READY=1", nil) }

// Watched reports whether systemd started this process as a service that is to
// say when it is ready.
func Watched() bool { return os.Getenv(envNotify) != "" }

// tell sends state to systemd, and fds with it.
func tell(state string, fds []int) error {
	addr := os.Getenv(envNotify)
	if addr == "" {
		return nil
	}
	conn, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_DGRAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return fmt.Errorf("talk to systemd: %w", err)
	}
	defer syscall.Close(conn)
	var rights []byte
	if len(fds) > 0 {
		rights = syscall.UnixRights(fds...)
	}
	if err := syscall.Sendmsg(conn, []byte(state), rights, &syscall.SockaddrUnix{Name: addr}, 0); err != nil {
		return fmt.Errorf("talk to systemd: %w", err)
	}
	return nil
}

// A Sockets has the listening sockets that systemd kept from the process before.
type Sockets struct {
	kept []kept
}

type kept struct {
	name string
	ln   net.Listener
}

// Inherit takes over what systemd kept. It does so once: the environment that
// tells of it is gone afterwards, so that no child looks for it.
func Inherit() (*Sockets, error) {
	count, names := inherited()
	s := &Sockets{}
	var errs []error
	for i := range count {
		f := os.NewFile(uintptr(firstFD+i), "inherited")
		ln, err := net.FileListener(f) // of a copy, which children don't get
		if err = errors.Join(err, f.Close()); err != nil {
			errs = append(errs, fmt.Errorf("take over socket %d from systemd: %w", i, err))
			continue
		}
		name := ""
		if i < len(names) {
			name = names[i]
		}
		s.kept = append(s.kept, kept{name, ln})
	}
	return s, errors.Join(errs...)
}

// inherited reads the environment and clears it.
func inherited() (count int, names []string) {
	defer func() {
		for _, key := range []string{envPID, envCount, envNames} {
			os.Unsetenv(key)
		}
	}()
	if os.Getenv(envPID) != strconv.Itoa(os.Getpid()) {
		return 0, nil
	}
	count, err := strconv.Atoi(os.Getenv(envCount))
	if err != nil || count < 0 {
		return 0, nil
	}
	return count, strings.Split(os.Getenv(envNames), ":")
}

// Listen returns the listener of that name that was kept for addr, or else a new
// one, which systemd keeps from now on. name must be the same in each process;
// letters and hyphens will do.
func (s *Sockets) Listen(name, addr string) (net.Listener, error) {
	for i, k := range s.kept {
		if k.name == name && serves(k.ln, addr) {
			s.kept = append(s.kept[:i], s.kept[i+1:]...)
			return k.ln, nil
		}
	}
	if err := s.forget(name); err != nil { // it may stand in the way
		return nil, err
	}
	ln, err := net.Listen("tcp", addr)
	if err != nil {
		return nil, err
	}
	if err := keep(name, ln); err != nil {
		return nil, errors.Join(err, ln.Close())
	}
	return ln, nil
}

// Release closes what was kept and isn't wanted any more.
func (s *Sockets) Release() error {
	var errs []error
	for len(s.kept) > 0 {
		errs = append(errs, s.forget(s.kept[0].name))
	}
	return errors.Join(errs...)
}

// forget closes what was kept under name, here and at systemd.
func (s *Sockets) forget(name string) error {
	var errs []error
	rest := s.kept[:0]
	for _, k := range s.kept {
		if k.name == name {
			errs = append(errs, k.ln.Close())
		} else {
			rest = append(rest, k)
		}
	}
	if len(rest) < len(s.kept) {
		errs = append(errs, tell("FDSTOREREMOVE=1\nFDNAME="+name, nil))
	}
	s.kept = rest
	return errors.Join(errs...)
}

// keep has systemd keep the listener's socket.
func keep(name string, ln net.Listener) error {
	if !Watched() {
		return nil
	}
	raw, err := ln.(syscall.Conn).SyscallConn()
	if err != nil {
		return err
	}
	var told error
	err = raw.Control(func(fd uintptr) { told = tell("FDSTORE=1\nFDNAME="+name, []int{int(fd)}) })
	return errors.Join(err, told)
}

// serves reports whether ln is what net.Listen makes of addr.
func serves(ln net.Listener, addr string) bool {
	have, ok := ln.Addr().(*net.TCPAddr)
	want, err := net.ResolveTCPAddr("tcp", addr)
	if !ok || err != nil || have.Port != want.Port {
		return false
	}
	return have.IP.Equal(want.IP) || have.IP.IsUnspecified() && (want.IP == nil || want.IP.IsUnspecified())
}
