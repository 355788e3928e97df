// Command image builds the sample app into an OCI image, without Docker:
//
//	go run ./examples/hello/image -o hello.tar
//
// The archive is an OCI layout in a tar file, as `ctr image import`, skopeo and
// our own bundling read it. The same source and Go version give the same bytes.
package main

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
)

func main() {
	out := flag.String("o", "hello.tar", "write the archive to `FILE`")
	arch := flag.String("arch", runtime.GOARCH, "build for linux on this `GOARCH`")
	flag.Parse()
	if err := run(*out, *arch); err != nil {
		fmt.Fprintln(os.Stderr, "image:", err)
		os.Exit(1)
	}
}

// run builds the archive for an architecture and puts it in place in one step.
func run(out, arch string) error {
	dir, err := os.MkdirTemp("", "hello-image-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	binary := filepath.Join(dir, "hello")
	if err := compile(binary, arch); err != nil {
		return err
	}
	data, err := os.ReadFile(binary)
	if err != nil {
		return err
	}
	archive, err := build(data, arch)
	if err != nil {
		return fmt.Errorf("build the archive: %w", err)
	}
	if err := os.WriteFile(out+".new", archive, 0o644); err != nil {
		return err
	}
	return os.Rename(out+".new", out)
}

// compile builds the app as one static file with nothing in it that changes
// from build to build.
func compile(out, arch string) error {
	cmd := exec.Command("go", "build", "-trimpath", "-buildvcs=false", "-ldflags=-s -w -buildid=", "-o", out, "lattice/examples/hello")
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch, "GOFLAGS=")
	cmd.Stderr = os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("compile the sample app for linux/%s: %w", arch, err)
	}
	return nil
}
