package tarball

import (
	"archive/tar"
	"cmp"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Options say how Extract works.
type Options struct {
	Owners  bool                   // files get the owners that the stream names; else they are ours
	Skipped func(name, why string) // is told what is left out
}

// Extract unpacks a stream of Write to dest as cp does: into it if it is a
// folder, else under its name. Nothing gets out of the folder, whatever the
// stream says, also not by symbolic links that are in it.
func Extract(r io.Reader, dest string, o Options) error {
	x := extraction{Options: o}
	dir, isDir := dest, false
	if info, err := os.Stat(dest); err == nil {
		isDir = info.IsDir()
	}
	slash := strings.HasSuffix(filepath.ToSlash(dest), "/")
	if !isDir {
		if slash {
			return fmt.Errorf("%s is not a folder, or there is none of that name", dest)
		}
		dir, x.rename = filepath.Split(filepath.Clean(dest))
		dir = cmp.Or(dir, ".")
	}
	root, err := os.OpenRoot(dir)
	if err != nil {
		return err
	}
	defer root.Close()
	x.root = root
	tr := tar.NewReader(r)
	for {
		h, err := tr.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return fmt.Errorf("read the stream of files: %w", err)
		}
		if err := x.entry(h, tr); err != nil {
			return err
		}
	}
	if _, err := io.Copy(io.Discard, r); err != nil { // or who sends it sees a broken pipe
		return err
	}
	return x.finish()
}

// An extraction is one call of Extract.
type extraction struct {
	Options
	root   *os.Root
	rename string // of the first element of each entry; empty: as it is

	folders []folder
}

// A folder gets its mode and time last, or nothing could be put into it.
type folder struct {
	name string
	mode fs.FileMode
	at   time.Time
}

// place returns where in root an entry goes; "" is the root itself.
func (x *extraction) place(name string) (string, error) {
	clean := path.Clean(name)
	if !fs.ValidPath(clean) {
		return "", fmt.Errorf("the stream has a file %.200q, which is outside of the folder: nothing more is unpacked", name)
	}
	if x.rename != "" {
		_, rest, _ := strings.Cut(clean, "/")
		clean = path.Join(x.rename, rest)
	}
	return filepath.FromSlash(clean), nil
}

func (x *extraction) entry(h *tar.Header, content io.Reader) error {
	name, err := x.place(h.Name)
	if err != nil {
		return err
	}
	mode := h.FileInfo().Mode()
	switch h.Typeflag {
	case tar.TypeDir:
		err = x.folder(name, mode, h)
	case tar.TypeReg:
		err = x.file(name, mode, h, content)
	case tar.TypeSymlink:
		if err = x.clear(name); err == nil {
			err = x.root.Symlink(h.Linkname, name)
		}
	case tar.TypeLink:
		var first string
		if first, err = x.place(h.Linkname); err == nil {
			if err = x.clear(name); err == nil {
				err = x.root.Link(first, name)
			}
		}
	case tar.TypeXGlobalHeader:
		return nil
	default:
		x.Skipped(h.Name, "it is a device, a pipe or a socket")
		return nil
	}
	if err == nil && x.Owners {
		err = x.give(name, mode, h)
	}
	return err
}

// give gives what was made to its owner. The change takes setuid and setgid off.
func (x *extraction) give(name string, mode fs.FileMode, h *tar.Header) error {
	if err := own(x.root, name, h.Uid, h.Gid); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	return x.root.Chmod(name, x.mode(mode))
}

// mode leaves setuid and the like out where the owner isn't kept either.
func (x *extraction) mode(m fs.FileMode) fs.FileMode {
	if x.Owners {
		return m & (fs.ModePerm | fs.ModeSetuid | fs.ModeSetgid | fs.ModeSticky)
	}
	return m & (fs.ModePerm | fs.ModeSticky)
}

func (x *extraction) folder(name string, mode fs.FileMode, h *tar.Header) error {
	if info, err := x.root.Stat(name); err == nil && info.IsDir() && (name == "." || !x.fresh(name)) {
		return nil // what was there before keeps its mode
	}
	if err := x.root.MkdirAll(name, 0o700); err != nil {
		return err
	}
	x.folders = append(x.folders, folder{name, x.mode(mode), h.ModTime})
	return nil
}

// fresh reports whether the folder was made here.
func (x *extraction) fresh(name string) bool {
	return slices.ContainsFunc(x.folders, func(f folder) bool { return f.name == name })
}

func (x *extraction) file(name string, mode fs.FileMode, h *tar.Header, content io.Reader) error {
	if err := x.clear(name); err != nil {
		return err
	}
	f, err := x.root.OpenFile(name, os.O_CREATE|os.O_EXCL|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(f, content)
	if err = errors.Join(err, f.Chmod(x.mode(mode)), f.Close()); err != nil {
		return err
	}
	return x.root.Chtimes(name, h.ModTime, h.ModTime)
}

// clear makes room for a file, and the folders above it.
func (x *extraction) clear(name string) error {
	if dir := filepath.Dir(name); dir != "." {
		if err := x.root.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	info, err := x.root.Lstat(name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err == nil && info.IsDir() {
		return fmt.Errorf("%s is a folder and can't be replaced by a file", name)
	}
	return x.root.Remove(name)
}

// finish gives the folders their modes and times, those inside first.
func (x *extraction) finish() error {
	for _, f := range slices.Backward(x.folders) {
		if err := errors.Join(x.root.Chmod(f.name, f.mode), x.root.Chtimes(f.name, f.at, f.at)); err != nil {
			return err
		}
	}
	return nil
}
