package main

import (
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// page keeps what is written to it.
type page struct{ strings.Builder }

func (p *page) Add(_ time.Time, b []byte) error { p.Write(b); return nil }
func (p *page) End(time.Time) error             { return nil }

func TestHold(t *testing.T) {
	const runc = "runc create failed: unable to start container process: exec: no such file"
	for _, c := range []struct {
		name  string
		reads []string
		spoke bool
		want  string
	}{
		{"runc's only line", []string{runc + "\n"}, false, ""},
		{"in pieces", []string{"ru", "nc create fai", runc[15:], "\n"}, false, ""},
		{"without its end", []string{runc}, false, ""},
		{"of runc start", []string{"runc start failed: x\n"}, false, ""},
		{"an app's lines", []string{"one\n", "two\n"}, false, "one\ntwo\n"},
		{"an app that begins like it", []string{"ru", "n\n"}, false, "run\n"},
		{"an app that ends there", []string{"ru"}, false, "ru"},
		{"an app that goes on", []string{runc + "\n", "more\n"}, false, runc + "\nmore\n"},
		{"an app that goes on at once", []string{runc + "\nmore\n"}, false, runc + "\nmore\n"},
		{"an app that said something elsewhere", []string{runc + "\n"}, true, runc + "\n"},
		{"nothing", nil, false, ""},
	} {
		var p page
		var spoke atomic.Bool
		spoke.Store(c.spoke)
		h := &hold{lines: &p, spoke: &spoke}
		for _, r := range c.reads {
			h.Add(time.Now(), []byte(r))
		}
		h.End(time.Now())
		if p.String() != c.want {
			t.Errorf("%s: got %q, want %q", c.name, p.String(), c.want)
		}
	}
}
