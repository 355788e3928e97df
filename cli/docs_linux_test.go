package cli

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

// The reference is of the commands as they are on Linux, where all of them are.
func TestReferenceIsUpToDate(t *testing.T) {
	const dir = "../docs/reference"
	want := markdownPages(referencePage())
	for name, text := range want {
		have, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil || !bytes.Equal(have, text) {
			t.Errorf("%s/%s is out of date: run make docs", dir, name)
		}
	}
	files, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		if want[f.Name()] == nil {
			t.Errorf("%s/%s is of no command: run make docs", dir, f.Name())
		}
	}
}

// Whoever adds a command finds out here what its help lacks.
func TestEveryCommandHelps(t *testing.T) {
	root := newRoot(newStreams("ltc", nil, nil, nil))
	var walk func(cmd *cobra.Command)
	walk = func(cmd *cobra.Command) {
		for _, c := range cmd.Commands() {
			walk(c)
		}
		if !cmd.HasParent() || cmd.Hidden {
			return
		}
		name := cmd.CommandPath()
		if cmd.Short == "" || strings.HasSuffix(cmd.Short, ".") || len(cmd.Short) > 90 {
			t.Errorf("%s: Short is %q: it must be one line of at most 90 characters without a full stop", name, cmd.Short)
		}
		if cmd.Example == "" {
			t.Errorf("%s has no Example", name)
		}
		if cmd.Parent() == root && !root.ContainsGroup(cmd.GroupID) || cmd.GroupID == "" && cmd.Parent() == root {
			t.Errorf("%s is in no group of the help", name)
		}
		for line := range strings.Lines(cmd.Example) {
			if first, _, _ := strings.Cut(line, " "); first == "lattice" {
				t.Errorf("%s: the example %q must begin with the name of the program, st.name", name, line)
			}
		}
	}
	walk(root)
}

// No page has what roff would take for a request of its own.
func TestManPagesAreRoff(t *testing.T) {
	known := map[string]bool{".TH": true, ".SH": true, ".SS": true, ".B": true, ".BR": true, ".PP": true, ".TP": true, ".nf": true, ".fi": true, ".br": true, ".so": true}
	for name, text := range manPages(referencePage()) {
		for line := range strings.Lines(string(text)) {
			if first := strings.Fields(line + " x")[0]; strings.HasPrefix(line, ".") && !known[first] || strings.HasPrefix(line, "'") {
				t.Errorf("%s: %q", name, line)
			}
		}
	}
}
