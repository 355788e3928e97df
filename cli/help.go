package cli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"
)

func newHelp() *cobra.Command {
	return &cobra.Command{
		Use:     "help [COMMAND]",
		Aliases: []string{"h"},
		Short:   "Show how a command is used",
		GroupID: groupHelp,
		RunE: func(cmd *cobra.Command, args []string) error {
			about, rest, err := cmd.Root().Find(args)
			if err != nil || len(rest) > 0 {
				return unknownCommand(cmd, strings.Join(args, " "))
			}
			return about.Help()
		},
	}
}

// writeHelp prints what can be typed: for the root all commands by group, for
// a command its usage, examples and flags.
func writeHelp(st *streams, cmd *cobra.Command) {
	width, _ := st.out.size()
	about := filled(cmp.Or(cmd.Long, cmd.Short), min(width, mostColumns))
	fmt.Fprintf(st.out, "%s\n\n%s\n  %s\n", about, st.out.paint(bold, "USAGE"), cmd.UseLine())
	if !cmd.HasParent() {
		writeCommands(st, cmd)
	}
	if cmd.HasParent() && len(cmd.Commands()) > 0 {
		var t table
		for _, below := range cmd.Commands() {
			t.row("", below.Name(), below.Short)
		}
		fmt.Fprintf(st.out, "\n%s\n", st.out.paint(bold, "COMMANDS"))
		t.write(st.out)
	}
	if len(cmd.Aliases) > 0 {
		fmt.Fprintf(st.out, "\n%s\n  %s\n", st.out.paint(bold, "ALIASES"), strings.Join(cmd.Aliases, ", "))
	}
	if cmd.Example != "" {
		fmt.Fprintf(st.out, "\n%s\n%s\n", st.out.paint(bold, "EXAMPLES"), indent(cmd.Example))
	}
	cmd.InitDefaultHelpFlag()
	cmd.InitDefaultVersionFlag()
	fmt.Fprintf(st.out, "\n%s\n%s", st.out.paint(bold, "OPTIONS"), flagUsages(st, allFlags(cmd)))
	if !cmd.HasParent() {
		fmt.Fprintf(st.out, "\n'%s help COMMAND' tells more about a command.\n", cmd.Name())
	}
}

// writeCommands prints the commands below root by group, as 'name, alias  what it does'.
func writeCommands(st *streams, root *cobra.Command) {
	for _, g := range root.Groups() {
		var t table
		for _, c := range root.Commands() {
			if c.GroupID == g.ID && !c.Hidden {
				names := append([]string{c.Name()}, c.Aliases...)
				t.row("", strings.Join(names, ", "), c.Short)
				for _, below := range c.Commands() {
					if !below.Hidden {
						t.row("", c.Name()+" "+below.Name(), below.Short)
					}
				}
			}
		}
		if len(t.rows) > 0 {
			fmt.Fprintf(st.out, "\n%s\n", st.out.paint(bold, g.Title))
			t.write(st.out)
		}
	}
}

// mostColumns is the width beyond which lines of text are hard to read.
const mostColumns = 100

// filled returns text with its paragraphs broken into lines of at most width
// characters. Lines that are indented stay as they are.
func filled(text string, width int) string {
	var out []string
	open := false // the last line may be added to
	for line := range strings.SplitSeq(text, "\n") {
		if line == "" || strings.HasPrefix(line, " ") {
			out, open = append(out, line), false
			continue
		}
		for word := range strings.FieldsSeq(line) {
			if last := len(out) - 1; open && utf8.RuneCountInString(out[last])+1+utf8.RuneCountInString(word) <= width {
				out[last] += " " + word
				continue
			}
			out, open = append(out, word), true
		}
	}
	return strings.Join(out, "\n")
}

// allFlags returns the flags of cmd, with those that all commands have.
func allFlags(cmd *cobra.Command) *pflag.FlagSet {
	all := pflag.NewFlagSet(cmd.Name(), pflag.ContinueOnError)
	all.AddFlagSet(cmd.LocalFlags())
	all.AddFlagSet(cmd.InheritedFlags())
	return all
}

// flagUsages returns the flags with their meaning, wrapped to the terminal.
func flagUsages(st *streams, flags *pflag.FlagSet) string {
	width, _ := st.out.size()
	return flags.FlagUsagesWrapped(width)
}

func indent(text string) string {
	lines := slices.Collect(strings.Lines(text))
	return "  " + strings.Join(lines, "  ")
}
