package install

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
)

// A File is a file as it should be.
type File struct {
	Path string
	Mode fs.FileMode
	Text string
}

// put writes the file unless it is as it should be. It is only ever seen whole.
func (f File) put() (changed bool, err error) {
	info, err := os.Lstat(f.Path)
	if err == nil && info.Mode() == f.Mode {
		have, err := os.ReadFile(f.Path)
		if err == nil && string(have) == f.Text {
			return false, nil
		}
	}
	if err := os.MkdirAll(filepath.Dir(f.Path), 0o755); err != nil {
		return false, err
	}
	return true, replace(f.Path, f.Mode, bytes.NewReader([]byte(f.Text)))
}

// putBinary copies from to Binary, unless it is the same.
func putBinary(from string) (changed bool, err error) {
	want, err := sum(from)
	if err != nil {
		return false, err
	}
	if have, err := sum(Binary); err == nil && have == want {
		return false, nil
	}
	src, err := os.Open(from)
	if err != nil {
		return false, err
	}
	defer src.Close()
	if err := os.MkdirAll(filepath.Dir(Binary), 0o755); err != nil {
		return false, err
	}
	return true, replace(Binary, 0o755, src)
}

// putLink makes path a symbolic link to target.
func putLink(path, target string) (changed bool, err error) {
	if have, err := os.Readlink(path); err == nil && have == target {
		return false, nil
	}
	if err := remove(path); err != nil {
		return false, err
	}
	return true, os.Symlink(target, path)
}

// replace puts a new file in the place of the one at path, which whoever has
// it open, or runs it, keeps.
func replace(path string, mode fs.FileMode, from io.Reader) error {
	f, err := os.CreateTemp(filepath.Dir(path), ".new-*")
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write %s: %w", path, err), os.Remove(f.Name()))
	}
	return nil
}

func sum(path string) (s [sha256.Size]byte, err error) {
	f, err := os.Open(path)
	if err != nil {
		return s, err
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return s, err
	}
	return [sha256.Size]byte(h.Sum(nil)), nil
}
