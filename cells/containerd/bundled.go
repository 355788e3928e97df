//go:build bundle

package containerd

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// builderName is the program that builds images, inside containers. It is
// unpacked when it is first wanted.
const builderName = "lattice-builder"

// assets has the programs, each compressed, and their sums; bundle/bundle.mk makes it.
//
//go:embed bundle/out/*.zst bundle/out/SHA256SUMS
var assets embed.FS

// Unpack puts the bundled programs into a folder below dir and returns that. The
// folder is named after what is in it, so containers that run with the programs
// of another version keep theirs. What is there already is checked and kept.
// Versions that no process runs any more are removed.
func Unpack(dir string) (bin string, err error) {
	sums, err := assets.ReadFile("bundle/out/SHA256SUMS")
	if err != nil {
		return "", fmt.Errorf("read the list of bundled programs: %w", err)
	}
	version := sha256.Sum256(sums)
	bin = filepath.Join(dir, hex.EncodeToString(version[:8]))
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", fmt.Errorf("make folder for bundled programs: %w", err)
	}
	for line := range strings.Lines(string(sums)) {
		sum, name, ok := strings.Cut(strings.TrimSpace(line), "  ")
		if !ok {
			return "", fmt.Errorf("read the list of bundled programs: %q", line)
		}
		if name == builderName {
			continue
		}
		if err := unpack(filepath.Join(bin, name), name, sum); err != nil {
			return "", fmt.Errorf("unpack %s: %w", name, err)
		}
	}
	return bin, removeUnused(dir, filepath.Base(bin))
}

// unpackBuilder puts the program that builds Dockerfiles beside the others, unless
// it is there: most cells never build anything.
func (r *Runtime) unpackBuilder() error {
	sums, err := assets.ReadFile("bundle/out/SHA256SUMS")
	if err != nil {
		return fmt.Errorf("read the list of bundled programs: %w", err)
	}
	for line := range strings.Lines(string(sums)) {
		if sum, name, _ := strings.Cut(strings.TrimSpace(line), "  "); name == builderName {
			return unpack(filepath.Join(r.cfg.Bin, name), name, sum)
		}
	}
	return errNoBuilder
}

// unpack writes the program to path unless it is there already.
func unpack(path, name, sum string) error {
	if b, err := os.ReadFile(path); err == nil && sumOf(b) == sum {
		return nil
	}
	packed, err := assets.ReadFile("bundle/out/" + name + ".zst")
	if err != nil {
		return err
	}
	d, err := zstd.NewReader(bytes.NewReader(packed), zstd.WithDecoderConcurrency(1))
	if err != nil {
		return err
	}
	defer d.Close()
	b, err := io.ReadAll(d)
	if err != nil {
		return err
	}
	if got := sumOf(b); got != sum {
		return fmt.Errorf("it is damaged: its sum is %s, not %s", got, sum)
	}
	f, err := os.CreateTemp(filepath.Dir(path), ".unpack-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(0o755), f.Sync(), f.Close()); err != nil {
		return err
	}
	return os.Rename(f.Name(), path)
}

func sumOf(b []byte) string {
	s := sha256.Sum256(b)
	return hex.EncodeToString(s[:])
}

// removeUnused removes the versions in dir other than keep of which no program
// runs.
func removeUnused(dir, keep string) error {
	exes, err := filepath.Glob("/proc/[0-9]*/exe")
	if err != nil {
		return err
	}
	used := map[string]bool{keep: true}
	for _, e := range exes {
		if target, err := os.Readlink(e); err == nil { // else it has ended
			used[filepath.Base(filepath.Dir(target))] = true
		}
	}
	entries, err := os.ReadDir(dir)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("look for old bundled programs: %w", err)
	}
	for _, e := range entries {
		if !used[e.Name()] {
			if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
				return fmt.Errorf("remove old bundled programs: %w", err)
			}
		}
	}
	return nil
}
