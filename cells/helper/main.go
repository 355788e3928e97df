// Command helper is what a session needs inside a container whose image may
// have nothing at all: it is mounted there, read-only, and does without files
// of the image. It starts a shell where there is one, copies files as tar
// streams, and serves SFTP.
//
//	lattice-helper shell [LINE]
//	lattice-helper read PATH
//	lattice-helper write PATH | write -owners PATH
//	lattice-helper sftp
//	lattice-helper buildpacks
//
// The last is not for a session: it is the first program of a container that
// builds an image with buildpacks.
//
// Nothing heavy may be linked in: it runs within the memory limit of the app.
package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"runtime"
	"runtime/debug"

	"github.com/pkg/sftp"

	"lattice/internal/tarball"
)

// Exit codes, as shells have them.
const (
	codeFailed = 1
	codeUsage  = 2
	codeNoFile = 127
)

func main() {
	runtime.GOMAXPROCS(2)
	debug.SetGCPercent(50)
	if len(os.Args) == 2 && os.Args[1] == "buildpacks" {
		os.Exit(buildpacks())
	}
	err := run(os.Args[1:])
	if err == nil {
		return
	}
	fmt.Fprintln(os.Stderr, err)
	var none *noProgram
	switch {
	case errors.Is(err, errUsage):
		os.Exit(codeUsage)
	case errors.As(err, &none):
		os.Exit(codeNoFile)
	}
	os.Exit(codeFailed)
}

var errUsage = errors.New("lattice-helper is started by lattice, not by people: see `ltc ssh --help`")

func run(args []string) error {
	switch {
	case len(args) == 1 && args[0] == "shell":
		return shell("", false)
	case len(args) == 2 && args[0] == "shell":
		return shell(args[1], true)
	case len(args) == 2 && args[0] == "read":
		return read(args[1])
	case len(args) == 2 && args[0] == "write":
		return write(args[1], false)
	case len(args) == 3 && args[0] == "write" && args[1] == "-owners":
		return write(args[2], true)
	case len(args) == 1 && args[0] == "sftp":
		return serveFiles()
	}
	return errUsage
}

func skipped(name, why string) { fmt.Fprintf(os.Stderr, "left out %s: %s\n", name, why) }

func read(path string) error {
	out := bufio.NewWriterSize(os.Stdout, 64<<10)
	return errors.Join(tarball.Write(out, path, skipped), out.Flush())
}

func write(path string, owners bool) error {
	return tarball.Extract(bufio.NewReaderSize(os.Stdin, 64<<10), path, tarball.Options{Owners: owners, Skipped: skipped})
}

// serveFiles is an SFTP server; relative paths begin at the user's home.
func serveFiles() error {
	var opts []sftp.ServerOption
	if home := os.Getenv("HOME"); home != "" {
		opts = append(opts, sftp.WithServerWorkingDirectory(home))
	}
	s, err := sftp.NewServer(stdio{}, opts...)
	if err != nil {
		return err
	}
	if err := s.Serve(); !errors.Is(err, io.EOF) {
		return err
	}
	return nil
}

// stdio is standard input and output in one.
type stdio struct{}

func (stdio) Read(p []byte) (int, error)  { return os.Stdin.Read(p) }
func (stdio) Write(p []byte) (int, error) { return os.Stdout.Write(p) }
func (stdio) Close() error                { return os.Stdout.Close() }
