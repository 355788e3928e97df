//go:build linux

package network

import (
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"testing"

	"lattice/app"
)

func prefixOf(s string) netip.Prefix { return netip.MustParsePrefix(s) }

func TestPoolTakesTheLongestUnused(t *testing.T) {
	p := newPool(4)
	p.claim(1)
	var got []int
	take := func() {
		if i, ok := p.take(); ok {
			got = append(got, i)
		} else {
			got = append(got, -1)
		}
	}
	take() // 0
	p.put(0)
	p.put(1) // claimed, but never reached: comes in its turn
	p.put(1)
	for range 5 {
		take()
	}
	p.put(3)
	p.put(1)
	take()
	take()
	if want := "[0 1 2 3 0 -1 3 1]"; fmt.Sprint(got) != want {
		t.Errorf("took %v, want %s", got, want)
	}
	for _, i := range []int{-1, 4, 0} {
		if p.claim(i) {
			t.Errorf("claimed %d", i)
		}
	}
}

func TestAddresses(t *testing.T) {
	for _, c := range []struct {
		subnet, gateway, first, last string
		capacity                     int
	}{
		{"172.30.0.0/16", "172.30.0.1", "172.30.0.2", "172.30.255.254", 65533},
		{"10.0.0.8/29", "10.0.0.9", "10.0.0.10", "10.0.0.14", 5},
		{"10.16.0.0/12", "10.16.0.1", "10.16.0.2", "10.31.255.254", 1<<20 - 3},
	} {
		p := prefixOf(c.subnet)
		got := fmt.Sprint(gateway(p), address(p, 0), address(p, capacity(p)-1), capacity(p))
		if want := fmt.Sprint(c.gateway, " ", c.first, " ", c.last, " ", c.capacity); got != want {
			t.Errorf("%v: got %s, want %s", p, got, want)
		}
		if i := number(p, address(p, 3)); i != 3 {
			t.Errorf("%v: address 3 has number %d", p, i)
		}
	}
	for _, a := range []string{"172.30.0.0", "172.30.0.1", "172.30.255.255", "10.0.0.1", "172.31.0.2", "::1"} {
		p := prefixOf("172.30.0.0/16")
		if i := number(p, netip.MustParseAddr(a)); i >= 0 && i < capacity(p) {
			t.Errorf("%s is container %d", a, i)
		}
	}
}

func TestOpenRefusesBadConfig(t *testing.T) {
	for _, c := range []struct {
		cfg  Config
		want string
	}{
		{Config{Name: "x", Dir: "d"}, "8 hexadecimal digits"},
		{Config{Name: testName}, "state folder"},
		{Config{Name: testName, Dir: "d", FirstPort: 65000}, "host ports 65000 to 64999"},
		{Config{Name: testName, Dir: "d", Subnet: prefixOf("fd00::/64")}, "subnet fd00::/64"},
		{Config{Name: testName, Dir: "d", Subnet: prefixOf("10.0.0.0/30")}, "subnet 10.0.0.0/30"},
	} {
		if _, err := Open(c.cfg); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: got %v, want %q", c.cfg, err, c.want)
		}
	}
}

func TestReserve(t *testing.T) {
	onHost(t, func(t *testing.T) {
		n := newNetwork(t, Config{Subnet: prefixOf("10.9.8.0/29"), FirstPort: 7000, LastPort: 7005})
		busy, err := net.Listen("tcp4", "127.0.0.1:7001")
		check(t, err)
		defer busy.Close()

		a, err := n.Reserve("a", []int{80, 81, 80})
		check(t, err)
		if got := fmt.Sprint(a.IP, a.Ports); got != "10.9.8.2 [{80 7000} {81 7002} {80 7003}]" {
			t.Errorf("got %s", got)
		}
		if _, err := n.Reserve("a", nil); !errors.Is(err, app.ErrExists) {
			t.Errorf("second lease for one container: %v", err)
		}
		if _, err := n.Reserve("b", []int{80, 81, 82}); !errors.Is(err, app.ErrUnavailable) {
			t.Errorf("got more ports than there are: %v", err)
		}
		for _, guid := range []string{"c", "d", "e", "f"} {
			if _, err := n.Reserve(guid, nil); err != nil {
				t.Errorf("%s: %v", guid, err)
			}
		}
		if _, err := n.Reserve("g", nil); !errors.Is(err, app.ErrUnavailable) {
			t.Errorf("got more addresses than there are: %v", err)
		}
		check(t, n.Release(t.Context(), "a"))
		if g, err := n.Reserve("g", []int{80}); err != nil || g.IP != a.IP || g.Ports[0].Host != 7004 {
			t.Errorf("after a release: %v, %v", g, err)
		}
	})
}
