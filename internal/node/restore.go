package node

import (
	"archive/tar"
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"lattice/app"
	"lattice/internal/config"
	"lattice/internal/pki"
	"lattice/store"
)

// Bounds of what Restore takes.
const (
	maxBackup      = 1 << 40 // bytes, unpacked
	maxBackupFiles = 1_000_000
)

// Restored is what Restore did.
type Restored struct {
	Label
	Apps int
	Old  string // folder with what was there before; empty: nothing
}

// Restore makes the brain of this machine what r, which Backup wrote, says. No
// process may run with the data folder. A brain that is there already stays as
// it is, with app.ErrExists, unless replace is set; then it is put aside.
// Nothing is changed unless all of the backup is sound.
func Restore(cfg config.Common, r io.Reader, replace bool) (Restored, error) {
	release, err := claim(cfg)
	if err != nil {
		return Restored{}, err
	}
	defer release()
	dir := filepath.Join(cfg.DataDir, "brain")
	_, err = os.Stat(filepath.Join(dir, storeName))
	exists := err == nil
	if exists && !replace {
		return Restored{}, fmt.Errorf("a brain with data in %s %w", dir, app.ErrExists)
	}
	fresh, err := os.MkdirTemp(cfg.DataDir, ".restore-") // 0700
	if err != nil {
		return Restored{}, err
	}
	defer os.RemoveAll(fresh)
	var done Restored
	if done.Label, err = unpack(r, fresh); err != nil {
		return Restored{}, fmt.Errorf("read the backup: %w", err)
	}
	if done.Apps, err = examine(fresh); err != nil {
		return Restored{}, fmt.Errorf("the backup is not sound: %w", err)
	}
	if exists {
		done.Old = dir + ".before-" + time.Now().UTC().Format("20060102T150405")
		if err := os.Rename(dir, done.Old); err != nil {
			return Restored{}, err
		}
	} else if err := os.RemoveAll(dir); err != nil {
		return Restored{}, err
	}
	return done, errors.Join(os.Rename(fresh, dir), syncFolder(cfg.DataDir))
}

// unpack writes the files of a backup below dir.
func unpack(r io.Reader, dir string) (Label, error) {
	z, err := gzip.NewReader(r)
	if err != nil {
		return Label{}, app.Invalid("this is no backup: %v", err)
	}
	limited := &io.LimitedReader{R: z, N: maxBackup}
	t := tar.NewReader(limited)
	label, err := readLabel(t)
	if err != nil {
		return Label{}, err
	}
	for range maxBackupFiles {
		h, err := t.Next()
		switch {
		case errors.Is(err, io.EOF) && limited.N > 0:
			return label, readToEnd(limited)
		case err != nil:
			return Label{}, fmt.Errorf("it is damaged, or cut off: %w", err)
		case h.Typeflag != tar.TypeReg || !filepath.IsLocal(h.Name):
			return Label{}, app.Invalid("it has %q, which no backup has", h.Name)
		}
		if err := unpackFile(t, filepath.Join(dir, filepath.FromSlash(h.Name))); err != nil {
			return Label{}, err
		}
	}
	return Label{}, app.Invalid("it has more than %d files", maxBackupFiles)
}

// readToEnd reads what is behind the last file, with gzip's checksum.
func readToEnd(r io.Reader) error {
	if _, err := io.Copy(io.Discard, r); err != nil {
		return fmt.Errorf("it is damaged, or cut off: %w", err)
	}
	return nil
}

func readLabel(t *tar.Reader) (l Label, err error) {
	h, err := t.Next()
	if err != nil || h.Name != backupLabel {
		return l, app.Invalid("this is no backup of lattice")
	}
	if err := json.NewDecoder(io.LimitReader(t, 64<<10)).Decode(&l); err != nil {
		return l, app.Invalid("its label can't be read: %v", err)
	}
	if l.Format != backupFormat {
		return l, app.Invalid("it has format %d, this version knows %d: use the version that wrote it (%s)", l.Format, backupFormat, l.Version)
	}
	return l, nil
}

func unpackFile(from io.Reader, path string) error {
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return err
	}
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return app.Invalid("it has %s twice", filepath.Base(path))
	}
	if err != nil {
		return err
	}
	_, err = io.Copy(f, from)
	return errors.Join(err, f.Sync(), f.Close())
}

// examine opens all that a brain opens, and returns how many apps there are. It
// gives the store another ID: what cells were told since the backup is news to
// it, and they shall keep that.
func examine(dir string) (apps int, err error) {
	for _, name := range []string{storeName, "ca.key", "ca.crt", "secrets.json"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			return 0, app.Invalid("it has no %s", name)
		}
	}
	_, err1 := pki.OpenCA(dir)
	_, err2 := pki.OpenSecrets(dir)
	if err := errors.Join(err1, err2); err != nil {
		return 0, err
	}
	s, err := store.Open(filepath.Join(dir, storeName))
	if err != nil {
		return 0, err
	}
	desired, err := s.Load()
	return len(desired.Apps), errors.Join(err, s.Check(), s.Renew(), s.Close())
}

// syncFolder makes renames in a folder last.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
