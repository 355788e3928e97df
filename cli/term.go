package cli

import (
	"cmp"
	"fmt"
	"io"
	"os"
	"strings"
	"unicode/utf8"

	"golang.org/x/term"
)

// streams are what a command reads and writes. Data goes to out, everything
// else to err.
type streams struct {
	name string // of the program, as it is shown: ltc or lattice
	in   io.Reader
	out  *screen
	err  *screen

	quiet bool // no progress and no remarks, and of what was done only the names
}

// notes is where remarks and progress go: err, or nowhere.
func (st *streams) notes() *screen {
	if st.quiet {
		return newScreen(io.Discard)
	}
	return st.err
}

// did says what was done with what has a name, or only that name.
func (st *streams) did(name, format string, args ...any) {
	if st.quiet {
		fmt.Fprintln(st.out, name)
		return
	}
	fmt.Fprintf(st.out, "%s\n", st.out.paint(green, fmt.Sprintf(format, args...)))
}

func newStreams(name string, in io.Reader, out, err io.Writer) *streams {
	return &streams{name: name, in: in, out: newScreen(out), err: newScreen(err)}
}

// A screen is a writer and what it can show.
type screen struct {
	w      io.Writer
	fd     int
	tty    bool  // lines can be drawn again in place
	color  bool  // escape sequences for colours are understood and wanted
	failed error // the first error of Write
}

func newScreen(w io.Writer) *screen {
	s := &screen{w: w}
	if f, ok := w.(*os.File); ok {
		s.fd = int(f.Fd())
		s.tty = term.IsTerminal(s.fd) && os.Getenv("TERM") != "dumb" && enableEscapes(f)
	}
	s.color = s.tty && os.Getenv("NO_COLOR") == ""
	return s
}

// Write keeps the first error for Main, so that no caller has to look at it.
func (s *screen) Write(b []byte) (int, error) {
	n, err := s.w.Write(b)
	s.failed = cmp.Or(s.failed, err)
	return n, err
}

// size returns the width and height in characters; 80 and 24 when unknown.
func (s *screen) size() (width, height int) {
	if width, height, err := term.GetSize(s.fd); s.tty && err == nil && width > 0 && height > 0 {
		return width, height
	}
	return 80, 24
}

// A style is an ANSI colour or attribute.
type style string

const (
	plain  style = ""
	bold   style = "1"
	red    style = "91"
	green  style = "32"
	yellow style = "33"
	cyan   style = "36"
	gray   style = "90"
)

// paint returns text in style where the screen shows colours.
func (s *screen) paint(as style, text string) string {
	if !s.color || as == plain || text == "" {
		return text
	}
	return "\x1b[" + string(as) + "m" + text + "\x1b[0m"
}

// clean returns text that others wrote without the control characters that
// would move the cursor or worse; a terminal still shows its colours. What is
// not a terminal gets the text as it is.
func (s *screen) clean(text string) string {
	if !s.tty || strings.IndexFunc(text, isControl) < 0 {
		return text
	}
	var b strings.Builder
	for len(text) > 0 {
		n := colourSequence(text)
		keep := n > 0 && s.color
		if n == 0 {
			var r rune
			r, n = utf8.DecodeRuneInString(text)
			keep = !isControl(r)
		}
		if keep {
			b.WriteString(text[:n])
		}
		text = text[n:]
	}
	if s.color {
		b.WriteString("\x1b[0m")
	}
	return b.String()
}

// isControl reports whether r is a control character other than a tab.
func isControl(r rune) bool { return r != '\t' && (r < ' ' || 0x7f <= r && r < 0xa0) }

// colourSequence returns the length of the colour sequence that starts text,
// or 0.
func colourSequence(text string) int {
	rest, ok := strings.CutPrefix(text, "\x1b[")
	if !ok {
		return 0
	}
	params := strings.TrimLeft(rest, "0123456789;:")
	if !strings.HasPrefix(params, "m") {
		return 0
	}
	return len(text) - len(params) + 1
}
