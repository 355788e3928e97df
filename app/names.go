package app

import "strings"

const maxHostBytes = 253 // of a DNS name

func isHost(s string) bool {
	if len(s) > maxHostBytes {
		return false
	}
	for label := range strings.SplitSeq(s, ".") {
		if !isLabel(label) {
			return false
		}
	}
	return true
}

// isLabel reports whether s can stand between the dots of a host name. It lets
// "_" pass, which browsers and resolvers take though the standard doesn't.
func isLabel(s string) bool {
	if s == "" || len(s) > MaxNameBytes || !isAlnum(s[0]) || !isAlnum(s[len(s)-1]) {
		return false
	}
	for i := range len(s) {
		if c := s[i]; !isAlnum(c) && c != '-' && c != '_' {
			return false
		}
	}
	return true
}

func isAlnum(c byte) bool { return 'a' <= c && c <= 'z' || '0' <= c && c <= '9' }

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

// isVariable reports whether s matches [A-Za-z_][A-Za-z0-9_]*.
func isVariable(s string) bool {
	for i := range len(s) {
		c := s[i] | 0x20 // a letter in lower case
		if s[i] != '_' && !('a' <= c && c <= 'z') && !(i > 0 && '0' <= s[i] && s[i] <= '9') {
			return false
		}
	}
	return s != ""
}

func isUser(s string) bool {
	user, group, two := strings.Cut(s, ":")
	odd := func(r rune) bool { return isControl(r) || r == ' ' || r == ':' || r == '/' }
	return user != "" && (!two || group != "") && len(s) <= 256 &&
		!strings.ContainsFunc(user, odd) && !strings.ContainsFunc(group, odd)
}

func hasNUL(s string) bool { return strings.ContainsRune(s, 0) }
