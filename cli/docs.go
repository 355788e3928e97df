package cli

import (
	"bytes"
	"cmp"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

// newDocs writes the reference of all commands. 'make docs' and 'make install'
// use it.
func newDocs(st *streams) *cobra.Command {
	var markdown, man string
	cmd := &cobra.Command{
		Use:     "docs",
		Hidden:  true,
		GroupID: groupHelp,
		Short:   "Write the reference of all commands as Markdown or as man pages",
		Example: st.name + " docs --markdown docs/reference\n" + st.name + " docs --man /usr/local/share/man/man1",
		Args:    args(0, 0, ""),
	}
	cmd.Flags().StringVar(&markdown, "markdown", "", "write Markdown into the folder `DIR`")
	cmd.Flags().StringVar(&man, "man", "", "write man pages into the folder `DIR`")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		if markdown == "" && man == "" {
			return usage(cmd, "docs needs --markdown DIR or --man DIR")
		}
		top := referencePage()
		for dir, files := range map[string]map[string][]byte{markdown: markdownPages(top), man: manPages(top)} {
			if err := writePages(dir, files); err != nil {
				return fail(exitFile, fmt.Errorf("write the reference: %w", err))
			}
		}
		return nil
	}
	return cmd
}

// referencePage returns the page of the whole program.
func referencePage() *page {
	root := newRoot(newStreams("ltc", nil, io.Discard, io.Discard))
	root.InitDefaultHelpCmd()
	return newPage(root)
}

// writePages writes files into dir, unless that is "".
func writePages(dir string, files map[string][]byte) error {
	if dir == "" {
		return nil
	}
	if err := os.MkdirAll(dir, 0o755); err != nil {
		return err
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(dir, name), text, 0o644); err != nil {
			return err
		}
	}
	return nil
}

// A page is what there is to say of a command.
type page struct {
	path     string // "ltc target list"
	use      string // the usage line
	short    string
	about    string
	group    string
	aliases  []string
	examples []string
	flags    []flagText
	below    []*page
}

// flagText is a flag as the help shows it.
type flagText struct {
	names string // "-m, --memory-mb MB"
	usage string
}

func newPage(cmd *cobra.Command) *page {
	cmd.InitDefaultHelpFlag()
	p := &page{
		path: cmd.CommandPath(), use: cmd.UseLine(), short: cmd.Short, about: cmp.Or(cmd.Long, cmd.Short), group: cmd.GroupID,
		aliases: cmd.Aliases,
	}
	if cmd.Example != "" {
		p.examples = strings.Split(cmd.Example, "\n")
	}
	cmd.LocalFlags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden && (f.Name != "help" && f.Name != "quiet" || !cmd.HasParent()) {
			p.flags = append(p.flags, flagOf(f))
		}
	})
	for _, c := range cmd.Commands() {
		if !c.Hidden {
			p.below = append(p.below, newPage(c))
		}
	}
	return p
}

func flagOf(f *pflag.Flag) flagText {
	arg, usage := pflag.UnquoteUsage(f)
	t := flagText{names: "--" + f.Name, usage: usage}
	if f.Shorthand != "" {
		t.names = "-" + f.Shorthand + ", " + t.names
	}
	if arg != "" {
		t.names += " " + arg
	}
	if !slices.Contains([]string{"", "0", "false", "[]", "0s", "-1"}, f.DefValue) && !strings.Contains(usage, "default") {
		t.usage += fmt.Sprintf(" [%s]", f.DefValue)
	}
	return t
}

// file returns the name of the page's file without its ending.
func (p *page) file() string { return strings.ReplaceAll(p.path, " ", "-") }

// name returns what is typed after the program's name.
func (p *page) name() string {
	_, name, _ := strings.Cut(p.path, " ")
	return name
}

// markdownPages returns the Markdown by file name: one file for each command
// below top, and a list of them.
func markdownPages(top *page) map[string][]byte {
	files := map[string][]byte{}
	var index bytes.Buffer
	fmt.Fprintf(&index, "# Commands\n\n<!-- made by `make docs` -->\n\n%s\n\n`lattice` is the same program: on a machine that runs a brain or a cell it is called so.\n", top.about)
	for _, group := range groups() {
		list := slices.DeleteFunc(slices.Clone(top.below), func(p *page) bool { return p.group != group })
		if len(list) == 0 {
			continue
		}
		fmt.Fprintf(&index, "\n## %s\n\n| command | alias | what it does |\n|---|---|---|\n", group)
		for _, p := range list {
			fmt.Fprintf(&index, "| [%s](%s.md) | %s | %s |\n", p.name(), p.name(), strings.Join(p.aliases, ", "), cell(p.short))
			var b bytes.Buffer
			b.WriteString("<!-- made by `make docs` -->\n\n")
			p.markdown(&b, 1)
			files[p.name()+".md"] = b.Bytes()
		}
	}
	index.WriteString("\n## Options of all commands\n\n")
	flagTable(&index, top.flags)
	index.WriteString("\n## Exit codes\n\n| code | meaning |\n|---|---|\n")
	for _, e := range exitMeanings() {
		fmt.Fprintf(&index, "| %d | %s |\n", e.code, e.meaning)
	}
	files["README.md"] = index.Bytes()
	return files
}

// markdown writes the page, and below it those of the commands below it.
func (p *page) markdown(b *bytes.Buffer, depth int) {
	fmt.Fprintf(b, "%s %s\n\n%s\n\n```\n%s\n```\n", strings.Repeat("#", depth), p.path, p.about, p.use)
	if len(p.aliases) > 0 {
		fmt.Fprintf(b, "\nAlso: `%s`\n", strings.Join(p.aliases, "`, `"))
	}
	if len(p.examples) > 0 {
		fmt.Fprintf(b, "\nExamples:\n\n```sh\n%s\n```\n", strings.Join(p.examples, "\n"))
	}
	if len(p.flags) > 0 {
		b.WriteByte('\n')
		flagTable(b, p.flags)
	}
	for _, below := range p.below {
		b.WriteByte('\n')
		below.markdown(b, depth+1)
	}
}

func flagTable(b *bytes.Buffer, flags []flagText) {
	b.WriteString("| option | meaning |\n|---|---|\n")
	for _, f := range flags {
		fmt.Fprintf(b, "| `%s` | %s |\n", cell(f.names), cell(f.usage))
	}
}

// cell returns text as a cell of a table in Markdown has it.
func cell(text string) string {
	return strings.NewReplacer("|", `\|`, "\n", " ", "<", "&lt;").Replace(text)
}

// exitMeaning is an exit code in words.
type exitMeaning struct {
	code    int
	meaning string
}

func exitMeanings() []exitMeaning {
	return []exitMeaning{
		{exitOK, "it is done"},
		{exitFailed, "it failed, or there is no such command"},
		{exitBadTarget, "the brain doesn't answer, isn't trusted, or doesn't know the token"},
		{exitPlacement, "no cell has room"},
		{exitFile, "a file can't be read or written"},
		{exitSyntax, "the command line or a file can't be understood"},
		{exitCommand, "the brain refused it, it came to nothing, or it took too long"},
		{exitImage, "the image can't be had"},
		{exitSignal, "it was interrupted by a signal"},
	}
}
