//go:build linux

package network

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/vishvananda/netlink"
	"golang.org/x/sys/unix"

	"lattice/app"
	"lattice/cells"
)

func TestEverybodyReachesContainersAndTheyReachOut(t *testing.T) {
	onHost(t, func(t *testing.T) {
		outside := newOutside(t)
		n := newNetwork(t, Config{})
		a := newBox(t, n, "a", 0)
		b := newBox(t, n, "b", unix.CLONE_NEWUSER)
		gw := gateway(n.subnet).String()

		for _, c := range []box{a, b} {
			hostReaches(t, c.direct(), c.name, gw)
			hostReaches(t, c.at(hostIP), c.name, hostIP)
			hostReaches(t, c.at("127.0.0.1"), c.name, gw)
			outside.reaches(c.at(hostIP), c.name, outsideIP)
			c.reaches(outsideIP+":80", "outside", hostIP)
			c.reaches(c.at(hostIP), c.name, gw) // hairpin
			c.reaches(c.at(gw), c.name, gw)
			c.reaches("127.0.0.1:8080", c.name, "127.0.0.1")
		}
		a.reaches(b.direct(), "b", a.lease.IP.String())
		b.reaches(a.at(hostIP), "a", gw)

		outside.ip("route add " + n.subnet.String() + " via " + hostIP)
		outside.cannotReach(a.direct())

		l, err := netlink.LinkByName(n.bridge)
		check(t, err)
		if l.Attrs().MTU != uplinkMTU {
			t.Errorf("MTU of the bridge is %d, want that of the uplink, %d", l.Attrs().MTU, uplinkMTU)
		}
		if as, _ := a.ask("addresses", ""); strings.Contains(as, "fe80") {
			t.Errorf("container has an IPv6 address of its own making: %s", as)
		}
		if n.ForwardBlocked() || n.Warning() != "" {
			t.Errorf("forwarding is said to be blocked: %s", n.Warning())
		}
	})
}

func TestReleaseLeavesNothing(t *testing.T) {
	onHost(t, func(t *testing.T) {
		n := newNetwork(t, Config{})
		a, b := newBox(t, n, "a", 0), newBox(t, n, "b", unix.CLONE_NEWUSER)
		if got := traces(t, n, a); len(got) != 2 {
			t.Errorf("attached container has traces %q, want 2", got)
		}
		for range 2 {
			check(t, n.Release(t.Context(), "a"))
			if got := traces(t, n, a); len(got) != 0 {
				t.Errorf("released container left %q", got)
			}
		}
		ln, err := net.Listen("tcp", a.at(""))
		if err != nil {
			t.Errorf("host port is not free: %v", err)
		} else {
			ln.Close()
		}
		hostReaches(t, b.direct(), "b", gateway(n.subnet).String())

		b.kill() // its namespace, and so its interface, goes at any moment now
		check(t, n.Release(t.Context(), "b"))
		if got := traces(t, n, b); len(got) != 0 {
			t.Errorf("released container left %q", got)
		}
		check(t, n.Release(t.Context(), "never there"))
		if len(n.held) != 0 || len(n.ips.used) != 0 || len(n.ports.used) != 0 {
			t.Errorf("books are not empty: %v %v %v", n.held, n.ips.used, n.ports.used)
		}
	})
}

func TestFailedAttachLeavesOnlyTheLease(t *testing.T) {
	onHost(t, func(t *testing.T) {
		n := newNetwork(t, Config{})
		l, err := n.Reserve("a", []int{8080})
		check(t, err)
		before := run(t, "ip -o link; ip route; nft list ruleset")
		c := newNode(t, "a", 0)
		c.ip("link add eth0 type bridge") // in the way
		gone := newNode(t, "gone", 0)
		gone.kill()
		for what, pid := range map[string]int{"the host's own": os.Getpid(), "occupied": c.pid, "gone": gone.pid} {
			if err := n.Attach(t.Context(), l, pid); err == nil {
				t.Errorf("attached a namespace that is %s", what)
			}
		}
		if err := n.Attach(t.Context(), cells.Lease{GUID: "b", IP: l.IP}, c.pid); !errors.Is(err, app.ErrNotFound) {
			t.Errorf("attached without a lease: %v", err)
		}
		if after := run(t, "ip -o link; ip route; nft list ruleset"); after != before {
			t.Errorf("something is left behind: before\n%s\nafter\n%s", before, after)
		}
		c.ip("link del eth0")
		check(t, n.Attach(t.Context(), l, c.pid))
		c.listen(":8080")
		hostReaches(t, box{c, l}.direct(), "a", gateway(n.subnet).String())
	})
}

func TestRestoreAfterCrash(t *testing.T) {
	onHost(t, func(t *testing.T) {
		outside := newOutside(t)
		dir := t.TempDir()
		first := newNetwork(t, Config{Dir: dir})
		kept, lost := newBox(t, first, "kept", 0), newBox(t, first, "lost", 0)
		check(t, first.Close())
		outside.reaches(kept.at(hostIP), "kept", outsideIP) // while no lattice runs

		n := newNetwork(t, Config{Dir: dir}, kept.lease)
		outside.reaches(kept.at(hostIP), "kept", outsideIP)
		kept.reaches(outsideIP+":80", "outside", hostIP)
		hostReaches(t, kept.at("127.0.0.1"), "kept", gateway(n.subnet).String())
		if got := traces(t, n, lost); len(got) != 0 {
			t.Errorf("container without a lease left %q", got)
		}
		more := newBox(t, n, "more", 0)
		if more.lease.IP == kept.lease.IP || more.ports()[0].Host == kept.ports()[0].Host {
			t.Errorf("lease %v given twice", kept.lease)
		}
		outside.reaches(kept.at(hostIP), "kept", outsideIP)
		outside.reaches(more.at(hostIP), "more", outsideIP)
	})
}

func TestRestoreRefusesWhatCannotBe(t *testing.T) {
	onHost(t, func(t *testing.T) {
		n := newNetwork(t, Config{})
		ok := address(n.subnet, 0)
		for name, leases := range map[string][]cells.Lease{
			"outside the subnet": {{GUID: "a", IP: address(candidates()[5], 1)}},
			"the gateway's":      {{GUID: "a", IP: gateway(n.subnet)}},
			"one address twice":  {{GUID: "a", IP: ok}, {GUID: "b", IP: ok}},
			"one port twice": {
				{GUID: "a", IP: ok, Ports: []app.PortPair{{Container: 80, Host: 61000}}},
				{GUID: "b", IP: ok.Next(), Ports: []app.PortPair{{Container: 80, Host: 61000}}},
			},
		} {
			m, err := Open(Config{Name: testName, Dir: t.TempDir()})
			check(t, err)
			all := append(leases, cells.Lease{GUID: "good", IP: address(n.subnet, 7)})
			if err := m.Restore(t.Context(), all); !errors.Is(err, app.ErrConflict) {
				t.Errorf("%s: got %v, want ErrConflict", name, err)
			}
			if m.held["good"] == nil || len(m.held) != len(all)-1 {
				t.Errorf("%s: holds %v", name, m.held)
			}
			m.Close()
		}
	})
}

func TestRepair(t *testing.T) {
	onHost(t, func(t *testing.T) {
		outside := newOutside(t)
		n := newNetwork(t, Config{})
		a := newBox(t, n, "a", 0)
		veth := n.vethName(n.subnet, a.lease.IP)
		handles := "nft -a list ruleset"
		before := run(t, handles)
		check(t, n.Repair(t.Context()))
		if after := run(t, handles); after != before {
			t.Errorf("repair of what was whole changed\n%s\nto\n%s", before, after)
		}
		for _, damage := range []string{
			"nft flush ruleset",
			"nft flush chain ip lattice-" + testName + " prerouting",
			"nft flush map ip lattice-" + testName + " ports",
			"nft add element ip lattice-" + testName + " ports '{ 61999 : 10.0.0.1 . 80 }'",
			"ip link del lat-" + testName,
			"ip link set " + veth + " nomaster",
			"ip link set " + veth + " down",
			"sysctl -qw net.ipv4.ip_forward=0",
		} {
			run(t, damage)
			check(t, n.Repair(t.Context()))
			outside.reaches(a.at(hostIP), "a", outsideIP)
			a.reaches(outsideIP+":80", "outside", hostIP)
			if strings.Contains(run(t, "nft list ruleset"), "61999") {
				t.Errorf("after %q a foreign element is still there", damage)
			}
		}
		// Attach and Release must not depend on a repair before them.
		run(t, "nft flush ruleset")
		b := newBox(t, n, "b", 0)
		outside.reaches(b.at(hostIP), "b", outsideIP)
		run(t, "nft flush ruleset")
		check(t, n.Release(t.Context(), "b"))
		outside.reaches(a.at(hostIP), "a", outsideIP)

		run(t, "ip link del "+veth)
		if err := n.Repair(t.Context()); err == nil || !strings.Contains(err.Error(), "container a has lost") {
			t.Errorf("lost interface: got %v", err)
		}
	})
}

func TestTwoInstallationsOnOneHost(t *testing.T) {
	onHost(t, func(t *testing.T) {
		outside := newOutside(t)
		one, two := newNetwork(t, Config{Name: "00000001"}), newNetwork(t, Config{Name: "00000002"})
		a, b := newBox(t, one, "a", 0), newBox(t, two, "b", 0)
		outside.reaches(a.at(hostIP), "a", outsideIP)
		outside.reaches(b.at(hostIP), "b", outsideIP)
		a.reaches(b.at(hostIP), "b", gateway(two.subnet).String())

		check(t, one.Repair(t.Context()))
		check(t, two.Destroy(t.Context()))
		outside.reaches(a.at(hostIP), "a", outsideIP)
		if all := run(t, "ip -o link; nft list ruleset"); strings.Contains(all, "00000002") {
			t.Errorf("destroyed installation left traces:\n%s", all)
		}
		if _, err := os.Stat(filepath.Join(two.cfg.Dir, stateFile)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("subnet is still remembered: %v", err)
		}
		again, err := Open(Config{Name: "00000002", Dir: two.cfg.Dir})
		check(t, err)
		defer again.Close()
		check(t, again.Destroy(t.Context())) // of nothing
	})
}

func TestSubnetAvoidsWhatTheHostUses(t *testing.T) {
	onHost(t, func(t *testing.T) {
		newOutside(t)
		dir := t.TempDir()
		choose := func(cfg Config, leave bool) string {
			n := newNetwork(t, cfg)
			s := n.subnet.String()
			if !leave {
				check(t, n.Destroy(t.Context()))
			}
			n.Close()
			return s
		}
		steps := []struct {
			before string // command run before
			cfg    Config
			leave  bool // what was made
			want   string
		}{
			{"true", Config{}, false, "172.30.0.0/16"},
			{"ip route add 172.30.7.0/24 via " + outsideIP, Config{}, false, "172.31.0.0/16"},
			{"ip route add 172.16.0.0/12 via " + outsideIP, Config{}, false, "10.99.0.0/16"},
			{"ip route add 0.0.0.0/1 via " + outsideIP, Config{}, false, "10.99.0.0/16"},
			{"ip addr add 10.99.1.1/32 dev lo", Config{}, false, "10.98.0.0/16"},
			{"ip route add table 7 10.98.3.0/24 via " + outsideIP, Config{Dir: dir}, true, "10.97.0.0/16"},
			{"ip route add 10.97.5.0/24 via " + outsideIP, Config{Dir: dir}, true, "10.97.0.0/16"},
			{"ip link del lat-" + testName, Config{Dir: dir}, false, "10.96.0.0/16"},
			{"true", Config{Subnet: prefixOf("10.1.2.3/24")}, false, "10.1.2.0/24"},
		}
		for _, s := range steps {
			run(t, s.before)
			if got := choose(s.cfg, s.leave); got != s.want {
				t.Errorf("after %s: chose %s, want %s", s.before, got, s.want)
			}
		}
	})
}

func TestAttachManyAtOnce(t *testing.T) {
	onHost(t, func(t *testing.T) {
		const count = 50
		n := newNetwork(t, Config{})
		nodes := make([]*node, count)
		for i := range nodes {
			nodes[i] = newNode(t, fmt.Sprint("box", i), uintptr(i%2)*unix.CLONE_NEWUSER)
		}
		boxes := make([]box, count)
		var wg sync.WaitGroup
		for i, c := range nodes {
			wg.Go(func() {
				l, err := n.Reserve(c.name, []int{8080, 9090})
				if err == nil {
					err = n.Attach(context.Background(), l, c.pid)
				}
				if err != nil {
					t.Error(err)
				}
				boxes[i] = box{c, l}
			})
		}
		wg.Wait()
		for _, b := range boxes {
			b.listen(":8080")
			hostReaches(t, b.direct(), b.name, gateway(n.subnet).String())
			if got := traces(t, n, b); len(got) != 2 {
				t.Errorf("%s has traces %q, want 2", b.name, got)
			}
		}
		noStrayThreads(t)
		for i, b := range boxes {
			wg.Go(func() {
				if i%3 == 0 {
					if err := n.Repair(context.Background()); err != nil {
						t.Error(err)
					}
				}
				if err := n.Release(context.Background(), b.name); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		if left := run(t, "ip -o link; nft list ruleset"); strings.Contains(left, n.vethPrefix()) || strings.Contains(left, ". 8080") {
			t.Errorf("left after all were released:\n%s", left)
		}
		noStrayThreads(t)
	})
}

// noStrayThreads checks that no thread of this process stayed in a container.
func noStrayThreads(t *testing.T) {
	t.Helper()
	spaces := map[string]int{}
	tasks, err := filepath.Glob("/proc/self/task/*/ns/net")
	check(t, err)
	for _, task := range tasks {
		if ns, err := os.Readlink(task); err == nil {
			spaces[ns]++
		}
	}
	if len(spaces) != 1 {
		t.Errorf("threads are in %d network namespaces: %v", len(spaces), spaces)
	}
}
