package containerd

import "testing"

func TestShorten(t *testing.T) {
	tests := []struct{ text, want string }{
		{
			"failed to create shim task: OCI runtime create failed: runc create failed: unable to start container process: error during container init: mounting \"x\": busy\n",
			`mounting "x": busy`,
		},
		{"ttrpc: closed", "ttrpc: closed"},
	}
	for _, tt := range tests {
		if got := shorten(tt.text); got != tt.want {
			t.Errorf("got %q, want %q", got, tt.want)
		}
	}
}

func TestWithoutLoopback(t *testing.T) {
	tests := []struct {
		name, conf, want string
		usable           bool
	}{
		{"plain", "nameserver 10.0.0.2\nsearch x.y\n", "nameserver 10.0.0.2\nsearch x.y\n", true},
		{"stub only", "# stub\nnameserver 127.0.0.53\noptions edns0\n", "# stub\noptions edns0\n", false},
		{"mixed", "nameserver ::1\nnameserver 2001:db8::1\n", "nameserver 2001:db8::1\n", true},
		{"empty", "", "", false},
		{"garbage", "nameserver\nnameserver x\n", "nameserver\n", false},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			got, usable := withoutLoopback([]byte(tt.conf))
			if got != tt.want || usable != tt.usable {
				t.Errorf("got %q %v, want %q %v", got, usable, tt.want, tt.usable)
			}
		})
	}
}

func TestIDRanges(t *testing.T) {
	r := newIDRanges("x")
	emptied := 0
	empty := func() { emptied++ }
	a, err1 := r.take("a", "a-0")
	a2, err2 := r.take("a", "a-1")
	b, err3 := r.take("b", "b-0")
	if err1 != nil || err2 != nil || err3 != nil || a != a2 || a == b {
		t.Fatalf("got %d %d %d, %v %v %v", a, a2, b, err1, err2, err3)
	}
	if _, err := r.take("c", "a-0"); err == nil {
		t.Error("a GUID was taken twice")
	}
	r.release("a-0", empty)
	r.release("a-0", empty)
	if again, _ := r.take("a", "a-2"); again != a {
		t.Errorf("got %d, want the range of the app's other container", again)
	}
	for _, guid := range []string{"a-1", "a-2", "b-0"} {
		if emptied != 0 {
			t.Error("said to be empty before it was")
		}
		r.release(guid, empty)
	}
	if emptied != 1 {
		t.Errorf("said to be empty %d times, want once", emptied)
	}
	seen := map[uint32]bool{}
	for i := range maxRanges {
		base, err := r.take(string(rune('0'+i)), string(rune('0'+i)))
		if err != nil || seen[base] || base < firstID || base%rangeSize != 0 || base > 0x7ffe0000-rangeSize {
			t.Fatalf("range %d: got %#x, %v", i, base, err)
		}
		seen[base] = true
	}
	if _, err := r.take("one more", "one more"); err == nil {
		t.Error("more ranges were given than there are")
	}
}

func FuzzWithoutLoopback(f *testing.F) {
	f.Add([]byte("nameserver 127.0.0.53\nnameserver 10.0.0.2\nsearch x\n"))
	f.Add([]byte("nameserver ::1%lo\n\n\x00"))
	f.Fuzz(func(t *testing.T, conf []byte) {
		text, usable := withoutLoopback(conf)
		if again, u := withoutLoopback([]byte(text)); again != text || u != usable {
			t.Errorf("not stable: %q became %q", text, again)
		}
	})
}
