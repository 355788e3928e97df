package main

import (
	"slices"
	"strings"
	"testing"
)

func TestWords(t *testing.T) {
	for line, want := range map[string]string{
		"":                      "",
		"  a  b\tc ":            "a|b|c",
		`a "b c" 'd "e'`:        `a|b c|d "e`,
		`a\ b "c\"d" 'e\f' ""`:  `a b|c"d|e\f|`,
		`/x --flag='one two'`:   "/x|--flag=one two",
		"ümlaut 日本":             "ümlaut|日本",
		"a | b":                 "!",
		"a $HOME":               "!",
		`"open`:                 "!",
		`echo 'a|b' "c;d" e\;f`: "echo|a|b|c;d|e;f",
	} {
		got, err := words(line)
		if want == "!" {
			if err == nil {
				t.Errorf("%q: %q, want an error", line, got)
			}
			continue
		}
		if err != nil || strings.Join(got, "|") != want {
			t.Errorf("%q: %q %v, want %q", line, got, err, want)
		}
	}
}

func FuzzWords(f *testing.F) {
	f.Add("a 'b c' \"d\"")
	f.Fuzz(func(t *testing.T, line string) {
		all, err := words(line)
		if err == nil && len(all) == 1 && !strings.ContainsAny(line, "'\"\\") && !slices.Contains(strings.Fields(line), all[0]) {
			t.Fatalf("%q: %q", line, all)
		}
	})
}
