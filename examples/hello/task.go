package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"strings"
	"time"
)

// runTask is what hello does as a task: it says something a few times, writes a
// file, and ends.
func runTask(ctx context.Context, args []string, out io.Writer) int {
	fl := flag.NewFlagSet("hello task", flag.ContinueOnError)
	fl.SetOutput(out)
	say := fl.String("say", "hello", "what to say")
	times := fl.Int("times", 1, "how often")
	every := fl.Duration("every", time.Second, "pause between")
	exit := fl.Int("exit", 0, "exit code")
	write := fl.String("write", "", "file to write to at the end")
	size := fl.Int("size", 0, "bytes to write there; 0: what was said")
	if err := fl.Parse(args); err != nil {
		return 2
	}
	for i := range *times {
		if i > 0 {
			select {
			case <-time.After(*every):
			case <-ctx.Done():
				fmt.Fprintln(out, "hello-task: told to stop")
				return 1
			}
		}
		fmt.Fprintf(out, "hello-task: %s (%d of %d)\n", *say, i+1, *times)
	}
	if *write != "" {
		text := *say
		if *size > 0 {
			text = strings.Repeat("x", *size)
		}
		if err := os.WriteFile(*write, []byte(text), 0o600); err != nil {
			fmt.Fprintln(out, "hello-task:", err)
			return 1
		}
	}
	return *exit
}
