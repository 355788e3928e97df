package install

import (
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func plan(role string) Plan {
	return Plan{
		Role: role, DataDir: "/var/lib/lattice", StopTime: 90, Settings: []Pair{{"domain", `apps."example`}},
		Firewall: &Firewall{
			Ports: Ports{API: 7443, Gossip: 7946, Router: []int{443, 80}, Apps: [2]int{61000, 64999}}, Open: []int{22},
			Nodes: []netip.Prefix{netip.MustParsePrefix("10.0.0.7/24"), netip.MustParsePrefix("fd00::/8")},
		},
	}
}

// text returns what the plan puts at path.
func text(t *testing.T, p Plan, path string) string {
	t.Helper()
	for _, f := range p.Files() {
		if f.Path == path {
			return f.Text
		}
	}
	t.Fatalf("no %s", path)
	return ""
}

func TestUnitLetsContainersLive(t *testing.T) {
	// These give each start of the service a mount namespace of its own: a
	// restarted lattice would not see the containers' mounts any more.
	namespaces := []string{"ProtectSystem", "PrivateTmp", "ProtectHome", "PrivateDevices", "ReadWritePaths", "ProtectKernelTunables", "ProtectControlGroups", "ProtectHostname"}
	for _, role := range []string{RoleCell, RoleUp} {
		unit := text(t, plan(role), unitPath)
		for _, want := range []string{"KillMode=process\n", "Delegate=yes\n", "FileDescriptorStoreMax=", "ExecStart=/usr/local/bin/lattice " + role + " --config /etc/lattice/lattice.yaml\n"} {
			if !strings.Contains(unit, want) {
				t.Errorf("%s: no %q", role, want)
			}
		}
		for _, no := range append(namespaces, "SystemCallFilter", "MemoryDenyWriteExecute") {
			if strings.Contains(unit, "\n"+no+"=") {
				t.Errorf("%s has %s", role, no)
			}
		}
	}
	unit := text(t, plan(RoleBrain), unitPath)
	for _, want := range append(namespaces, "SystemCallFilter", "MemoryDenyWriteExecute", "ReadWritePaths=/var/lib/lattice\n") {
		if !strings.Contains(unit, want) {
			t.Errorf("a brain has no %s", want)
		}
	}
}

func TestConfigHasWhatWasChosen(t *testing.T) {
	p := plan(RoleCell)
	p.Join = &Join{Brain: "10.0.0.2:7443", Token: "lat1.secret"}
	got := text(t, p, Config)
	if !strings.HasSuffix(got, "domain: \"apps.\\\"example\"\njoin: \"10.0.0.2:7443\"\ntoken-file: \"/etc/lattice/join-token\"\n") || strings.Contains(got, "secret") {
		t.Errorf("got\n%s", got)
	}
}

func TestFirewallOpensOnlyWhatIsNeeded(t *testing.T) {
	const gossip = `ip6 saddr fd00::/8 meta l4proto { tcp, udp } th dport 7946 accept`
	const router = `tcp dport { 80, 443 } accept`
	const apps = `ip saddr 10.0.0.0/24 tcp dport 61000-64999 accept`
	for _, c := range []struct {
		role     string
		has, not []string
		router   []int
	}{
		{RoleBrain, []string{gossip, router, "tcp dport 7443", "tcp dport { 22 }"}, []string{"61000", "forward"}, []int{443, 80}},
		{RoleCell, []string{gossip, apps, "chain forward"}, []string{"7443", "443 }"}, nil},
		{RoleCell, []string{gossip, apps, router}, []string{"7443"}, []int{443, 80}},
		{RoleUp, []string{gossip, router, apps, "tcp dport 7443"}, nil, []int{443, 80}},
	} {
		p := plan(c.role)
		p.Firewall.Ports.Router = c.router
		got := text(t, p, firewallFile)
		for _, s := range c.has {
			if !strings.Contains(got, s) {
				t.Errorf("%s: no %q in\n%s", c.role, s, got)
			}
		}
		for _, s := range c.not {
			if strings.Contains(got, s) {
				t.Errorf("%s: %q in\n%s", c.role, s, got)
			}
		}
	}
}

func TestFileIsWrittenOnce(t *testing.T) {
	f := File{Path: filepath.Join(t.TempDir(), "a", "b"), Mode: 0o640, Text: "hello\n"}
	put := func(want bool) {
		t.Helper()
		if changed, err := f.put(); err != nil || changed != want {
			t.Errorf("changed %t %v, want %t", changed, err, want)
		}
	}
	put(true)
	old := time.Unix(1, 0)
	if err := os.Chtimes(f.Path, old, old); err != nil {
		t.Fatal(err)
	}
	put(false)
	if info, err := os.Stat(f.Path); err != nil || !info.ModTime().Equal(old) || info.Mode() != 0o640 {
		t.Errorf("%v %v", info, err)
	}
	if err := os.Chmod(f.Path, 0o666); err != nil {
		t.Fatal(err)
	}
	put(true)
	f.Text = "bye\n"
	put(true)
}
