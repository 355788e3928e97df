//go:build linux

package network

import (
	"encoding/binary"
	"testing"
)

// entry returns a rule with the standard verdict.
func entry(in, out string, verdict int32, change func(b []byte)) []byte {
	b := make([]byte, entrySize+targetSize+8)
	copy(b[16:], in)
	copy(b[32:], out)
	binary.NativeEndian.PutUint16(b[88:], entrySize)
	binary.NativeEndian.PutUint16(b[90:], uint16(len(b)))
	binary.NativeEndian.PutUint32(b[entrySize+targetSize:], uint32(verdict))
	if change != nil {
		change(b)
	}
	return b
}

func TestLegacyClosed(t *testing.T) {
	const bridge = "lat-" + testName
	var (
		in     = entry(bridge, "", verdictAccept, nil)
		out    = entry("", bridge, verdictAccept, nil)
		source = entry("", bridge, verdictAccept, func(b []byte) { b[11] = 0xff })
		tcp    = entry("", bridge, verdictAccept, func(b []byte) { b[80] = 6 })
		not    = entry("", bridge, verdictAccept, func(b []byte) { b[83] = 2 })
		accept = entry("", "", verdictAccept, nil)
		drop   = entry("", "", verdictDrop, nil)
		reject = entry("", "", 0, func(b []byte) { copy(b[entrySize+2:], "REJECT") })
	)
	for _, c := range []struct {
		name    string
		entries [][]byte
		want    bool
	}{
		{"policy accept", [][]byte{in, accept}, false},
		{"policy drop", [][]byte{drop}, true},
		{"rejects the rest", [][]byte{reject, accept}, true},
		{"drops another's", [][]byte{entry("eth1", "", verdictDrop, nil), accept}, false},
		{"excepted", [][]byte{in, out, drop}, false},
		{"only one way", [][]byte{in, drop}, true},
		{"for one source", [][]byte{in, source, drop}, true},
		{"for TCP", [][]byte{in, tcp, drop}, true},
		{"for the others", [][]byte{in, not, drop}, true},
	} {
		var all []byte
		last := 0
		for _, e := range c.entries {
			last = len(all)
			all = append(all, e...)
		}
		if got, err := legacyClosed(all, 0, last, bridge); got != c.want || err != nil {
			t.Errorf("%s: got %v, %v", c.name, got, err)
		}
		if _, err := legacyClosed(all[:len(all)-1], 0, last, bridge); err == nil {
			t.Errorf("%s, cut short: no error", c.name)
		}
	}
}

func FuzzLegacyClosed(f *testing.F) {
	f.Add(entry("a", "b", verdictDrop, nil), 0, 0)
	f.Add(append(entry("", "", 0, nil), entry("", "", verdictDrop, nil)...), 0, 152)
	f.Add([]byte{}, -1, 1<<30)
	f.Fuzz(func(t *testing.T, b []byte, first, last int) {
		if closed, err := legacyClosed(b, first, last, "a"); err != nil && closed {
			t.Errorf("closed with error %v", err)
		}
	})
}
