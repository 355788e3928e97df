package cli

import (
	"bytes"
	"fmt"
	"slices"
	"strings"
)

// manPages returns a man page for each command by file name.
func manPages(top *page) map[string][]byte {
	files := map[string][]byte{}
	var add func(p *page, above string)
	add = func(p *page, above string) {
		files[p.file()+".1"] = p.man(above)
		for _, below := range p.below {
			add(below, p.file())
		}
	}
	add(top, "")
	files["lattice.1"] = []byte(".so man1/" + top.file() + ".1\n")
	return files
}

// man returns the page as roff; above is the page it is below.
func (p *page) man(above string) []byte {
	var b bytes.Buffer
	short := strings.TrimSuffix(p.short, ".")
	if short == "" {
		short, _, _ = strings.Cut(p.about, ".")
	}
	fmt.Fprintf(&b, ".TH %s 1 \"\" \"lattice\" \"Lattice\"\n.SH NAME\n%s \\- %s\n.SH SYNOPSIS\n.B %s\n.SH DESCRIPTION\n",
		roffQuote(strings.ToUpper(p.file())), roff(p.file()), roff(short), roff(p.use))
	paragraphs(&b, p.about)
	if len(p.aliases) > 0 {
		fmt.Fprintf(&b, ".PP\nAlso: %s\n", roff(strings.Join(p.aliases, ", ")))
	}
	if len(p.flags) > 0 {
		b.WriteString(".SH OPTIONS\n")
		for _, f := range p.flags {
			fmt.Fprintf(&b, ".TP\n.B %s\n%s\n", roff(f.names), roff(f.usage))
		}
	}
	p.manCommands(&b)
	if len(p.examples) > 0 {
		b.WriteString(".SH EXAMPLES\n.nf\n")
		for _, e := range p.examples {
			fmt.Fprintf(&b, "%s\n", roff(e))
		}
		b.WriteString(".fi\n")
	}
	if above == "" {
		b.WriteString(".SH EXIT STATUS\n")
		for _, e := range exitMeanings() {
			fmt.Fprintf(&b, ".TP\n.B %d\n%s\n", e.code, roff(e.meaning))
		}
	} else {
		fmt.Fprintf(&b, ".SH SEE ALSO\n.BR %s (1)\n", roff(above))
	}
	return b.Bytes()
}

// manCommands lists the commands below p, for the program by group.
func (p *page) manCommands(b *bytes.Buffer) {
	if len(p.below) == 0 {
		return
	}
	b.WriteString(".SH COMMANDS\n")
	for _, group := range append(groups(), "") {
		list := slices.DeleteFunc(slices.Clone(p.below), func(c *page) bool { return c.group != group })
		if len(list) > 0 && group != "" {
			fmt.Fprintf(b, ".SS %s\n", roff(group))
		}
		for _, c := range list {
			fmt.Fprintf(b, ".TP\n.BR %s (1)\n%s\n", roff(c.file()), roff(c.short))
		}
	}
}

// paragraphs writes text; an empty line begins a paragraph, and lines that are
// indented stay as they are.
func paragraphs(b *bytes.Buffer, text string) {
	for line := range strings.SplitSeq(text, "\n") {
		switch {
		case line == "":
			b.WriteString(".PP\n")
		case line[0] == ' ':
			fmt.Fprintf(b, ".br\n%s\n", roff(line))
		default:
			fmt.Fprintf(b, "%s\n", roff(line))
		}
	}
}

// roff returns text without a meaning to roff.
func roff(text string) string {
	text = strings.NewReplacer(`\`, `\e`, "-", `\-`, "…", "...", "→", "\\->").Replace(text)
	if strings.HasPrefix(text, ".") || strings.HasPrefix(text, "'") {
		text = `\&` + text
	}
	return text
}

func roffQuote(text string) string { return `"` + strings.ReplaceAll(text, `"`, "") + `"` }
