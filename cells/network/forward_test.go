//go:build linux

package network

import (
	"strings"
	"testing"
)

func TestBesideAnotherFirewall(t *testing.T) {
	for _, fw := range []struct{ name, make, list string }{
		{"Nft", `nft 'add table inet guard; add chain inet guard through { type filter hook forward priority 10; policy drop; }; add rule inet guard through ct mark 7 accept'`, "nft list table inet guard"},
		{"NftLastRule", `nft 'add table ip guard; add chain ip guard through { type filter hook forward priority 0; }; add rule ip guard through iifname "docker0" accept; add rule ip guard through counter reject'`, "nft -s list table ip guard"},
		{"Docker", "iptables -P FORWARD DROP && iptables -N DOCKER-USER && iptables -A FORWARD -j DOCKER-USER && iptables -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT && iptables -t nat -A POSTROUTING -s 172.17.0.0/16 ! -o docker0 -j MASQUERADE", "iptables-save"},
		{"Legacy", "iptables-legacy -P FORWARD DROP && iptables-legacy -A FORWARD -o docker0 -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT", "iptables-legacy-save"},
		{"LegacyLastRule", "iptables-legacy -A FORWARD -s 10.0.0.1 -j ACCEPT && iptables-legacy -A FORWARD -j REJECT", "iptables-legacy-save"},
	} {
		t.Run(fw.name, func(t *testing.T) {
			onHost(t, func(t *testing.T) { besideFirewall(t, fw.make, fw.list) })
		})
	}
}

func besideFirewall(t *testing.T, makeFirewall, list string) {
	outside := newOutside(t)
	dir := t.TempDir()
	first := newNetwork(t, Config{Dir: dir})
	a := newBox(t, first, "a", 0)
	outside.reaches(a.at(hostIP), "a", outsideIP)
	gw := gateway(first.subnet).String()

	// The firewall comes later than we, and is seen at the next Attach.
	run(t, makeFirewall)
	rules := func() string { return dropComments(run(t, list)) }
	theirs := rules()
	b := newBox(t, first, "b", 0)
	for _, c := range []box{a, b} {
		outside.reaches(c.at(hostIP), c.name, gw)
		if strings.Contains(run(t, "nft list ruleset"), c.element()) {
			t.Errorf("%s is still in the map", c.name)
		}
	}
	if !first.ForwardBlocked() || first.Proxied() != 0 {
		t.Errorf("blocked %v, %d connections in proxies; want true, 0", first.ForwardBlocked(), first.Proxied())
	}
	a.reaches(b.at(hostIP), "b", gw)
	hostReaches(t, a.direct(), "a", gw)
	a.cannotReach(outsideIP + ":80")
	check(t, first.Close())

	n := newNetwork(t, Config{Dir: dir}, a.lease, b.lease)
	outside.reaches(a.at(hostIP), "a", gw)
	check(t, n.Release(t.Context(), "b"))
	outside.cannotReach(b.at(hostIP))
	if got := rules(); got != theirs {
		t.Errorf("their rules changed from\n%s\nto\n%s", theirs, got)
	}

	// The warning's command makes all work, and is noticed.
	_, command, _ := strings.Cut(n.Warning(), "run: ")
	t.Log(n.Warning())
	run(t, command)
	theirs = rules()
	check(t, n.Repair(t.Context()))
	if n.ForwardBlocked() {
		t.Errorf("still blocked after %s", command)
	}
	outside.reaches(a.at(hostIP), "a", outsideIP)
	a.reaches(outsideIP+":80", "outside", hostIP)
	check(t, n.Destroy(t.Context()))
	if got := rules(); got != theirs {
		t.Errorf("their rules changed from\n%s\nto\n%s", theirs, got)
	}
}

// dropComments removes what differs between two listings by itself: the time
// and the counters of iptables-save.
func dropComments(s string) string {
	var keep []string
	for line := range strings.Lines(s) {
		if !strings.HasPrefix(line, "#") && !strings.HasPrefix(line, ":") {
			keep = append(keep, line)
		}
	}
	return strings.Join(keep, "")
}
