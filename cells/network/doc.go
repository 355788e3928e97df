// Package network connects containers on one Linux host by netlink and
// nftables, with no helper programs.
//
// An installation, named by eight hexadecimal digits, owns a bridge
// "lat-NAME", an nftables table "ip lattice-NAME" and one veth pair per
// container, whose host end is "lvNAME" and the container's number in the
// subnet. It touches no other table, chain or interface; the only setting of
// the whole host that it changes is net.ipv4.ip_forward.
//
// Each port of a container gets a port of the host. Two ways lead from there to
// the container: the short one, DNAT by one element of an nftables map, and a
// TCP proxy in this process, which also keeps other programs off the port. The
// proxy serves loopback, and everybody while another firewall of the host drops
// forwarded packets, which no rule of ours could undo.
//
// All that is in the kernel outlives the process. What is known only here, who
// has which address and port, comes back through Restore.
package network
