//go:build bundle

package containerd

import (
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"runtime/debug"
	"slices"
	"strings"

	"github.com/klauspost/compress/zstd"
)

// builderName is the program that builds images, inside containers. It is
// unpacked when it is first wanted.
const builderName = "lattice-builder"

// assets has the programs, all compressed in one, and a list of them;
// bundle/bundle.mk makes both.
//
//go:embed bundle/out/programs.zst bundle/out/programs.txt
var assets embed.FS

// A program is one of those in assets, in their order.
type program struct {
	sum  string // SHA-256 in hex
	size int64
	name string
}

// programs returns the list, and a name for all of them in this version.
func programs() (all []program, version string, err error) {
	list, err := assets.ReadFile("bundle/out/programs.txt")
	if err != nil {
		return nil, "", fmt.Errorf("read the list of bundled programs: %w", err)
	}
	for line := range strings.Lines(string(list)) {
		var p program
		if _, err := fmt.Sscanf(line, "%s %d %s", &p.sum, &p.size, &p.name); err != nil {
			return nil, "", fmt.Errorf("read the list of bundled programs: %q: %w", line, err)
		}
		all = append(all, p)
	}
	sum := sha256.Sum256(list)
	return all, hex.EncodeToString(sum[:8]), nil
}

// Unpack puts the bundled programs into a folder below dir and returns that. The
// folder is named after what is in it, so containers that run with the programs
// of another version keep theirs. What is there already is checked and kept.
// Versions that no process runs any more are removed. The program that builds
// Dockerfiles is left out: most cells never build anything.
func Unpack(dir string) (bin string, err error) {
	all, version, err := programs()
	if err != nil {
		return "", err
	}
	bin = filepath.Join(dir, version)
	if err := os.MkdirAll(bin, 0o755); err != nil {
		return "", fmt.Errorf("make folder for bundled programs: %w", err)
	}
	if err := unpack(bin, slices.DeleteFunc(slices.Clone(all), func(p program) bool { return p.name == builderName }), all); err != nil {
		return "", err
	}
	return bin, removeUnused(dir, filepath.Base(bin))
}

// unpackBuilder puts the program that builds Dockerfiles beside the others.
func (r *Runtime) unpackBuilder() error {
	all, _, err := programs()
	if err != nil {
		return err
	}
	i := slices.IndexFunc(all, func(p program) bool { return p.name == builderName })
	if i < 0 {
		return errNoBuilder
	}
	return unpack(r.cfg.Bin, all[i:i+1], all)
}

// unpack writes those of wanted to the folder that are not there as they should
// be.
func unpack(bin string, wanted, all []program) error {
	missing := map[string]bool{}
	for _, p := range wanted {
		if sum, err := sumOf(filepath.Join(bin, p.name)); err != nil || sum != p.sum {
			missing[p.name] = true
		}
	}
	if len(missing) == 0 {
		return nil
	}
	err := extract(bin, missing, all)
	debug.FreeOSMemory() // the decoder held all that it had unpacked
	return err
}

// extract writes the missing ones.
func extract(bin string, missing map[string]bool, all []program) error {
	packed, err := assets.Open("bundle/out/programs.zst")
	if err != nil {
		return fmt.Errorf("open the bundled programs: %w", err)
	}
	defer packed.Close()
	d, err := zstd.NewReader(packed, zstd.WithDecoderConcurrency(1), zstd.WithDecoderLowmem(true), zstd.WithDecoderMaxWindow(1<<26))
	if err != nil {
		return fmt.Errorf("open the bundled programs: %w", err)
	}
	defer d.Close()
	for _, p := range all {
		content := io.LimitReader(d, p.size)
		if missing[p.name] {
			err = write(filepath.Join(bin, p.name), p, content)
			delete(missing, p.name)
		} else {
			_, err = io.Copy(io.Discard, content)
		}
		if err != nil {
			return fmt.Errorf("unpack %s: %w", p.name, err)
		}
		if len(missing) == 0 {
			break
		}
	}
	return nil
}

// write writes a program to path, or leaves what was there.
func write(path string, p program, content io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".unpack-")
	if err != nil {
		return err
	}
	defer os.Remove(f.Name()) // fails after the rename
	sum := sha256.New()
	_, err = io.Copy(io.MultiWriter(f, sum), content)
	if err = errors.Join(err, f.Chmod(0o755), f.Sync(), f.Close()); err != nil {
		return err
	}
	if got := hex.EncodeToString(sum.Sum(nil)); got != p.sum {
		return fmt.Errorf("it is damaged: its sum is %s, not %s", got, p.sum)
	}
	return os.Rename(f.Name(), path)
}

func sumOf(path string) (string, error) {
	f, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer f.Close()
	sum := sha256.New()
	_, err = io.Copy(sum, f)
	return hex.EncodeToString(sum.Sum(nil)), err
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
