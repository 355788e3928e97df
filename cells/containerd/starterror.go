package containerd

import (
	"fmt"
	"regexp"
	"strings"

	"lattice/cells"
)

// A commandError says in a sentence why a command can't be run.
type commandError struct {
	sentence string
	cause    error
}

func (e *commandError) Error() string   { return fmt.Sprintf("start command: %s", e.sentence) }
func (e *commandError) Unwrap() []error { return []error{cells.ErrCommand, e.cause} }

// explainStart turns an error of runc, which comes as text, into a commandError
// where the command or the working directory is to blame.
func explainStart(s cells.Spec, err error) error {
	text := err.Error()
	name := s.Args[0]
	var why string
	switch {
	case strings.Contains(text, "executable file not found in $PATH"):
		why = fmt.Sprintf("%q is not in the image's PATH; check the spelling, or give the full path", name)
	case isExec(text, "no such file or directory"):
		why = fmt.Sprintf("%q is not in the image; check the path", name)
	case isExec(text, "is a directory"):
		why = fmt.Sprintf("%q is a folder, not a program", name)
	case isExec(text, "permission denied"):
		why = fmt.Sprintf("%q is not executable for user %q; set its x bits in the image, or take another user", name, s.User)
	case isExec(text, "exec format error"):
		why = fmt.Sprintf("%q is no program for this kind of machine; build the image for it, and begin scripts with #!", name)
	case strings.Contains(text, "not a directory") && (strings.Contains(text, "cwd") || strings.Contains(text, s.Dir) && s.Dir != ""):
		why = fmt.Sprintf("working directory %q is no folder in the image", s.Dir)
	case strings.Contains(text, "chdir to cwd"):
		why = fmt.Sprintf("working directory %q can't be entered by user %q", s.Dir, s.User)
	default:
		return fmt.Errorf("start container %s: %w", s.GUID, &runcError{shorten(text), err})
	}
	return &commandError{why, err}
}

// isExec reports whether text is of runc's look-up or exec of the command.
func isExec(text, reason string) bool {
	_, after, ok := strings.Cut(text, "exec: ")
	if !ok {
		_, after, ok = strings.Cut(text, "exec ")
	}
	return ok && strings.Contains(after, reason)
}

// A runcError prints the end of runc's chain of messages, which says what is wrong.
type runcError struct {
	text string
	err  error
}

func (e *runcError) Error() string { return e.text }
func (e *runcError) Unwrap() error { return e.err }

var runcNoise = regexp.MustCompile(`(?s)^.*(?:runc (?:create|start) failed: |unable to start container process: |error during container init: )`)

func shorten(text string) string {
	return strings.TrimSpace(strings.ReplaceAll(runcNoise.ReplaceAllString(text, ""), "\n", " "))
}
