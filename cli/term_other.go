//go:build !windows

package cli

import "os"

// enableEscapes reports whether the terminal understands escape sequences. One
// that doesn't even have a name is not trusted to.
func enableEscapes(*os.File) bool { return os.Getenv("TERM") != "" }
