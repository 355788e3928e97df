package logfile

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"time"

	"lattice/app"
)

const (
	maxOpenEvents = 64 // logs; the one that was not used longest is closed first
	bootIDFile    = "/proc/sys/kernel/random/boot_id"
)

// An EventLog takes what the platform has to say about instances and puts it
// into logs under LOGROOT, from where a Shipper delivers it like the apps' own
// lines. It is safe for concurrent use.
type EventLog struct {
	root string
	boot string // tells the boots of this machine apart
	log  *slog.Logger

	mu   sync.Mutex // guards what follows
	open map[string]*events
}

// events is a log that is open.
type events struct {
	w    *Writer
	used time.Time
}

// NewEventLog returns an EventLog for the logs under root.
func NewEventLog(root string, log *slog.Logger) (*EventLog, error) {
	boot, err := os.ReadFile(bootIDFile)
	if err != nil {
		return nil, fmt.Errorf("tell the boots of this machine apart: %w", err)
	}
	return &EventLog{root: root, boot: string(boot[:8]), log: log, open: map[string]*events{}}, nil
}

// Event writes a line. All events of one stream, which is something with a life
// of its own such as a placement, reach the reader in order. The GUID of its
// lines is stream, a dot, and the boot of the machine: a crash of the machine
// may take the newest lines from the disk, and no Seq may be used twice.
//
// An event that can't be written is logged; a line of the stream says so, too,
// as soon as that can be written.
func (e *EventLog) Event(stream, name string, index int, source, text string) {
	if err := e.write(ID{name, index, stream + "." + e.boot}, source, text); err != nil {
		e.log.Warn("event not written to the log of the instance", "app", name, "instance", index, "err", err)
	}
}

// Close closes what is open. Later events open it again.
func (e *EventLog) Close() error {
	e.mu.Lock()
	defer e.mu.Unlock()
	var errs []error
	for guid, ev := range e.open {
		errs = append(errs, ev.w.Close())
		delete(e.open, guid)
	}
	return errors.Join(errs...)
}

func (e *EventLog) write(id ID, source, text string) error {
	e.mu.Lock()
	defer e.mu.Unlock()
	now := time.Now()
	ev, ok := e.open[id.GUID]
	if !ok {
		if err := e.closeOldest(); err != nil {
			return err
		}
		w, err := Open(filepath.Join(e.root, id.GUID), id, MinLimit)
		if err != nil {
			return err
		}
		ev = &events{w: w}
		e.open[id.GUID] = ev
	}
	ev.used = now
	return ev.w.Append(now, app.Platform, source, text)
}

// closeOldest makes room for one more.
func (e *EventLog) closeOldest() error {
	if len(e.open) < maxOpenEvents {
		return nil
	}
	var oldest string
	for guid, ev := range e.open {
		if oldest == "" || ev.used.Before(e.open[oldest].used) {
			oldest = guid
		}
	}
	ev := e.open[oldest]
	delete(e.open, oldest)
	return ev.w.Close()
}
