// Package tarball copies files and folders as a tar stream, between a machine
// and a container. Both ends use it, so that a copy is placed alike in both
// directions. It keeps modes, times, links and, if asked to, owners; devices,
// pipes and sockets it leaves out and says so.
package tarball

import (
	"archive/tar"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Write writes the file or folder at name as a tar stream; its entries begin
// with the last element of name. Of a path that ends with a slash and a dot it
// is only the content of the folder. skipped is told what is left out.
func Write(w io.Writer, name string, skipped func(path, why string)) error {
	return WriteSome(w, name, func(string, bool) (bool, bool) { return true, true }, skipped)
}

// WriteSome is Write of what wanted takes. It is asked for each file and folder
// by its path from name, with slashes; whether a folder is looked into is another
// question than whether it is taken itself.
func WriteSome(w io.Writer, name string, wanted func(rel string, dir bool) (take, enter bool), skipped func(path, why string)) error {
	top := filepath.Base(filepath.Clean(name))
	content := name == "." || strings.HasSuffix(filepath.ToSlash(name), "/.")
	if content {
		top = "."
	} else if abs, err := filepath.Abs(name); err == nil && (top == ".." || top == string(filepath.Separator)) {
		top = filepath.Base(abs)
	}
	root, start := filepath.Clean(name), name
	if info, err := os.Lstat(start); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if target, err := filepath.EvalSymlinks(start); err == nil { // what is named is meant, not the link
			root = target
		}
	}
	tw := tar.NewWriter(w)
	links := map[inode]string{}
	err := filepath.WalkDir(root, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		take, enter := wanted(filepath.ToSlash(rel), d.IsDir())
		if take {
			err = add(tw, p, path.Join(top, filepath.ToSlash(rel)), d, links, skipped)
		}
		if err == nil && d.IsDir() && !enter {
			return filepath.SkipDir
		}
		return err
	})
	if err != nil {
		return err
	}
	return tw.Close()
}

// add writes one entry.
func add(tw *tar.Writer, file, name string, d fs.DirEntry, links map[inode]string, skipped func(string, string)) error {
	info, err := d.Info()
	if errors.Is(err, fs.ErrNotExist) {
		return nil // removed meanwhile
	}
	if err != nil {
		return err
	}
	target := ""
	switch mode := info.Mode(); {
	case mode&fs.ModeSymlink != 0:
		if target, err = os.Readlink(file); err != nil {
			return err
		}
	case mode&(fs.ModeDevice|fs.ModeNamedPipe|fs.ModeSocket|fs.ModeIrregular) != 0:
		skipped(file, "it is a device, a pipe or a socket")
		return nil
	}
	h, err := tar.FileInfoHeader(info, filepath.ToSlash(target))
	if err != nil {
		return err
	}
	h.Name, h.Format = name, tar.FormatPAX
	if d.IsDir() {
		h.Name += "/"
	}
	if first, again := hardLink(info, name, links); again {
		h.Typeflag, h.Linkname, h.Size = tar.TypeLink, first, 0
	}
	if err := tw.WriteHeader(h); err != nil {
		return err
	}
	if h.Typeflag != tar.TypeReg {
		return nil
	}
	return content(tw, file, h.Size)
}

// content writes size bytes of the file. One that shrinks meanwhile is an
// error; what it grows by is left out.
func content(w io.Writer, file string, size int64) error {
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	switch n, err := io.Copy(w, io.LimitReader(f, size)); {
	case err != nil:
		return fmt.Errorf("read %s: %w", file, err)
	case n < size:
		return fmt.Errorf("%s became smaller while it was read: copy it again", file)
	}
	return nil
}

// An inode names a file by its place on the disk.
type inode struct{ dev, ino uint64 }

// hardLink tells under which name the same file was written before, if it was.
func hardLink(info fs.FileInfo, name string, links map[inode]string) (first string, again bool) {
	id, many := identity(info)
	if !many || !info.Mode().IsRegular() {
		return "", false
	}
	if first, again = links[id]; !again {
		links[id] = name
	}
	return first, again
}
