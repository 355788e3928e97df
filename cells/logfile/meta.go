package logfile

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"

	"lattice/app"
)

// An ID says whose log it is.
type ID struct {
	App   string
	Index int
	GUID  string // names the folder; unique for ever
}

// Limits of one log on disk, in bytes.
const (
	DefaultLimit = 10 << 20
	MinLimit     = 1 << 20
)

// meta is what a log's folder says of itself.
type meta struct {
	ID
	limit int64 // bytes
}

const metaName = "meta"

func readMeta(dir string) (meta, error) {
	data, err := os.ReadFile(filepath.Join(dir, metaName))
	if err != nil {
		return meta{}, err
	}
	l, err := app.ParseLogLine(data)
	if err != nil {
		return meta{}, fmt.Errorf("read %s of %s: %w", metaName, dir, err)
	}
	limit, err := strconv.ParseInt(strings.TrimPrefix(l.Text, "limit "), 10, 64)
	if err != nil || l.GUID != filepath.Base(dir) {
		return meta{}, app.Invalid("%s of %s: not what a log writes", metaName, dir)
	}
	return meta{ID{l.App, l.Index, l.GUID}, limit}, nil
}

// write puts m in place in one step, so that a reader sees all of it or none.
func (m meta) write(dir string) error {
	data := app.AppendLogLine(nil, app.LogLine{App: m.App, Index: m.Index, GUID: m.GUID, At: time.Now(),
		Stream: app.Platform, Source: app.SourceLog, Text: "limit " + strconv.FormatInt(m.limit, 10)})
	return replace(filepath.Join(dir, metaName), data)
}

// replace writes a file in one step.
func replace(path string, data []byte) error {
	if err := os.WriteFile(path+".new", data, 0o600); err != nil {
		return err
	}
	return os.Rename(path+".new", path)
}

// claim makes sure that dir is the folder of the log m, and of no other.
func (m meta) claim(dir string) error {
	if m.GUID != filepath.Base(dir) {
		return app.Invalid("open log: the folder of %q must be named so, not %s", m.GUID, dir)
	}
	switch have, err := readMeta(dir); {
	case err == nil && have.ID != m.ID:
		return fmt.Errorf("open log %s: it is that of %s/%d: %w", dir, have.App, have.Index, app.ErrConflict)
	case err == nil && have == m:
		return nil
	case err == nil || errors.Is(err, fs.ErrNotExist) || errors.Is(err, app.ErrInvalid):
		return m.write(dir) // new, with another limit, or damaged by a crash of the machine
	default:
		return err
	}
}

// lock makes the caller the only owner of the log in dir until the file it
// gets is closed, by whatever end of the process. It does not wait: a log that
// has an owner is app.ErrConflict.
func lock(dir string) (*os.File, error) {
	f, err := os.Open(dir)
	if err != nil {
		return nil, err
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			err = app.ErrConflict
		}
		return nil, fmt.Errorf("lock log %s: %w", dir, err)
	}
	return f, nil
}
