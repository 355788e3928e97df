// Command lattice runs container apps on one machine or a handful of them. The
// same binary is the brain, the cell, and the command line that drives them.
package main

import (
	"context"
	"os"
	"os/signal"
	"syscall"

	"lattice/cli"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(cli.Main(ctx, os.Args, os.Stdin, os.Stdout, os.Stderr))
}
