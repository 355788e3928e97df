package config

import (
	"net"
	"net/netip"
	"strconv"
	"strings"
)

// listen returns the value of an option that is an address to listen on.
func (r *reader) listen(key string, mayBeEmpty bool) string {
	s := r.text(key)
	if s == "" && mayBeEmpty {
		return ""
	}
	host, port, err := net.SplitHostPort(s)
	if err != nil || !isPort(port) {
		r.wrong(key, "%q is not an address to listen on; write it as :port or ip:port", s)
	} else if _, err := netip.ParseAddr(host); host != "" && err != nil {
		r.wrong(key, "%q is not an ip address; write it as :port or ip:port", host)
	}
	return s
}

// distinct complains if two listeners want the same port.
func (r *reader) distinct(key, addr, otherKey, other string) {
	host, port, err := net.SplitHostPort(addr)
	otherHost, otherPort, otherErr := net.SplitHostPort(other)
	if err != nil || otherErr != nil || port != otherPort || port == "0" {
		return
	}
	if host == otherHost || isAny(host) || isAny(otherHost) {
		r.wrong(key, "port %s is wanted for %s too; give one of them another port", port, otherKey)
	}
}

func (r *reader) labels() map[string]string {
	labels := map[string]string{}
	for _, s := range r.list("label") {
		key, value, ok := strings.Cut(s, "=")
		switch _, twice := labels[key]; {
		case !ok:
			r.wrong("label", "%q is not a label; write it as key=value", s)
		case !isLabel(key) || value != "" && !isLabel(value):
			r.wrong("label", "%q: key and value may have letters, digits and . _ -, at most 63", s)
		case twice:
			r.wrong("label", "%q is given twice", key)
		default:
			labels[key] = value
		}
	}
	return labels
}

// hostPort splits "host[:port]"; the port is the API's when there is none.
func hostPort(s string) (host, port string, ok bool) {
	host, port, err := net.SplitHostPort(s)
	if err != nil {
		host, port = strings.Trim(s, "[]"), apiPort
	}
	_, err = netip.ParseAddr(host)
	return host, port, isPort(port) && (err == nil || isDomain(strings.ToLower(host)))
}

func isPort(s string) bool {
	_, err := strconv.ParseUint(s, 10, 16)
	return err == nil
}

func isAny(host string) bool {
	ip, err := netip.ParseAddr(host)
	return host == "" || err == nil && ip.IsUnspecified()
}

// isDomain reports whether s is one or more DNS labels in lower case.
func isDomain(s string) bool {
	for label := range strings.SplitSeq(s, ".") {
		if !isID(label) {
			return false
		}
	}
	return len(s) <= 253
}

// isID reports whether s is a DNS label in lower case.
func isID(s string) bool {
	return s != "" && len(s) <= 63 && s[0] != '-' && s[len(s)-1] != '-' &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// isLabel is isID with capitals, dots and underscores.
func isLabel(s string) bool {
	return s != "" && len(s) <= 63 &&
		strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-") == ""
}
