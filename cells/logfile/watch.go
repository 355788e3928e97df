package logfile

import (
	"context"
	"errors"
	"log/slog"
	"path/filepath"
	"sync"

	"github.com/fsnotify/fsnotify"
)

// A watch notices which folders below root change. It never lets the kernel's
// queue of events wait for anybody; if that overflows all the same, it says
// that anything may have changed.
type watch struct {
	root string
	fs   *fsnotify.Watcher
	wake chan struct{} // holds a token while there is something to take
	log  *slog.Logger

	mu    sync.Mutex // guards what follows
	dirty map[string]bool
	all   bool
}

func newWatch(root string, log *slog.Logger) (*watch, error) {
	fs, err := fsnotify.NewWatcher()
	if err != nil {
		return nil, err
	}
	if err := fs.Add(root); err != nil {
		return nil, errors.Join(err, fs.Close())
	}
	return &watch{root: root, fs: fs, wake: make(chan struct{}, 1), log: log, dirty: map[string]bool{}, all: true}, nil
}

// run collects events until ctx is done.
func (w *watch) run(ctx context.Context) {
	for {
		select {
		case <-ctx.Done():
			return
		case ev := <-w.fs.Events:
			dir := filepath.Dir(ev.Name)
			if dir == w.root {
				dir = ev.Name
			}
			w.mark(filepath.Base(dir), false)
		case err := <-w.fs.Errors:
			if !errors.Is(err, fsnotify.ErrEventOverflow) {
				w.log.Warn("watching the logs", "err", err)
			}
			w.mark("", true)
		}
	}
}

// add starts to watch a folder.
func (w *watch) add(name string) error { return w.fs.Add(filepath.Join(w.root, name)) }

// mark says that a folder, or anything at all, may have changed.
func (w *watch) mark(name string, all bool) {
	w.mu.Lock()
	if all {
		w.all = true
	} else {
		w.dirty[name] = true
	}
	w.mu.Unlock()
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

// take returns the folders that may have changed since the last call, and
// whether it may be any.
func (w *watch) take() (names map[string]bool, all bool) {
	w.mu.Lock()
	defer w.mu.Unlock()
	names, all = w.dirty, w.all
	w.dirty, w.all = map[string]bool{}, false
	return names, all
}
