package app_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"lattice/app"
)

func logLine(text string) app.LogLine {
	return app.LogLine{App: "web", Index: 3, GUID: "5f1c7a9e-2b41-4a63-9b1f-0d7c1e5a8b23", Seq: 42,
		At: time.Unix(1700000000, 123456789).UTC(), Stream: app.Stdout, Source: app.SourceApp, Text: text}
}

func TestLogLineComesBackAsItWas(t *testing.T) {
	part := logLine("first half")
	part.Partial = true
	odd := app.LogLine{App: "tab\there", Index: -1, GUID: "back\\slash", Seq: 1<<64 - 1,
		At: time.Unix(0, -1).UTC(), Stream: "new\nline", Source: "\x00\r"}
	cases := map[string]app.LogLine{
		"plain":         logLine("GET / 200 3ms"),
		"empty":         logLine(""),
		"zero":          {},
		"partial":       part,
		"odd fields":    odd,
		"tab":           logLine("a\tb\t"),
		"escapes":       logLine("a\nb\rc\x00d\\e\\n\\"),
		"invalid UTF-8": logLine("\xff\xfe ok \xc3"),
		"longest":       logLine(strings.Repeat("\n", app.MaxLine)),
	}
	for name, l := range cases {
		b := app.AppendLogLine([]byte("before"), l)[len("before"):]
		if n := bytes.Count(b, []byte("\n")); n != 1 || b[len(b)-1] != '\n' || bytes.ContainsAny(b, "\r\x00") {
			t.Errorf("%s: not one line: %q", name, b)
		}
		if got, err := app.ParseLogLine(b); err != nil || got != l {
			t.Errorf("%s: got %+v, %v, want %+v", name, got, err, l)
		}
		if got, err := app.ParseLogLine(b[:len(b)-1]); err != nil || got != l {
			t.Errorf("%s without newline: got %+v, %v, want %+v", name, got, err, l)
		}
	}
}

func TestParseLogLineRefuses(t *testing.T) {
	cases := map[string]string{
		"empty":            "",
		"few fields":       "web\t0\tg\t1\t5\tout\tAPP\t",
		"index":            "web\tx\tg\t1\t5\tout\tAPP\t\ttext",
		"seq":              "web\t0\tg\t-1\t5\tout\tAPP\t\ttext",
		"time":             "web\t0\tg\t1\t99999999999999999999\tout\tAPP\t\ttext",
		"partial":          "web\t0\tg\t1\t5\tout\tAPP\ty\ttext",
		"unknown escape":   "web\t0\tg\t1\t5\tout\tAPP\t\te\\x",
		"trailing escape":  "web\t0\tg\t1\t5\tout\tAPP\t\ttext\\",
		"escape in a name": "we\\q\t0\tg\t1\t5\tout\tAPP\t\ttext",
	}
	for name, in := range cases {
		if l, err := app.ParseLogLine([]byte(in)); !errors.Is(err, app.ErrInvalid) {
			t.Errorf("%s: got %+v, %v, want ErrInvalid", name, l, err)
		}
	}
}

func TestReadLogLines(t *testing.T) {
	good := string(app.AppendLogLine(nil, logLine("one"))) + string(app.AppendLogLine(nil, logLine("two")))
	full := app.AppendLogLine(nil, logLine(strings.Repeat("\\", app.MaxLine)))
	broken := errors.New("broken")
	cases := []struct {
		name  string
		in    io.Reader
		lines int
		want  error
	}{
		{"nothing", strings.NewReader(""), 0, nil},
		{"two", strings.NewReader(good), 2, nil},
		{"byte by byte", iotest.OneByteReader(strings.NewReader(good)), 2, nil},
		{"the longest", bytes.NewReader(full), 1, nil},
		{"torn", strings.NewReader(good + "web\t0\tg\t1\t5\tout\tAPP\t\thalf a li"), 2, app.ErrInvalid},
		{"cut connection", io.MultiReader(strings.NewReader(good+"web\t0"), iotest.ErrReader(broken)), 2, broken},
		{"too long", strings.NewReader(good + strings.Repeat("x", 10*app.MaxLogLine)), 2, app.ErrInvalid},
		{"junk", strings.NewReader("junk\n" + good), 0, app.ErrInvalid},
	}
	for _, c := range cases {
		n := 0
		err := app.ReadLogLines(c.in, func(app.LogLine) error { n++; return nil })
		if n != c.lines || !errors.Is(err, c.want) {
			t.Errorf("%s: got %d lines, %v, want %d, %v", c.name, n, err, c.lines, c.want)
		}
	}
	stop := errors.New("stop")
	if err := app.ReadLogLines(strings.NewReader(good), func(app.LogLine) error { return stop }); err != stop {
		t.Errorf("got %v, want the error of fn", err)
	}
}

func FuzzLogLine(f *testing.F) {
	f.Add("web", 0, "guid", uint64(1), int64(5), "out", "APP", "hello", false)
	f.Add("", -1, "\t", uint64(0), int64(0), "\n", "\r", "\\n\x00\xff", true)
	f.Fuzz(func(t *testing.T, name string, index int, guid string, seq uint64, at int64, stream, source, text string, partial bool) {
		l := app.LogLine{App: name, Index: index, GUID: guid, Seq: seq, At: time.Unix(0, at).UTC(),
			Stream: app.Stream(stream), Source: source, Text: text, Partial: partial}
		got, err := app.ParseLogLine(app.AppendLogLine(nil, l))
		if err != nil || got != l {
			t.Fatalf("got %+v, %v, want %+v", got, err, l)
		}
	})
}

func FuzzParseLogLine(f *testing.F) {
	f.Add(app.AppendLogLine(nil, logLine("hello")))
	f.Add([]byte("web\t0\tg\t1\t\tout\tAPP\t+\t\\\\\\n\\r\\0\\t"))
	f.Add([]byte("\t\t\t\t\t\t\t\t"))
	f.Fuzz(func(t *testing.T, b []byte) {
		l, err := app.ParseLogLine(b)
		if err != nil {
			if !errors.Is(err, app.ErrInvalid) {
				t.Fatalf("%v is not ErrInvalid", err)
			}
			return
		}
		if again, err := app.ParseLogLine(app.AppendLogLine(nil, l)); err != nil || again != l {
			t.Fatalf("got %+v, %v, want %+v", again, err, l)
		}
	})
}

func BenchmarkAppendLogLine(b *testing.B) {
	l := logLine(strings.Repeat("GET /index.html 200 ", 5))
	buf := make([]byte, 0, 512)
	b.ReportAllocs()
	for b.Loop() {
		buf = app.AppendLogLine(buf[:0], l)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "lines/s")
}

func BenchmarkReadLogLines(b *testing.B) {
	const n = 1000
	var all []byte
	for i := range n {
		l := logLine(fmt.Sprint(strings.Repeat("GET /index.html 200 ", 5), i))
		l.Seq = uint64(i + 1)
		all = app.AppendLogLine(all, l)
	}
	b.ReportAllocs()
	for b.Loop() {
		if err := app.ReadLogLines(bytes.NewReader(all), func(app.LogLine) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
	b.ReportMetric(float64(b.N*n)/b.Elapsed().Seconds(), "lines/s")
}
