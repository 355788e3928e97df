package config

import (
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
)

const loopback = "127.0.0.1"

// hostAddress returns the address of the default route's interface, else the
// first one that isn't of a loopback or bridge, else 127.0.0.1.
func hostAddress() string {
	// Connecting UDP sends nothing: it only asks for the route and its address.
	if conn, err := net.Dial("udp4", "192.0.2.1:9"); err == nil {
		defer conn.Close()
		if a, ok := conn.LocalAddr().(*net.UDPAddr); ok && !a.IP.IsLoopback() {
			return a.IP.String()
		}
	}
	interfaces, err := net.Interfaces()
	if err != nil {
		return loopback
	}
	for _, i := range interfaces {
		if i.Flags&net.FlagLoopback != 0 || i.Flags&net.FlagUp == 0 || isBridge(i.Name) {
			continue
		}
		if ip := firstAddress(i); ip != "" {
			return ip
		}
	}
	return loopback
}

func firstAddress(i net.Interface) string {
	addrs, err := i.Addrs()
	if err != nil {
		return ""
	}
	for _, a := range addrs {
		if p, err := netip.ParsePrefix(a.String()); err == nil && p.Addr().IsGlobalUnicast() {
			return p.Addr().String()
		}
	}
	return ""
}

// isBridge keeps the address of containers' bridges, ours among them, from being
// taken for the host's.
func isBridge(name string) bool {
	_, err := os.Stat(filepath.Join("/sys/class/net", name, "bridge"))
	return err == nil
}

// hostID returns the host's name up to the first dot, made fit for a cell's ID.
func hostID() string {
	name, err := os.Hostname()
	if err != nil {
		return "cell"
	}
	return cleanID(name)
}

func cleanID(name string) string {
	name, _, _ = strings.Cut(strings.ToLower(name), ".")
	name = strings.Map(func(c rune) rune {
		if isID(string(c)) {
			return c
		}
		return '-'
	}, name)
	name = strings.Trim(name[:min(len(name), 63)], "-")
	if name == "" {
		return "cell"
	}
	return name
}
