//go:build linux

package network

import (
	"net/netip"

	"github.com/google/nftables"
	"github.com/google/nftables/binaryutil"
	"github.com/google/nftables/expr"
	"golang.org/x/sys/unix"
)

// A ruleChain is a chain with its rules.
type ruleChain struct {
	chain *nftables.Chain
	rules [][]expr.Any
}

// chains returns the chains of our table. As nft prints them:
//
//	chain prerouting {
//		type nat hook prerouting priority dstnat; policy accept;
//		fib daddr type local dnat ip to tcp dport map @ports
//	}
//	chain output {
//		type nat hook output priority -100; policy accept;
//		ip daddr != 127.0.0.0/8 fib daddr type local dnat ip to tcp dport map @ports
//	}
//	chain postrouting {
//		type nat hook postrouting priority srcnat; policy accept;
//		ip saddr SUBNET oifname != BRIDGE masquerade
//		ip saddr SUBNET oifname BRIDGE ct status dnat masquerade
//	}
//	chain forward {
//		type filter hook forward priority filter; policy accept;
//		iifname != BRIDGE oifname BRIDGE ct state new ct status ! dnat drop
//	}
//
// The second masquerade is for a container that talks to another one, or to
// itself, through a host port: the answer must come back the same way. The
// drop keeps other hosts from connecting to containers but by their host ports.
func (n *Network) chains() []ruleChain {
	n.mu.Lock()
	subnet := n.subnet
	n.mu.Unlock()
	var (
		local    = fibLocal()
		toPort   = n.dnatByPort()
		ours     = fromSubnet(subnet)
		in       = func(op expr.CmpOp) []expr.Any { return ifname(expr.MetaKeyIIFNAME, op, n.bridge) }
		out      = func(op expr.CmpOp) []expr.Any { return ifname(expr.MetaKeyOIFNAME, op, n.bridge) }
		masq     = []expr.Any{&expr.Masq{}}
		dnatted  = ctBits(expr.CtKeySTATUS, ctStatusDNAT, expr.CmpOpNeq)
		straight = ctBits(expr.CtKeySTATUS, ctStatusDNAT, expr.CmpOpEq)
		fresh    = ctBits(expr.CtKeySTATE, expr.CtStateBitNEW, expr.CmpOpNeq)
		drop     = []expr.Any{&expr.Verdict{Kind: expr.VerdictDrop}}
	)
	return []ruleChain{
		{n.chain("prerouting", nftables.ChainTypeNAT, nftables.ChainHookPrerouting, nftables.ChainPriorityNATDest),
			[][]expr.Any{join(local, toPort)}},
		{n.chain("output", nftables.ChainTypeNAT, nftables.ChainHookOutput, nftables.ChainPriorityNATDest),
			[][]expr.Any{join(notLoopback(), local, toPort)}},
		{n.chain("postrouting", nftables.ChainTypeNAT, nftables.ChainHookPostrouting, nftables.ChainPriorityNATSource),
			[][]expr.Any{join(ours, out(expr.CmpOpNeq), masq), join(ours, out(expr.CmpOpEq), dnatted, masq)}},
		{n.chain("forward", nftables.ChainTypeFilter, nftables.ChainHookForward, nftables.ChainPriorityFilter),
			[][]expr.Any{join(in(expr.CmpOpNeq), out(expr.CmpOpEq), fresh, straight, drop)}},
	}
}

func (n *Network) chain(name string, t nftables.ChainType, hook *nftables.ChainHook, prio *nftables.ChainPriority) *nftables.Chain {
	accept := nftables.ChainPolicyAccept
	return &nftables.Chain{Name: name, Table: n.table, Type: t, Hooknum: hook, Priority: prio, Policy: &accept}
}

func join(parts ...[]expr.Any) []expr.Any {
	var all []expr.Any
	for _, p := range parts {
		all = append(all, p...)
	}
	return all
}

const (
	reg1         = unix.NFT_REG_1    // 16 bytes, from where an address is read
	reg32Second  = unix.NFT_REG32_01 // the second 4 bytes of reg1
	ctStatusDNAT = 1 << 5            // IPS_DST_NAT in linux/netfilter/nf_conntrack_common.h
)

// dnatByPort sends TCP packets to where the map leads their port; others and
// those whose port isn't in the map pass.
func (n *Network) dnatByPort() []expr.Any {
	return []expr.Any{
		&expr.Meta{Key: expr.MetaKeyL4PROTO, Register: reg1},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: []byte{unix.IPPROTO_TCP}},
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseTransportHeader, Offset: 2, Len: 2},
		&expr.Lookup{SourceRegister: reg1, DestRegister: reg1, IsDestRegSet: true, SetName: "ports", SetID: portsID},
		&expr.NAT{
			Type: expr.NATTypeDestNAT, Family: unix.NFPROTO_IPV4,
			RegAddrMin: reg1, RegAddrMax: reg1, RegProtoMin: reg32Second, RegProtoMax: reg32Second, Specified: true,
		},
	}
}

// fibLocal matches packets to an address of this host.
func fibLocal() []expr.Any {
	return []expr.Any{
		&expr.Fib{Register: reg1, FlagDADDR: true, ResultADDRTYPE: true},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: binaryutil.NativeEndian.PutUint32(unix.RTN_LOCAL)},
	}
}

// notLoopback matches packets to anything but 127.0.0.0/8, which can't leave
// lo whatever address they are given; the proxy takes those.
func notLoopback() []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: 16, Len: 1},
		&expr.Cmp{Op: expr.CmpOpNeq, Register: reg1, Data: []byte{127}},
	}
}

// fromSubnet matches packets by their source address.
func fromSubnet(subnet netip.Prefix) []expr.Any {
	return []expr.Any{
		&expr.Payload{DestRegister: reg1, Base: expr.PayloadBaseNetworkHeader, Offset: 12, Len: 4},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: ipNet(subnet.Addr(), subnet.Bits()).Mask, Xor: make([]byte, 4)},
		&expr.Cmp{Op: expr.CmpOpEq, Register: reg1, Data: subnet.Masked().Addr().AsSlice()},
	}
}

// ifname matches packets by the name of an interface.
func ifname(key expr.MetaKey, op expr.CmpOp, name string) []expr.Any {
	padded := make([]byte, unix.IFNAMSIZ)
	copy(padded, name)
	return []expr.Any{
		&expr.Meta{Key: key, Register: reg1},
		&expr.Cmp{Op: op, Register: reg1, Data: padded},
	}
}

// ctBits matches packets whose connection has one of bits set (CmpOpNeq), or
// none of them (CmpOpEq).
func ctBits(key expr.CtKey, bits uint32, op expr.CmpOp) []expr.Any {
	return []expr.Any{
		&expr.Ct{Key: key, Register: reg1},
		&expr.Bitwise{SourceRegister: reg1, DestRegister: reg1, Len: 4, Mask: binaryutil.NativeEndian.PutUint32(bits), Xor: make([]byte, 4)},
		&expr.Cmp{Op: op, Register: reg1, Data: make([]byte, 4)},
	}
}
