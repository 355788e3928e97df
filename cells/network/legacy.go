//go:build linux

package network

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// Hosts that still run iptables-legacy keep their rules where nftables doesn't
// see them. The layouts below are those of linux/netfilter_ipv4/ip_tables.h.
const (
	legacyTables  = "/proc/thread-self/net/ip_tables_names" // absent or empty: never used
	soGetInfo     = 64                                      // IPT_SO_GET_INFO
	soGetEntries  = 65                                      // IPT_SO_GET_ENTRIES
	entrySize     = 112                                     // of struct ipt_entry without matches and target
	targetSize    = 32                                      // of struct xt_entry_target
	verdictDrop   = -1                                      // -NF_DROP - 1
	verdictAccept = -2                                      // -NF_ACCEPT - 1
)

// legacyInfo is struct ipt_getinfo.
type legacyInfo struct {
	Name       [32]byte
	ValidHooks uint32
	HookEntry  [unix.NF_INET_NUMHOOKS]uint32
	Underflow  [unix.NF_INET_NUMHOOKS]uint32
	NumEntries uint32
	Size       uint32
}

// legacyBlocks says whether iptables-legacy drops what is forwarded and makes
// no exception for bridge.
func legacyBlocks(bridge string) (bool, error) {
	names, err := os.ReadFile(legacyTables)
	if errors.Is(err, os.ErrNotExist) || err == nil && !slices.Contains(strings.Fields(string(names)), "filter") {
		return false, nil // asking the kernel would make the table
	}
	if err != nil {
		return false, err
	}
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return false, err
	}
	defer unix.Close(fd)

	var info legacyInfo
	copy(info.Name[:], "filter")
	if err := getsockopt(fd, soGetInfo, unsafe.Pointer(&info), unsafe.Sizeof(info)); err != nil {
		return false, fmt.Errorf("get size of table filter: %w", err)
	}
	buf := make([]byte, 40+int(info.Size)) // struct ipt_get_entries: name, size, padding, entries
	copy(buf, "filter")
	binary.NativeEndian.PutUint32(buf[32:], info.Size)
	if err := getsockopt(fd, soGetEntries, unsafe.Pointer(&buf[0]), uintptr(len(buf))); err != nil {
		return false, fmt.Errorf("get rules of table filter: %w", err)
	}
	first, last := info.HookEntry[unix.NF_INET_FORWARD], info.Underflow[unix.NF_INET_FORWARD]
	return legacyClosed(buf[40:], int(first), int(last), bridge)
}

func getsockopt(fd, opt int, p unsafe.Pointer, size uintptr) error {
	length := uint32(size)
	_, _, errno := unix.Syscall6(unix.SYS_GETSOCKOPT, uintptr(fd), unix.SOL_IP, uintptr(opt), uintptr(p), uintptr(unsafe.Pointer(&length)), 0)
	if errno != 0 {
		return errno
	}
	return nil
}

// legacyClosed reads the entries of a table whose chain FORWARD begins at
// first and has its policy at last.
func legacyClosed(entries []byte, first, last int, bridge string) (bool, error) {
	var closed, in, out bool
	for at := 0; at < len(entries); {
		e, err := parseEntry(entries[at:])
		if err != nil {
			return false, fmt.Errorf("rule at byte %d: %w", at, err)
		}
		inForward := at >= first && at <= last
		closed = closed || inForward && e.in == "" && e.out == "" && e.plain && e.refuses
		in = in || e.in == bridge && e.out == "" && e.plain && e.accepts
		out = out || e.out == bridge && e.in == "" && e.plain && e.accepts
		at += e.size
	}
	return closed && !(in && out), nil
}

// A legacyEntry is a rule.
type legacyEntry struct {
	in, out          string // interfaces it is for; "" : all
	plain            bool   // it has no other condition
	accepts, refuses bool
	size             int // in bytes
}

// parseEntry reads the rule that b begins with.
func parseEntry(b []byte) (legacyEntry, error) {
	if len(b) < entrySize {
		return legacyEntry{}, errors.New("cut short")
	}
	target := int(binary.NativeEndian.Uint16(b[88:]))
	e := legacyEntry{
		in:   text(b[16:32]),
		out:  text(b[32:48]),
		size: int(binary.NativeEndian.Uint16(b[90:])),
	}
	if target < entrySize || target+targetSize > e.size || e.size > len(b) {
		return legacyEntry{}, fmt.Errorf("target at %d in %d bytes", target, e.size)
	}
	masks := b[8:16] // of source and destination address
	protocol, flags, inverse := b[80:82], b[82], b[83]
	e.plain = target == entrySize && bytes.Equal(masks, make([]byte, 8)) &&
		protocol[0] == 0 && protocol[1] == 0 && flags&^ipGoto == 0 && inverse == 0
	switch name := text(b[target+2 : target+31]); {
	case name == "REJECT":
		e.refuses = true
	case name == "" && e.size >= target+targetSize+4:
		verdict := int32(binary.NativeEndian.Uint32(b[target+targetSize:]))
		e.accepts, e.refuses = verdict == verdictAccept, verdict == verdictDrop
	}
	return e, nil
}

const ipGoto = 2 // IPT_F_GOTO: says how a jump is made, not when

func text(b []byte) string {
	s, _, _ := bytes.Cut(b, []byte{0})
	return string(s)
}
