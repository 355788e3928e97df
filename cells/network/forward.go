//go:build linux

package network

import (
	"bytes"
	"fmt"
	"slices"
	"strings"

	"github.com/google/nftables"
	"github.com/google/nftables/expr"
)

// A blocker is a chain of another firewall that drops forwarded packets and
// makes no exception for our bridge.
type blocker struct {
	family, table, chain string
	legacy               bool // of the kernel's older iptables, which nft doesn't see
}

func (b blocker) String() string {
	if b.legacy {
		return "chain FORWARD of iptables-legacy"
	}
	return fmt.Sprintf("chain %s of nftables table %s %s", b.chain, b.family, b.table)
}

// allow returns the command that makes the exception. The rules of our own
// table still keep other hosts from containers' unpublished ports.
func (b blocker) allow(bridge string) string {
	tool := "iptables"
	switch {
	case b.legacy:
		tool = "iptables-legacy"
	case b.family != "ip" || b.table != "filter" || b.chain != "FORWARD": // not made by iptables-nft
		rule := "insert rule " + b.family + " " + b.table + " " + b.chain
		return fmt.Sprintf(`nft '%s iifname "%s" accept; %s oifname "%s" accept'`, rule, bridge, rule, bridge)
	}
	return fmt.Sprintf("%s -I FORWARD -i %s -j ACCEPT && %s -I FORWARD -o %s -j ACCEPT", tool, bridge, tool, bridge)
}

// ForwardBlocked says whether, when last looked at, another firewall of the
// host dropped what is forwarded to and from containers. Host ports are then
// served by proxies, which hide the client's address from the container. It is
// looked at by Restore, Attach and Repair.
func (n *Network) ForwardBlocked() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return len(n.blockers) > 0
}

// Warning returns what the operator should know, in one sentence, or "".
func (n *Network) Warning() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if len(n.blockers) == 0 {
		return ""
	}
	var who, how []string
	for _, b := range n.blockers {
		who = append(who, b.String())
		how = append(how, b.allow(n.bridge))
	}
	return fmt.Sprintf("apps can be reached but can't open connections to the outside, because %s drops forwarded packets; to allow it, run: %s",
		strings.Join(who, " and "), strings.Join(how, " && "))
}

// survey finds out whether forwarding is blocked and says whether that changed.
func (n *Network) survey() (changed bool, err error) {
	err = n.batch(func(conn *nftables.Conn) error {
		found, err := findBlockers(conn, n.table.Name, n.bridge)
		if err != nil {
			return fmt.Errorf("look for firewalls that drop forwarded packets: %w", err)
		}
		legacy, err := legacyBlocks(n.bridge)
		if err != nil {
			return fmt.Errorf("look into iptables-legacy: %w", err)
		}
		if legacy {
			found = append(found, blocker{legacy: true})
		}
		n.mu.Lock()
		defer n.mu.Unlock()
		changed = (len(n.blockers) > 0) != (len(found) > 0)
		n.blockers = found
		return nil
	})
	switch {
	case changed && n.ForwardBlocked():
		n.log.Warn("host ports are now served by proxies", "reason", n.Warning())
	case changed:
		n.log.Info("host ports are now served by nftables")
	}
	return changed, err
}

// findBlockers returns the nftables chains that block, but for those of table
// own. No accept of ours could undo their drop: each chain on a hook has its say.
func findBlockers(conn *nftables.Conn, own, bridge string) ([]blocker, error) {
	chains, err := conn.ListChains()
	if err != nil {
		return nil, err
	}
	families := map[nftables.TableFamily]string{nftables.TableFamilyIPv4: "ip", nftables.TableFamilyINet: "inet"}
	var found []blocker
	for _, c := range chains {
		family, ok := families[c.Table.Family]
		if !ok || c.Table.Name == own || c.Type != nftables.ChainTypeFilter || c.Hooknum == nil || *c.Hooknum != *nftables.ChainHookForward {
			continue
		}
		if closed(conn, c) && !excepted(conn, c.Table, chains, bridge) {
			found = append(found, blocker{family: family, table: c.Table.Name, chain: c.Name})
		}
	}
	return found, nil
}

// closed says whether c drops what none of its rules accepts: by its policy or
// by a rule without a condition.
func closed(conn *nftables.Conn, c *nftables.Chain) bool {
	if c.Policy != nil && *c.Policy == nftables.ChainPolicyDrop {
		return true
	}
	rules, err := conn.GetRules(c.Table, c)
	return err == nil && slices.ContainsFunc(rules, func(r *nftables.Rule) bool {
		return len(conditions(r.Exprs)) == 0 && refuses(r.Exprs)
	})
}

// excepted says whether a rule in table accepts all that comes from the bridge
// and another one all that goes there. Rules that can't be read don't count.
func excepted(conn *nftables.Conn, table *nftables.Table, chains []*nftables.Chain, bridge string) bool {
	var in, out bool
	for _, c := range chains {
		if c.Table.Name != table.Name || c.Table.Family != table.Family {
			continue
		}
		rules, err := conn.GetRules(c.Table, c)
		if err != nil {
			continue
		}
		for _, r := range rules {
			in = in || accepts(r.Exprs, expr.MetaKeyIIFNAME, bridge)
			out = out || accepts(r.Exprs, expr.MetaKeyOIFNAME, bridge)
		}
	}
	return in && out
}

// accepts says whether a rule accepts all packets of one interface.
func accepts(rule []expr.Any, key expr.MetaKey, name string) bool {
	if len(rule) == 0 {
		return false
	}
	if v, ok := rule[len(rule)-1].(*expr.Verdict); !ok || v.Kind != expr.VerdictAccept {
		return false
	}
	cond := conditions(rule)
	if len(cond) != 2 {
		return false
	}
	meta, ok1 := cond[0].(*expr.Meta)
	cmp, ok2 := cond[1].(*expr.Cmp)
	return ok1 && ok2 && meta.Key == key && cmp.Op == expr.CmpOpEq && string(bytes.TrimRight(cmp.Data, "\x00")) == name
}

// conditions returns the expressions of a rule that decide whether it applies.
func conditions(rule []expr.Any) []expr.Any {
	var cs []expr.Any
	for _, e := range rule {
		switch e.(type) {
		case *expr.Counter, *expr.Log, *expr.Verdict, *expr.Reject:
		default:
			cs = append(cs, e)
		}
	}
	return cs
}

// refuses says whether a rule drops or rejects what it applies to.
func refuses(rule []expr.Any) bool {
	return slices.ContainsFunc(rule, func(e expr.Any) bool {
		if v, ok := e.(*expr.Verdict); ok {
			return v.Kind == expr.VerdictDrop
		}
		_, ok := e.(*expr.Reject)
		return ok
	})
}
