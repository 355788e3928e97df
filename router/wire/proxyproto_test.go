package wire

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

func TestProxyHeader(t *testing.T) {
	const v2 = signature
	for text, want := range map[string]string{ // whose connection and what is left; no bar: refused; empty: more is wanted
		"PROXY TCP4 1.2.3.4 5.6.7.8 4711 80\r\nGET": "1.2.3.4:4711|GET",
		"PROXY TCP6 2001:db8::1 ::1 4711 80\r\n":    "[2001:db8::1]:4711|",
		"PROXY UNKNOWN\r\nGET":                      "invalid AddrPort|GET",
		"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\nGET":  "invalid AddrPort|GET",
		"PROXY TCP4 1.2.3.4 5.6.7.8 4711 80":        "",
		"PRO":                                       "",
		"PROXY TCP4 ::1 ::2 4711 80\r\n":            "refused",
		"PROXY TCP4 1.2.3.4 5.6.7.8 4711 80000\r\n": "refused",
		"PROXY TCP4 1.2.3.4 5.6.7.8 4711\r\n":       "refused",
		"PROXY TCP6 fe80::1%eth0 ::1 1 2\r\n":       "refused",
		"PROXY \r\n":                                "refused",
		"GET / HTTP/1.1\r\n":                        "refused",
		"PROXY TCP4 " + strings.Repeat("1", 200):    "refused",
		v2 + "\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x67\x00\x50GET":             "1.2.3.4:4711|GET",
		v2 + "\x21\x11\x00\x0f\x01\x02\x03\x04\x05\x06\x07\x08\x12\x67\x00\x50\x04\x00\x00GET": "1.2.3.4:4711|GET",
		v2 + "\x20\x00\x00\x00GET":              "invalid AddrPort|GET",
		v2 + "\x21\x31\x00\x01xGET":             "invalid AddrPort|GET",
		v2 + "\x21\x11\x00\x0c\x01\x02":         "",
		v2[:5]:                                  "",
		v2 + "\x11\x11\x00\x00":                 "refused",
		v2 + "\x22\x11\x00\x00":                 "refused",
		v2 + "\x21\x11\x00\x04\x01\x02\x03\x04": "refused",
		v2 + "\x21\x21\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x67\x00\x50": "refused",
		v2 + "\x21\x11\xff\xff": "refused",
	} {
		src, n, err := ParseProxy([]byte(text))
		got := "refused"
		if err == ErrMore {
			got = ""
		} else if err == nil {
			got = src.String() + "|" + text[n:]
		}
		if got != want {
			t.Errorf("%q: got %q, %v; want %q", text, got, err, want)
		}
	}
}

// FuzzProxy holds that a header is taken the same way however it comes in.
func FuzzProxy(f *testing.F) {
	f.Add([]byte("PROXY TCP4 1.2.3.4 5.6.7.8 4711 80\r\nGET"))
	f.Add([]byte(signature + "\x21\x11\x00\x0c\x01\x02\x03\x04\x05\x06\x07\x08\x12\x67\x00\x50GET"))
	f.Fuzz(func(t *testing.T, p []byte) {
		src, n, err := ParseProxy(p)
		if err != nil {
			if n != 0 || src != (netip.AddrPort{}) {
				t.Fatalf("%q: refused, but %v and %d", p, src, n)
			}
			return
		}
		if n == 0 || n > len(p) {
			t.Fatalf("%q: a header of %d bytes", p, n)
		}
		for i := range n {
			if _, _, err := ParseProxy(p[:i]); !errors.Is(err, ErrMore) {
				t.Fatalf("%q: %d bytes of it are %v", p, i, err)
			}
		}
	})
}
