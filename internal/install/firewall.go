package install

import (
	"fmt"
	"net/netip"
	"os/exec"
	"slices"
	"strings"

	"lattice/app"
)

// A Firewall closes the machine but for what lattice needs and what Open names.
type Firewall struct {
	Ports Ports
	Open  []int          // TCP ports for everybody, such as that of ssh
	Nodes []netip.Prefix // where the other nodes are; empty: anywhere
}

// Ports are what lattice listens on; 0 is none.
type Ports struct {
	API, Gossip int
	Layers      int // of images, for other cells
	Router      []int
	SSH         []int  // into containers
	Apps        [2]int // first and last of a cell's ports for routers elsewhere
}

func (f Firewall) check() error {
	if _, err := exec.LookPath("nft"); err != nil {
		return app.Invalid("the firewall needs nft: install it (Debian: apt-get install nftables), or leave --firewall out")
	}
	return nil
}

// rules returns a file for nft. The table is ours alone, so that the file can
// be loaded again, and removed without touching other tables.
func (f Firewall) rules(role string) string {
	p := f.Ports
	var in, forward []string
	allow := func(list *[]string, from, what string) { *list = append(*list, strings.TrimSpace(from+" "+what)) }
	if len(f.Open) > 0 {
		allow(&in, "", "tcp dport "+set(f.Open)+" accept")
	}
	if routers := slices.Sorted(slices.Values(p.Router)); len(routers) > 0 {
		allow(&in, "", "tcp dport "+set(routers)+` accept comment "router"`)
	}
	if role != RoleCell {
		if len(p.SSH) > 0 {
			allow(&in, "", "tcp dport "+set(p.SSH)+` accept comment "ssh into containers"`)
		}
		allow(&in, "", fmt.Sprintf(`tcp dport %d accept comment "API"`, p.API))
	}
	for _, from := range f.sources() {
		allow(&in, from, fmt.Sprintf(`meta l4proto { tcp, udp } th dport %d accept comment "gossip"`, p.Gossip))
		if role != RoleBrain {
			allow(&in, from, fmt.Sprintf(`tcp dport %d-%d accept comment "apps, for routers"`, p.Apps[0], p.Apps[1]))
			if p.Layers > 0 {
				allow(&in, from, fmt.Sprintf(`tcp dport %d accept comment "layers of images, for cells"`, p.Layers))
			}
			allow(&forward, from, fmt.Sprintf("meta l4proto tcp ct original proto-dst %d-%d accept", p.Apps[0], p.Apps[1]))
		}
	}
	text := `# Written by ` + "`lattice install`" + `. What else shall come in: give it with --open.
table inet lattice_firewall
delete table inet lattice_firewall
table inet lattice_firewall {
	chain input {
		type filter hook input priority filter; policy drop;
		ct state established,related accept
		ct state invalid drop
		iif lo accept
		meta l4proto { 1, 58 } accept comment "ICMP"
		udp sport 67 udp dport 68 accept comment "DHCP"
		udp sport 547 udp dport 546 accept comment "DHCPv6"
		` + strings.Join(in, "\n\t\t") + `
	}
`
	if len(forward) > 0 {
		text += `	# To containers from outside: by the ports of apps, and only from nodes.
	chain forward {
		type filter hook forward priority filter; policy accept;
		ct state established,related accept
		` + strings.Join(forward, "\n\t\t") + `
		oifname "lat-*" iifname != "lat-*" ct status dnat drop
	}
`
	}
	return text + "}\n"
}

// sources returns a match for each range of nodes, or one that matches all.
func (f Firewall) sources() []string {
	if len(f.Nodes) == 0 {
		return []string{""}
	}
	var all []string
	for _, p := range f.Nodes {
		family := "ip"
		if p.Addr().Is6() {
			family = "ip6"
		}
		all = append(all, family+" saddr "+p.Masked().String())
	}
	return all
}

func set(ports []int) string {
	var b strings.Builder
	b.WriteString("{ ")
	for i, p := range ports {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprint(&b, p)
	}
	return b.String() + " }"
}

func (f Firewall) unit() string {
	nft, err := exec.LookPath("nft")
	if err != nil {
		nft = "/usr/sbin/nft" // check says so before it matters
	}
	return `# Written by ` + "`lattice install --firewall`" + `.
[Unit]
Description=Firewall of lattice
DefaultDependencies=no
Wants=network-pre.target
Before=network-pre.target shutdown.target
Conflicts=shutdown.target

[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=` + nft + ` -f ` + firewallFile + `
ExecReload=` + nft + ` -f ` + firewallFile + `
ExecStop=` + nft + ` delete table inet lattice_firewall

[Install]
WantedBy=sysinit.target
`
}
