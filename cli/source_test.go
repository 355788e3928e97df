package cli

import (
	"slices"
	"strings"
	"testing"

	"github.com/moby/patternmatcher"
)

func TestGitPatterns(t *testing.T) {
	got, err := gitPatterns(strings.NewReader("# none\n\nnode_modules/\n/dist\nsrc/*.o\n*.log\n!keep.log\n"))
	want := []string{"**/node_modules", "dist", "src/*.o", "**/*.log", "!**/keep.log"}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("%q %v, want %q", got, err, want)
	}
}

func FuzzGitPatterns(f *testing.F) {
	f.Add("a/\n!b\n**/[c")
	f.Fuzz(func(t *testing.T, text string) {
		patterns, err := gitPatterns(strings.NewReader(text))
		if err != nil {
			return
		}
		if m, err := patternmatcher.New(patterns); err == nil {
			_, _ = m.MatchesOrParentMatches("a/b") // must not panic
		}
	})
}
