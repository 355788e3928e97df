package install

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"regexp"
	"strings"
)

// systemctl runs it, and returns what it said when it fails.
func systemctl(ctx context.Context, args ...string) error {
	var said bytes.Buffer
	cmd := exec.CommandContext(ctx, "systemctl", args...)
	cmd.Stdout, cmd.Stderr = &said, &said
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, strings.TrimSpace(said.String()))
	}
	return nil
}

// Active reports whether the service runs and is ready.
func Active(ctx context.Context) bool { return active(ctx, Unit) }

func active(ctx context.Context, unit string) bool {
	return exec.CommandContext(ctx, "systemctl", "is-active", "--quiet", unit).Run() == nil
}

// journal returns the last that the service said.
func journal(ctx context.Context) string {
	out, err := exec.CommandContext(ctx, "journalctl", "--unit", Unit, "--lines", "10", "--no-pager", "--output", "cat").Output()
	if err != nil {
		return "`journalctl -u lattice` has the reason"
	}
	return strings.TrimSpace(string(out))
}

var execLine = regexp.MustCompile(`(?m)^ExecStart=\S+ (brain|cell|up) `)

// installedRole returns the role that is installed; empty: none.
func installedRole() (string, error) {
	text, err := os.ReadFile(unitPath)
	if errors.Is(err, fs.ErrNotExist) {
		return "", nil
	}
	if err != nil {
		return "", err
	}
	m := execLine.FindSubmatch(text)
	if m == nil {
		return "", fmt.Errorf("%s is not ours: remove it first", unitPath)
	}
	return string(m[1]), nil
}
