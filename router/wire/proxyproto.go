package wire

import (
	"bytes"
	"encoding/binary"
	"net/netip"
	"strconv"
)

const (
	maxProxyLine = 107     // bytes of a header of version 1
	maxProxyBody = 2 << 10 // bytes after the fixed part of version 2; the limit is ours
)

// signature begins a header of version 2.
const signature = "\r\n\r\n\x00\r\nQUIT\n"

// ParseProxy reads the header of the PROXY protocol, version 1 or 2, from the
// beginning of p and returns whose connection it is and how long the header is.
// The address is not valid when the proxy speaks for itself or of no TCP
// connection. It returns ErrMore when p ends before the header does.
func ParseProxy(p []byte) (src netip.AddrPort, n int, err error) {
	switch {
	case len(p) < len(signature) && bytes.HasPrefix([]byte(signature), p):
		return src, 0, ErrMore
	case bytes.HasPrefix(p, []byte(signature)):
		return parseProxy2(p)
	}
	return parseProxy1(p)
}

// parseProxy1 reads "PROXY TCP4 SOURCE DESTINATION PORT PORT\r\n".
func parseProxy1(p []byte) (src netip.AddrPort, n int, err error) {
	const begin = "PROXY "
	if !bytes.HasPrefix(p[:min(len(p), len(begin))], []byte(begin)[:min(len(p), len(begin))]) {
		return src, 0, bad("the connection does not begin with a header of the PROXY protocol")
	}
	end := bytes.Index(p[:min(len(p), maxProxyLine)], []byte("\r\n"))
	if end < 0 {
		if len(p) >= maxProxyLine {
			return src, 0, bad("the header of the PROXY protocol is longer than 107 bytes")
		}
		return src, 0, ErrMore
	}
	words := bytes.Split(p[:end], []byte(" "))
	if string(words[1]) == "UNKNOWN" {
		return src, end + 2, nil
	}
	if len(words) != 6 || string(words[1]) != "TCP4" && string(words[1]) != "TCP6" {
		return src, 0, bad("the header of the PROXY protocol has to be PROXY TCP4 or TCP6, two addresses and two ports")
	}
	from, err1 := parseProxyAddr(words[2], words[4])
	to, err2 := parseProxyAddr(words[3], words[5])
	is4 := string(words[1]) == "TCP4"
	if err1 != nil || err2 != nil || from.Addr().Is4() != is4 || to.Addr().Is4() != is4 {
		return src, 0, bad("the header of the PROXY protocol has a wrong address or port")
	}
	return from, end + 2, nil
}

func parseProxyAddr(ip, port []byte) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(string(ip))
	if err != nil || a.Zone() != "" {
		return netip.AddrPort{}, bad("no address")
	}
	n, err := strconv.ParseUint(string(port), 10, 16)
	if err != nil {
		return netip.AddrPort{}, bad("no port")
	}
	return netip.AddrPortFrom(a, uint16(n)), nil
}

// parseProxy2 reads the binary header. What follows the addresses in it is
// skipped.
func parseProxy2(p []byte) (src netip.AddrPort, n int, err error) {
	const fixed = len(signature) + 4
	if len(p) < fixed {
		return src, 0, ErrMore
	}
	command, family := p[12], p[13]
	size := int(binary.BigEndian.Uint16(p[14:16]))
	switch {
	case command != 0x20 && command != 0x21:
		return src, 0, bad("the header of the PROXY protocol has a version or command that is not known")
	case size > maxProxyBody:
		return src, 0, bad("the header of the PROXY protocol is longer than 2 KiB")
	case len(p) < fixed+size:
		return src, 0, ErrMore
	case command == 0x20: // the proxy's own connection
		return src, fixed + size, nil
	}
	body, width := p[fixed:fixed+size], 0
	switch family {
	case 0x11:
		width = 4
	case 0x21:
		width = 16
	default: // UDP, a Unix socket, or not said
		return src, fixed + size, nil
	}
	if size < 2*width+4 {
		return src, 0, bad("the header of the PROXY protocol is too short for its addresses")
	}
	a, _ := netip.AddrFromSlice(body[:width])
	return netip.AddrPortFrom(a, binary.BigEndian.Uint16(body[2*width:])), fixed + size, nil
}
