//go:build !bundle

package containerd

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// Unpack finds the programs that a build without the tag bundle does not carry:
// beside our own, else on PATH. It returns a folder below dir with links to them.
func Unpack(dir string) (bin string, err error) {
	self, err := os.Executable()
	if err != nil {
		return "", fmt.Errorf("find our own program: %w", err)
	}
	bin = filepath.Join(dir, "found")
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", fmt.Errorf("make folder for programs: %w", err)
	}
	var missing []string
	for _, name := range []string{runcName, shimName, loggerName, helperName} {
		path := filepath.Join(filepath.Dir(self), name)
		if _, err := os.Stat(path); err != nil {
			if path, err = exec.LookPath(name); err != nil {
				missing = append(missing, name)
				continue
			}
		}
		if err := link(path, filepath.Join(bin, name)); err != nil {
			return "", fmt.Errorf("link %s: %w", name, err)
		}
	}
	if len(missing) > 0 {
		return "", fmt.Errorf("this lattice was built without bundled programs and finds no %s beside itself (%s) or on PATH: build it with make, or install them",
			strings.Join(missing, ", no "), filepath.Dir(self))
	}
	return bin, nil
}

// unpackBuilder says that a build without the tag bundle has no program for
// Dockerfiles: links would lead nowhere inside its container.
func (r *Runtime) unpackBuilder() error { return errNoBuilder }

// link makes name a symbolic link to path, whatever it was before.
func link(path, name string) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	if old, err := os.Readlink(name); err == nil && old == path {
		return nil
	}
	temp := name + ".new"
	_ = os.Remove(temp) // of a run that was interrupted
	if err := os.Symlink(path, temp); err != nil {
		return err
	}
	return os.Rename(temp, name)
}
