package systemd_test

import (
	"bufio"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"lattice/internal/systemd"
)

// TestMain is also the service of TestSocketsOutliveTheProcess.
func TestMain(m *testing.M) {
	if os.Getenv("SERVICE") == "" {
		os.Exit(m.Run())
	}
	if err := serve(os.Args[1]); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

// serve answers one connection on the socket named web.
func serve(addr string) error {
	os.Setenv("LISTEN_PID", fmt.Sprint(os.Getpid())) // systemd knows it before the process does
	s, err := systemd.Inherit()
	if err != nil {
		return err
	}
	ln, err := s.Listen("web", addr)
	if err != nil {
		return err
	}
	if err := s.Release(); err != nil {
		return err
	}
	if err := systemd.Ready(); err != nil {
		return err
	}
	fmt.Println(ln.Addr())
	conn, err := ln.Accept()
	if err != nil {
		return err
	}
	defer conn.Close()
	_, err = fmt.Fprintln(conn, "hello from", os.Getenv("SERVICE"))
	return err
}

// manager is what a service sees of systemd.
type manager struct {
	t    *testing.T
	sock *net.UnixConn
	path string
	kept map[string]*os.File
}

func newManager(t *testing.T) *manager {
	m := &manager{t: t, path: filepath.Join(t.TempDir(), "notify"), kept: map[string]*os.File{}}
	var err error
	if m.sock, err = net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { m.sock.Close() })
	return m
}

// run starts the service and returns when it is ready, with the address it printed.
func (m *manager) run(name, addr string) (*exec.Cmd, string) {
	m.t.Helper()
	cmd := exec.Command(os.Args[0], addr)
	cmd.Env = append(os.Environ(), "SERVICE="+name, "NOTIFY_SOCKET="+m.path)
	var names []string
	for n, f := range m.kept {
		names, cmd.ExtraFiles = append(names, n), append(cmd.ExtraFiles, f)
	}
	cmd.Env = append(cmd.Env, fmt.Sprint("LISTEN_FDS=", len(names)), "LISTEN_FDNAMES="+strings.Join(names, ":"))
	out, err := cmd.StdoutPipe()
	if err != nil {
		m.t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		m.t.Fatal(err)
	}
	m.t.Cleanup(func() { cmd.Process.Kill(); cmd.Wait() })
	for m.listen() != "READY=1" {
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		m.t.Fatal(line, err)
	}
	return cmd, strings.TrimSpace(line)
}

// listen takes one message.
func (m *manager) listen() string {
	m.t.Helper()
	m.sock.SetReadDeadline(time.Now().Add(30 * time.Second))
	b, oob := make([]byte, 4096), make([]byte, 1024)
	n, oobn, _, _, err := m.sock.ReadMsgUnix(b, oob)
	if err != nil {
		m.t.Fatal(err)
	}
	what, name, _ := strings.Cut(string(b[:n]), "\nFDNAME=")
	switch what {
	case "FDSTORE=1":
		msgs, err := syscall.ParseSocketControlMessage(oob[:oobn])
		if err != nil || len(msgs) != 1 {
			m.t.Fatalf("%d messages, %v", len(msgs), err)
		}
		fds, err := syscall.ParseUnixRights(&msgs[0])
		if err != nil || len(fds) != 1 {
			m.t.Fatalf("%v, %v", fds, err)
		}
		m.kept[name] = os.NewFile(uintptr(fds[0]), name)
	case "FDSTOREREMOVE=1":
		m.kept[name].Close()
		delete(m.kept, name)
	}
	return what
}

func TestSocketsOutliveTheProcess(t *testing.T) {
	m := newManager(t)
	first, addr := m.run("first", "127.0.0.1:0")
	if len(m.kept) != 1 {
		t.Fatalf("kept %v", m.kept)
	}
	first.Process.Kill()
	first.Wait()
	waiting, err := net.Dial("tcp", addr) // nobody is there to accept it
	if err != nil {
		t.Fatal(err)
	}
	defer waiting.Close()
	second, again := m.run("second", addr)
	if again != addr {
		t.Errorf("second listens on %s", again)
	}
	if line, err := bufio.NewReader(waiting).ReadString('\n'); line != "hello from second\n" {
		t.Errorf("got %q %v", line, err)
	}

	second.Wait()

	// Another address: the old socket goes.
	_, third := m.run("third", "127.0.0.1:0")
	if third == addr || len(m.kept) != 1 {
		t.Errorf("third listens on %s, kept %v", third, m.kept)
	}
	if c, err := net.Dial("tcp", addr); err == nil {
		c.Close()
		t.Error("the old socket still listens")
	}
	for _, f := range m.kept {
		f.Close()
	}
}

func TestWithoutSystemd(t *testing.T) {
	t.Setenv("NOTIFY_SOCKET", "")
	s, err := systemd.Inherit()
	if err != nil {
		t.Fatal(err)
	}
	ln, err := s.Listen("web", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ln.Close()
	if err := systemd.Ready(); err != nil {
		t.Error(err)
	}
}
