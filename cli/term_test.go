package cli

import (
	"bytes"
	"strings"
	"testing"
	"time"
)

func TestClean(t *testing.T) {
	for _, tt := range []struct{ in, color, dull string }{
		{"plain\ttext", "plain\ttext", "plain\ttext"},
		{"\x1b[31mred\x1b[0m", "\x1b[31mred\x1b[0m\x1b[0m", "red"},
		{"\x1b[2Jgone\r\a", "[2Jgone\x1b[0m", "[2Jgone"},
		{"\x1b]0;title\x07x", "]0;titlex\x1b[0m", "]0;titlex"},
		{"c1 \u009b31m", "c1 31m\x1b[0m", "c1 31m"},
		{"\x1b[1;31", "[1;31\x1b[0m", "[1;31"},
		{"naïve \xff", "naïve \xff", "naïve \xff"},
	} {
		if got := (&screen{tty: true, color: true}).clean(tt.in); got != tt.color {
			t.Errorf("%q with colours: got %q, want %q", tt.in, got, tt.color)
		}
		if got := (&screen{tty: true}).clean(tt.in); got != tt.dull {
			t.Errorf("%q without: got %q, want %q", tt.in, got, tt.dull)
		}
		if got := (&screen{}).clean(tt.in); got != tt.in {
			t.Errorf("%q to a file: got %q, want it as it is", tt.in, got)
		}
	}
}

func TestFit(t *testing.T) {
	got := strings.Join(fit("\x1b[1mabcdef\x1b[0m\nabc\né2345\n4\n5\n", 4, 4), "|")
	want := "\x1b[1mabcd\x1b[0m|abc|é234|… an"
	if got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTableAligns(t *testing.T) {
	var out bytes.Buffer
	var tab table
	tab.head("Äpp", "B")
	tab.row("x", field{"long", red}, "end")
	tab.row("longer", "")
	tab.write(&screen{w: &out, color: true})
	want := "\x1b[1mÄpp\x1b[0m     \x1b[1mB\x1b[0m\nx       \x1b[91mlong\x1b[0m  end\nlonger\n"
	if out.String() != want {
		t.Errorf("got %q, want %q", out.String(), want)
	}
}

func TestTexts(t *testing.T) {
	for got, want := range map[string]string{
		sizeText(0): "0", sizeText(1023): "1023B", sizeText(1024): "1K", sizeText(1536 << 10): "1.5M", sizeText(1<<20 - 1): "1M", sizeText(1 << 62): "4096P",
		limitText(0): "no limit", limitText(128): "128M",
		ageText(-time.Second): "0s", ageText(59*time.Second + 600*time.Millisecond): "1m0s", ageText(3*time.Hour + 5*time.Minute): "3h5m", ageText(50 * time.Hour): "2d2h",
		bar(0, 0, 4): "░░░░", bar(1, 2, 4): "██░░", bar(9, 2, 4): "████", bar(-1, 2, 2): "░░",
		commandText([]string{"sh", "-c", "echo 'x'", ""}): `sh -c 'echo '\''x'\''' ''`,
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestFilled(t *testing.T) {
	got := filled("one two three\nfour fïve\n\n  as it  is, however long\nsix", 9)
	if want := "one two\nthree\nfour fïve\n\n  as it  is, however long\nsix"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestNearest(t *testing.T) {
	names := []string{"create", "cr", "scale", "status", "list", "ls", "logs", "memory-mb", "monitor-port"}
	for typed, want := range map[string]string{
		"creat": "create", "craete": "create", "statsu": "status", "lgos": "logs", "memory": "memory-mb", "memry-mb": "memory-mb", "memry": "memory-mb",
		"xyzzy": "", "l": "ls", "deploy": "",
	} {
		if got := nearest(typed, names); got != want {
			t.Errorf("%q: got %q, want %q", typed, got, want)
		}
	}
}
