package cells

import (
	"io"
	"net/netip"

	"lattice/app"
)

// A Command is a program to run inside a container beside its own: as the same
// user, with the same limits, capabilities and system call filter.
type Command struct {
	Args   []string
	Helper bool     // Args are for our helper, which is in every container
	Env    []string // beside the container's own; the last of a name counts
	TTY    bool     // with a terminal; Process.Stderr then has nothing
	Size   app.TerminalSize
}

// A Process runs a Command. Its methods may be called concurrently.
type Process interface {
	// Stdin is the program's standard input; Close ends it. A write fails when
	// the program has ended.
	Stdin() io.WriteCloser

	// Stdout and Stderr are what it prints. They end when the program has
	// ended and everything was read; what children of it print that outlive it
	// by far is lost.
	Stdout() io.Reader
	Stderr() io.Reader

	Resize(app.TerminalSize) error

	// Signal sends INT, TERM … to the program and its children. That it has
	// ended is no error.
	Signal(name string) error

	// Wait returns its exit code, 128+n when signal n ended it.
	Wait() (int, error)

	// Close kills the program if it still runs, first gently, and lets go of
	// everything. Calling it again does nothing more.
	Close() error
}

// Inside is what is needed to be in the network of a container.
type Inside struct {
	PID         int // of a process of it, on the host
	Nameservers []netip.Addr
}
