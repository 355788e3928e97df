//go:build linux

package network

import (
	"strings"
	"testing"

	"lattice/app"
	"lattice/cells"
)

func TestTableIsAsDocumented(t *testing.T) {
	onHost(t, func(t *testing.T) {
		n := newNetwork(t, Config{Subnet: prefixOf("10.20.16.0/20")})
		newBox(t, n, "a", 0)
		want := `table ip lattice-0123abcd {
	map ports {
		type inet_service : ipv4_addr . inet_service
		size 4000
		elements = { 61000 : 10.20.16.2 . 8080 }
	}

	chain prerouting {
		type nat hook prerouting priority dstnat; policy accept;
		fib daddr type local dnat ip to tcp dport map @ports
	}

	chain output {
		type nat hook output priority -100; policy accept;
		ip daddr != 127.0.0.0/8 fib daddr type local dnat ip to tcp dport map @ports
	}

	chain postrouting {
		type nat hook postrouting priority srcnat; policy accept;
		ip saddr 10.20.16.0/20 oifname != "lat-0123abcd" masquerade
		ip saddr 10.20.16.0/20 oifname "lat-0123abcd" ct status dnat masquerade
	}

	chain forward {
		type filter hook forward priority filter; policy accept;
		iifname != "lat-0123abcd" oifname "lat-0123abcd" ct state new ct status ! dnat drop
	}
}
`
		if got := run(t, "nft list ruleset"); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}
	})
}

func TestTableHoldsAllPorts(t *testing.T) {
	onHost(t, func(t *testing.T) {
		const count = 10_000
		n := newNetwork(t, Config{})
		many := cells.Lease{GUID: "many", IP: address(n.subnet, 0)}
		for i := range count {
			many.Ports = append(many.Ports, app.PortPair{Container: i + 1, Host: i + 1})
		}
		n.held["many"] = &holding{lease: many, attached: true}
		for range 2 {
			check(t, n.rewrite())
			check(t, n.damage())
		}
		if got := strings.Count(run(t, "nft list ruleset"), many.IP.String()+" . "); got != count {
			t.Errorf("map has %d elements, want %d", got, count)
		}
		delete(n.held, "many")
		if err := n.damage(); err == nil {
			t.Error("did not notice foreign elements")
		}
	})
}

func TestBatchRecoversFromErrors(t *testing.T) {
	onHost(t, func(t *testing.T) {
		n := newNetwork(t, Config{})
		h := &holding{lease: cells.Lease{GUID: "a", IP: address(n.subnet, 0), Ports: []app.PortPair{{Container: 1, Host: 1}}}}
		run(t, "nft flush ruleset")
		for i := range 3 {
			if err := n.publish(h); err != nil { // mends the table at once
				t.Errorf("publish %d: %v", i, err)
			}
			if err := n.unpublish(h); err != nil {
				t.Errorf("unpublish %d: %v", i, err)
			}
			if err := n.unpublish(h); err != nil {
				t.Errorf("second unpublish %d: %v", i, err)
			}
		}
		check(t, n.damage())
		check(t, n.deleteTable())
		if err := n.damage(); err == nil {
			t.Error("did not notice that the table is gone")
		}
	})
}
