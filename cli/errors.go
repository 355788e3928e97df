package cli

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"lattice/api"
	"lattice/app"
)

// Exit codes of the program.
const (
	exitOK        = 0
	exitFailed    = 1
	exitBadTarget = 10
	exitPlacement = 11
	exitFile      = 12
	exitSyntax    = 13
	exitCommand   = 14
	exitImage     = 15
	exitSignal    = 160
)

// A failure is an error that knows its exit code and what to do about it.
type failure struct {
	code  int
	err   error
	lines []string // printed below the error
	hint  string   // empty: what hint knows about err
}

func (f *failure) Error() string { return f.err.Error() }
func (f *failure) Unwrap() error { return f.err }

// fail gives err an exit code.
func fail(code int, err error) error { return &failure{code: code, err: err} }

// exitCode returns the code that err ends the program with.
func exitCode(err error) int {
	var f *failure
	switch {
	case errors.As(err, &f):
		return f.code
	case errors.Is(err, app.ErrInvalid):
		return exitSyntax
	case errors.Is(err, app.ErrImage):
		return exitImage
	case errors.Is(err, errNoTarget), errors.Is(err, app.ErrUnauthorized), errors.Is(err, app.ErrUnavailable), errors.Is(err, api.ErrUntrusted):
		return exitBadTarget
	case errors.Is(err, app.ErrNotFound), errors.Is(err, app.ErrExists), errors.Is(err, app.ErrConflict):
		return exitCommand
	}
	return exitFailed
}

// hint returns what the user of the program name can do about err, or "".
func hint(err error, name string) string {
	var f *failure
	switch {
	case errors.As(err, &f) && f.hint != "":
		return f.hint
	case errors.Is(err, errNoTarget):
		return "name the brain to talk to: " + name + " target URL --token-file FILE --ca FILE"
	case errors.Is(err, api.ErrUntrusted):
		return "give the certificate of the brain's CA: " + name + " target URL --ca FILE"
	case errors.Is(err, app.ErrUnauthorized):
		return "give the token of the brain: " + name + " target URL --token-file FILE"
	case errors.Is(err, app.ErrUnavailable), errors.Is(err, context.DeadlineExceeded):
		return "'" + name + " target' shows where you point"
	case errors.Is(err, app.ErrNotFound):
		return "'" + name + " list' shows the apps"
	case errors.Is(err, app.ErrExists):
		return "change it with '" + name + " update', or take it away first with '" + name + " remove'"
	case errors.Is(err, app.ErrConflict):
		return "look at it again and repeat the command"
	}
	return ""
}

// report prints err and what to do about it.
func (st *streams) report(err error) {
	mark := st.err.paint(red, "error:")
	for line := range strings.SplitSeq(err.Error(), "\n") {
		fmt.Fprintf(st.err, "%s %s\n", mark, st.err.clean(line))
		mark = "      "
	}
	var f *failure
	if errors.As(err, &f) {
		for _, l := range f.lines {
			fmt.Fprintf(st.err, "  %s\n", st.err.clean(l))
		}
	}
	if h := strings.TrimSpace(hint(err, st.name)); h != "" {
		fmt.Fprintf(st.err, "%s %s\n", st.err.paint(cyan, "hint:"), h)
	}
}

// note prints a remark that is neither data nor an error.
func (st *streams) note(format string, args ...any) {
	fmt.Fprintf(st.notes(), format+"\n", args...)
}

// warn prints a remark that the user should not overlook.
func (st *streams) warn(format string, args ...any) {
	fmt.Fprintf(st.err, st.err.paint(yellow, "warning:")+" "+format+"\n", args...)
}

// usage returns the failure of a command line that can't be understood.
func usage(cmd *cobra.Command, format string, args ...any) error {
	return &failure{
		code: exitSyntax,
		err:  fmt.Errorf(format, args...),
		hint: "usage: " + cmd.UseLine() + "; '" + cmd.CommandPath() + " --help' tells more",
	}
}

// exclusive returns a failure if more than one of the flags was given.
func exclusive(cmd *cobra.Command, flags ...string) error {
	var given []string
	for _, name := range flags {
		if cmd.Flags().Changed(name) {
			given = append(given, "--"+name)
		}
	}
	if len(given) < 2 {
		return nil
	}
	return usage(cmd, "%s exclude each other", strings.Join(given, " and "))
}

// unknownCommand returns the failure of a name that no command below cmd has.
func unknownCommand(cmd *cobra.Command, name string) error {
	root := cmd.Root()
	var names []string
	for _, c := range root.Commands() {
		if !c.Hidden {
			names = append(append(names, c.Name()), c.Aliases...)
		}
	}
	f := &failure{code: exitFailed, err: fmt.Errorf("%q is not a command of %s", name, root.Name())}
	f.hint = "'" + root.Name() + " help' lists the commands"
	if near := nearest(name, names); near != "" {
		f.hint = "did you mean '" + root.Name() + " " + near + "'?"
	}
	return f
}

// flagError returns the failure of flags that can't be understood.
func flagError(cmd *cobra.Command, err error) error {
	if typed := cmd.Flags().Args(); !cmd.HasParent() && len(typed) > 0 {
		return unknownCommand(cmd, typed[0])
	}
	var unknown *pflag.NotExistError
	var value *pflag.InvalidValueError
	switch {
	case errors.As(err, &unknown):
		return unknownFlag(cmd, unknown)
	case errors.As(err, &value):
		return usage(cmd, "--%s %q: %w", value.GetFlag().Name, value.GetValue(), value.Unwrap())
	}
	return usage(cmd, "%w", err)
}

func unknownFlag(cmd *cobra.Command, unknown *pflag.NotExistError) error {
	name := unknown.GetSpecifiedName()
	if unknown.GetSpecifiedShortnames() != "" {
		return usage(cmd, "%s has no flag -%s", cmd.Name(), name)
	}
	var names []string
	cmd.Flags().VisitAll(func(f *pflag.Flag) {
		if !f.Hidden {
			names = append(names, f.Name)
		}
	})
	err := usage(cmd, "%s has no flag --%s", cmd.Name(), name)
	if near := nearest(name, names); near != "" {
		err.(*failure).hint = "did you mean --" + near + "?"
	}
	return err
}

// nearest returns the one of names that was probably meant by typed, or "".
// The beginning of a name nearly counts as the name.
func nearest(typed string, names []string) string {
	limit := max(2, len(typed)/3)
	if len(typed) < 4 {
		limit = 1
	}
	best, least := "", limit+1
	for _, n := range names {
		d := distance(typed, n)
		for short := len(typed); short <= len(typed)+1 && 2 < short && short < len(n); short++ {
			d = min(d, distance(typed, n[:short])+1)
		}
		if d < least {
			best, least = n, d
		}
	}
	return best
}

// distance returns how many letters must be put in, taken out, replaced or
// swapped with their neighbour to get from a to b.
func distance(a, b string) int {
	d := make([][]int, len(a)+1) // of a[:i] and b[:j]
	for i := range d {
		d[i] = make([]int, len(b)+1)
		for j := range d[i] {
			switch {
			case i == 0 || j == 0:
				d[i][j] = i + j
				continue
			case a[i-1] == b[j-1]:
				d[i][j] = d[i-1][j-1]
			default:
				d[i][j] = d[i-1][j-1] + 1
			}
			d[i][j] = min(d[i][j], d[i-1][j]+1, d[i][j-1]+1)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				d[i][j] = min(d[i][j], d[i-2][j-2]+1)
			}
		}
	}
	return d[len(a)][len(b)]
}
