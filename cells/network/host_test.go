//go:build linux

package network

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lattice/app"
	"lattice/cells"
)

// The tests run on "hosts" of their own: the test binary starts itself again
// in a new network namespace, and from there once more for each container and
// each other host. When these processes end, and they end with their parent,
// the kernel removes all that was made in their namespaces.
const (
	hostEnv = "LATTICE_TEST_HOST"
	nodeEnv = "LATTICE_TEST_NODE"
)

func TestMain(m *testing.M) {
	if name := os.Getenv(nodeEnv); name != "" {
		if err := runNode(name, os.Stdin, os.Stdout); err != nil {
			fmt.Fprintln(os.Stderr, name+":", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// onHost runs the body of the calling test on a host of its own.
func onHost(t *testing.T, body func(t *testing.T)) {
	t.Helper()
	if os.Getenv(hostEnv) != "" {
		loopbackUp(t)
		body(t)
		return
	}
	if os.Getuid() != 0 {
		t.Skip("needs root to make network namespaces")
	}
	t.Parallel()
	out, err := hostCommand(t.Context(), "-test.run=^"+t.Name()+"$", "-test.v", "-test.timeout=2m").CombinedOutput()
	if err != nil || !strings.Contains(string(out), "--- PASS: "+t.Name()) {
		t.Fatalf("on its own host: %v\n%s", err, out)
	}
}

func hostCommand(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, "/proc/self/exe", args...)
	cmd.Env = append(os.Environ(), hostEnv+"=1")
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func loopbackUp(t testing.TB) {
	t.Helper()
	lo, err := netlink.LinkByName("lo")
	check(t, err)
	check(t, netlink.LinkSetUp(lo))
}

func check(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// A request tells a node what to do.
type request struct {
	Op   string // listen, dial, try, addresses
	Addr string
}

// A reply is what came of it.
type reply struct{ Out, Err string }

// runNode does what it is asked until its input ends.
func runNode(name string, in io.Reader, out io.Writer) error {
	dec, enc := json.NewDecoder(in), json.NewEncoder(out)
	for {
		var q request
		if err := dec.Decode(&q); errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		var r reply
		var err error
		switch q.Op {
		case "listen":
			err = serve(name, q.Addr)
		case "dial":
			r.Out, err = dial(q.Addr, 20*time.Second)
		case "try":
			r.Out, err = dial(q.Addr, 500*time.Millisecond)
		case "addresses":
			var as []net.Addr
			as, err = net.InterfaceAddrs()
			r.Out = fmt.Sprint(as)
		}
		if err != nil {
			r.Err = err.Error()
		}
		if err := enc.Encode(r); err != nil {
			return err
		}
	}
}

// serve answers each connection, once the client has sent all, with name, the
// client's address and how many bytes it sent.
func serve(name, addr string) error {
	ln, err := net.Listen("tcp4", addr)
	if err != nil {
		return err
	}
	go func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				sent, _ := io.Copy(io.Discard, c)
				host, _, _ := net.SplitHostPort(c.RemoteAddr().String())
				fmt.Fprintf(c, "%s sees %s, %d bytes", name, host, sent)
			}()
		}
	}()
	return nil
}

const payload = 100_000 // bytes that dial sends

// dial sends payload bytes and returns the answer.
func dial(addr string, timeout time.Duration) (string, error) {
	c, err := net.DialTimeout("tcp4", addr, timeout)
	if err != nil {
		return "", err
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(make([]byte, payload)); err != nil {
		return "", err
	}
	if err := c.(*net.TCPConn).CloseWrite(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

// A node is a process in a network namespace of its own: a container, or
// another host.
type node struct {
	t    testing.TB
	name string
	pid  int
	enc  *json.Encoder
	dec  *json.Decoder
	kill func()
}

// newNode starts a node; flags may add CLONE_NEWUSER, as most containers have.
func newNode(t testing.TB, name string, flags uintptr) *node {
	t.Helper()
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), nodeEnv+"="+name)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWNET | flags, Pdeathsig: syscall.SIGKILL}
	if flags&unix.CLONE_NEWUSER != 0 {
		ids := []syscall.SysProcIDMap{{Size: 1}}
		cmd.SysProcAttr.UidMappings, cmd.SysProcAttr.GidMappings = ids, ids
	}
	in, err := cmd.StdinPipe()
	check(t, err)
	out, err := cmd.StdoutPipe()
	check(t, err)
	check(t, cmd.Start())
	kill := func() {
		cmd.Process.Kill()
		cmd.Wait()
	}
	t.Cleanup(kill)
	return &node{t: t, name: name, pid: cmd.Process.Pid, enc: json.NewEncoder(in), dec: json.NewDecoder(bufio.NewReader(out)), kill: kill}
}

func (c *node) ask(op, addr string) (string, error) {
	c.t.Helper()
	check(c.t, c.enc.Encode(request{op, addr}))
	var r reply
	check(c.t, c.dec.Decode(&r))
	if r.Err != "" {
		return r.Out, errors.New(r.Err)
	}
	return r.Out, nil
}

func (c *node) listen(addr string) {
	c.t.Helper()
	_, err := c.ask("listen", addr)
	check(c.t, err)
}

// reaches fails the test unless addr answers as server, which sees client.
func (c *node) reaches(addr, server, client string) {
	c.t.Helper()
	out, err := c.ask("dial", addr)
	expect(c.t, c.name, addr, out, err, server, client)
}

func (c *node) cannotReach(addr string) {
	c.t.Helper()
	if out, err := c.ask("try", addr); err == nil && out != "" {
		c.t.Errorf("%s reaches %s: %s", c.name, addr, out)
	}
}

// hostReaches is node.reaches for the host itself.
func hostReaches(t testing.TB, addr, server, client string) {
	t.Helper()
	out, err := dial(addr, 20*time.Second)
	expect(t, "host", addr, out, err, server, client)
}

func expect(t testing.TB, who, addr, out string, err error, server, client string) {
	t.Helper()
	if want := fmt.Sprintf("%s sees %s, %d bytes", server, client, payload); err != nil || out != want {
		t.Errorf("%s dials %s: got %q, %v; want %q", who, addr, out, err, want)
	}
}

const (
	hostIP    = "192.0.2.1" // of the host, towards the other host
	outsideIP = "192.0.2.2"
	uplinkMTU = 1400
)

// newOutside makes another host and the wire to it, which is the host's
// default route.
func newOutside(t testing.TB) *node {
	t.Helper()
	o := newNode(t, "outside", 0)
	attrs := netlink.NewLinkAttrs()
	attrs.Name, attrs.MTU = "uplink", uplinkMTU
	check(t, netlink.LinkAdd(&netlink.Veth{LinkAttrs: attrs, PeerName: "uplink", PeerNamespace: netlink.NsPid(o.pid), PeerTxQLen: -1}))
	ip(t, "addr add "+hostIP+"/24 dev uplink")
	ip(t, "link set uplink up")
	o.ip("addr add " + outsideIP + "/24 dev uplink")
	o.ip("link set uplink up")
	ip(t, "route add default via "+outsideIP)
	o.listen(":80")
	return o
}

// ip runs a command of iproute2 on the host.
func ip(t testing.TB, args string) {
	t.Helper()
	run(t, "ip "+args)
}

// ip runs a command of iproute2 in the node's namespace.
func (c *node) ip(args string) {
	c.t.Helper()
	run(c.t, fmt.Sprintf("nsenter --net=/proc/%d/ns/net ip %s", c.pid, args))
}

// run runs a shell command on the host and returns what it prints.
func run(t testing.TB, command string) string {
	t.Helper()
	out, err := exec.Command("sh", "-c", command).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v\n%s", command, err, out)
	}
	return string(out)
}

const testName = "0123abcd"

// newNetwork opens and restores a Network.
func newNetwork(t testing.TB, cfg Config, leases ...cells.Lease) *Network {
	t.Helper()
	if cfg.Name == "" {
		cfg.Name = testName
	}
	if cfg.Dir == "" {
		cfg.Dir = t.TempDir()
	}
	cfg.Log = slog.New(slog.NewTextHandler(t.Output(), &slog.HandlerOptions{Level: slog.LevelDebug}))
	n, err := Open(cfg)
	check(t, err)
	t.Cleanup(func() { n.Close() })
	check(t, n.Restore(t.Context(), leases))
	return n
}

// A box is a container that serves port 8080.
type box struct {
	*node
	lease cells.Lease
}

// newBox reserves, starts and attaches a container.
func newBox(t testing.TB, n *Network, name string, flags uintptr) box {
	t.Helper()
	l, err := n.Reserve(name, []int{8080})
	check(t, err)
	c := newNode(t, name, flags)
	check(t, n.Attach(context.Background(), l, c.pid))
	c.listen(":8080")
	return box{c, l}
}

func (b box) direct() string        { return netip.AddrPortFrom(b.lease.IP, 8080).String() }
func (b box) at(host string) string { return fmt.Sprintf("%s:%d", host, b.lease.Ports[0].Host) }
func (b box) ports() []app.PortPair { return b.lease.Ports }
func (b box) element() (needle string) {
	return fmt.Sprintf("%d : %s . 8080", b.lease.Ports[0].Host, b.lease.IP)
}

// traces returns what of a lease the kernel knows: interfaces and elements.
func traces(t testing.TB, n *Network, b box) []string {
	t.Helper()
	var found []string
	if name := n.vethName(n.subnet, b.lease.IP); strings.Contains(run(t, "ip -o link"), name) {
		found = append(found, name)
	}
	if strings.Contains(run(t, "nft list ruleset"), b.element()) {
		found = append(found, b.element())
	}
	return found
}
