// Command builder builds a Dockerfile, in a container of its own that may nest
// others. It waits for an app.BuildOrder and the source, builds with BuildKit,
// which it has inside, pushes the image to the cluster's registry, and leaves an
// app.BuildOutcome in a file. What it prints is for the one who builds.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"strconv"
	"syscall"

	"github.com/sirupsen/logrus"

	"lattice/app"
	"lattice/cells/source"
)

const (
	cacheDir = "/var/lib/lattice-build"
	runc     = "/dev/lattice/runc"
)

func main() {
	logrus.SetOutput(io.Discard) // the library says there what errors say better
	ctx, stop := signal.NotifyContext(context.Background(), syscall.SIGTERM, os.Interrupt)
	defer stop()
	os.Exit(source.Finish(run(ctx)))
}

// run builds one image.
func run(ctx context.Context) (app.BuildOutcome, error) {
	dir, err := filepath.Abs("/source")
	if err != nil {
		return app.BuildOutcome{}, err
	}
	order, err := source.Receive(ctx, dir, source.Owner{})
	if err != nil {
		return app.BuildOutcome{}, err
	}
	debug.SetMemoryLimit(int64(order.MemoryMB) << 19) // half of it; the steps need the rest
	unlock, err := lock(ctx, cacheDir)
	if err != nil {
		return app.BuildOutcome{}, err
	}
	defer unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	go watchDisk(ctx, cacheDir, int64(order.DiskMB)<<20, cancel)
	digest, err := build(ctx, order, dir)
	if cause := context.Cause(ctx); cause != nil && err != nil {
		err = cause
	}
	return app.BuildOutcome{Image: order.Image, Digest: digest}, err
}

// build builds and pushes, and returns the digest.
func build(ctx context.Context, order app.BuildOrder, dir string) (string, error) {
	if _, err := os.Stat(filepath.Join(dir, order.DockerfilePath())); err != nil {
		return "", fmt.Errorf("there is no %s in what was sent: name it with --file", order.DockerfilePath())
	}
	keep, err := strconv.ParseInt(os.Getenv("LATTICE_BUILD_CACHE_MB"), 10, 64)
	if err != nil {
		return "", fmt.Errorf("the size of the cache is not known: %w", err)
	}
	s, err := openStore(ctx, cacheDir, runc, registry(order.Token), keep<<20)
	if err != nil {
		return "", err
	}
	e, err := newEngine(ctx, s)
	if err != nil {
		return "", errors.Join(err, s.close())
	}
	digest, err := e.solve(ctx, order, dir, os.Stdout)
	return digest, errors.Join(err, e.close(context.WithoutCancel(ctx)), s.close())
}
