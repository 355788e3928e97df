package app_test

import (
	"errors"
	"testing"

	"lattice/app"
)

func TestParseStatuses(t *testing.T) {
	for _, c := range []struct {
		text, want string
		in, out    []int
	}{
		{"", "200-399", []int{200, 302, 399}, []int{199, 400, 0}},
		{"200", "200", []int{200}, []int{201}},
		{"200-299,401", "200-299,401", []int{204, 401}, []int{300, 400, 402}},
		{" 200 - 204 , 503 ", "200-204,503", []int{202, 503}, []int{205}},
		{"100-599", "100-599", []int{100, 599}, []int{600}},
	} {
		s, err := app.ParseStatuses(c.text)
		if err != nil || s.String() != c.want {
			t.Errorf("%q: got %s, %v, want %s", c.text, s, err, c.want)
		}
		for _, code := range c.in {
			if !s.Has(code) {
				t.Errorf("%q has not %d", c.text, code)
			}
		}
		for _, code := range c.out {
			if s.Has(code) {
				t.Errorf("%q has %d", c.text, code)
			}
		}
	}
	for _, text := range []string{"x", "20", "2000", "99", "600", "299-200", "200-", "-200", "200,,201", ",", "+20", "2xx", "200-250-299"} {
		if s, err := app.ParseStatuses(text); !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%q: got %v, %v, want ErrInvalid", text, s, err)
		}
	}
}

// FuzzParseStatuses checks that what is read is written so that it is read as
// the same again, and that no code outside HTTP's gets in.
func FuzzParseStatuses(f *testing.F) {
	for _, s := range []string{"", "200", "200-299,401", " 204 ", "599-600", "2-0", "200,"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		s, err := app.ParseStatuses(text)
		if err != nil {
			if !errors.Is(err, app.ErrInvalid) {
				t.Fatalf("%q: %v is not ErrInvalid", text, err)
			}
			return
		}
		again, err := app.ParseStatuses(s.String())
		if err != nil || again.String() != s.String() {
			t.Fatalf("%q is %s, which is read as %s, %v", text, s, again, err)
		}
		if s.Has(99) || s.Has(600) {
			t.Fatalf("%q has a code that HTTP has not", text)
		}
	})
}
