package e2e

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"
)

// TestInstallOnThreeMachines does with three machines what an operator does:
// install, again, upgrade under load, uninstall.
func TestInstallOnThreeMachines(t *testing.T) {
	lab := newLab(t, "m1", "m2", "m3", "client")
	client := lab.host("client")
	machines := make([]*machine, 3)
	began := time.Now()
	var boots sync.WaitGroup
	for i, name := range []string{"m1", "m2", "m3"} {
		boots.Go(func() { machines[i] = lab.host(name).boot() })
	}
	boots.Wait()
	if t.Failed() {
		return
	}
	t.Logf("three machines booted within %v", time.Since(began).Round(time.Millisecond))
	brain := machines[0]
	var before [3][]string
	for i, m := range machines {
		before[i] = m.files()
	}

	const wall = " --firewall --nodes 10.99.0.1/32 --nodes 10.99.0.2/31 "
	orders := []string{
		"/root/lattice install brain" + wall,
		"/root/lattice install cell --zone z2 --join 10.99.0.1 --token-file /root/token" + wall,
		"/root/lattice install cell --join 10.99.0.1 --token-file /root/token" + wall,
	}
	t.Logf("install:\n%s", brain.sh(orders[0]))
	token := brain.sh("ltc token create --uses 2 2>/dev/null")
	for i, m := range machines[1:] {
		m.write("/root/token", token)
		t.Logf("install:\n%s", m.sh(orders[i+1]+"; rm /root/token"))
	}
	brain.sh("ltc create hello lattice/hello -i 4")
	if out := brain.sh("ltc cells"); strings.Count(out, "ALIVE") != 2 || !strings.Contains(out, "z2") {
		t.Fatalf("cells:\n%s", out)
	}
	checkFirewall(t, client, machines)

	// The same again: nothing changes. The token is used up.
	for i, m := range machines {
		state := m.state()
		if out := m.sh(orders[i]); !strings.Contains(out, "nothing to change") || strings.Contains(out, "wrote") {
			t.Errorf("%s, a second time:\n%s", m.name, out)
		}
		sameLines(t, m.name+" after a second time", state, m.state())
	}

	upgrade(t, client, machines, orders)
	leave(t, client, machines, before)
}

// state returns what must not change when nothing is to be done.
func (m *machine) state() []string {
	out := m.sh(`systemctl show lattice -p MainPID -p ActiveEnterTimestampMonotonic -p InvocationID
		find /etc /usr/local -xdev -type f -printf '%p %s %T@ %m\n'`)
	return strings.Split(strings.TrimSpace(out), "\n")
}

// checkFirewall looks from a machine that is no node at what is open.
func checkFirewall(t *testing.T, client *host, machines []*machine) {
	t.Helper()
	for addr, open := range map[string]bool{
		machines[0].addr + ":80": true, machines[0].addr + ":7443": true,
		machines[0].addr + ":7946": false, machines[1].addr + ":7946": false, machines[1].addr + ":61000": false,
	} {
		ctx, stop := context.WithTimeout(t.Context(), 2*time.Second)
		c, err := client.dial(ctx, "tcp", addr)
		stop()
		if err == nil {
			c.Close()
		}
		if (err == nil) != open {
			t.Errorf("connect to %s from outside: %v, open should be %t", addr, err, open)
		}
	}
}

// upgrade puts another binary onto each machine while requests come.
func upgrade(t *testing.T, client *host, machines []*machine, orders []string) {
	t.Helper()
	brain := machines[0]
	containers := brain.sh("ltc status hello -o json | grep guid")
	fresh, kept := client.loadOn(brain.addr, true), client.loadOn(brain.addr, false)
	for i, m := range machines {
		m.copyBinary(m.binary, "a newer version")
		was := m.sh("systemctl show lattice -p MainPID")
		start := time.Now()
		out := m.sh(orders[i])
		t.Logf("%s: upgraded within %v", m.name, time.Since(start).Round(time.Millisecond))
		if !strings.Contains(out, "wrote /usr/local/bin/lattice") || strings.Contains(out, "wrote /etc") {
			t.Errorf("%s: upgrade:\n%s", m.name, out)
		}
		if m.sh("systemctl show lattice -p MainPID") == was {
			t.Errorf("%s: the old process runs on", m.name)
		}
		m.sh("cmp /root/lattice /proc/$(systemctl show lattice -p MainPID --value)/exe")
	}
	eventually(t, 30*time.Second, "the cells are back", func() string {
		if out := brain.sh("ltc cells"); strings.Count(out, "ALIVE") != 2 {
			return "cells: " + out
		}
		return ""
	})
	fresh.end(t, "upgrade, a connection for each request")
	kept.end(t, "upgrade, connections that are kept")
	if now := brain.sh("ltc status hello -o json | grep guid"); now != containers {
		t.Errorf("containers before:\n%s\nafter:\n%s", containers, now)
	}
}

// leave uninstalls all machines, the first of them under load.
func leave(t *testing.T, client *host, machines []*machine, before [3][]string) {
	t.Helper()
	tr := client.loadOn(machines[0].addr, true)
	machines[0].sh("ltc cell drain m3")
	machines[2].sh("lattice uninstall --delete-data")
	tr.end(t, "a cell is drained and uninstalled")
	for _, i := range []int{1, 0} {
		machines[i].sh("lattice uninstall") // data stay,
		machines[i].sh("test -d /var/lib/lattice && cp /root/lattice /usr/local/bin/lattice && rm -r /var/lib/lattice /usr/local/bin/lattice")
	}
	for i, m := range machines {
		sameLines(t, m.name+" after uninstall", before[i], m.files())
		left := m.sh(`nft list tables; ip -o link | grep -v ': \(lo\|eth0\)' || true; find /sys/fs/cgroup -path '*lattice*'; ps -e -o comm | grep -E 'lattice|containerd' || true; systemctl list-units --all --no-legend 'lattice*'; cut -d ' ' -f 2 /proc/mounts | grep lattice || true`)
		if left = strings.TrimSpace(left); left != "" {
			t.Errorf("%s: left behind:\n%s", m.name, left)
		}
	}
}

// loadOn asks hello at a machine's router.
func (h *host) loadOn(addr string, fresh bool) *traffic {
	c := &http.Client{Timeout: 20 * time.Second, Transport: &http.Transport{
		DisableKeepAlives: fresh, MaxIdleConnsPerHost: 10,
		DialContext: func(ctx context.Context, network, _ string) (net.Conn, error) {
			return h.dial(ctx, network, net.JoinHostPort(addr, "80"))
		},
	}}
	h.t.Cleanup(c.CloseIdleConnections)
	return load(100, func() (int, error) {
		resp, err := c.Get("http://hello." + domain + "/index")
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		if _, err := io.Copy(io.Discard, resp.Body); err != nil {
			return 0, fmt.Errorf("body: %w", err)
		}
		return resp.StatusCode, nil
	})
}
