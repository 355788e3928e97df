package events

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"lattice/app"
)

const (
	suffix    = ".jsonl"
	segments  = 8         // that share the bytes that may be kept
	maxRecord = 256 << 10 // longest line that is read, in bytes
)

// A disk is a folder of segments: files of one event a line, each named by the
// number of its first. Only the last is written to. It is for one goroutine.
type disk struct {
	dir   string
	limit int64 // bytes of one segment
	names []string
	last  uint64 // number of the newest event

	file  *os.File // the last segment; nil: not open
	size  int64    // of the last segment
	dirty bool     // written since the last sync
}

func openDisk(dir string, limit int64) (*disk, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	d := &disk{dir: dir, limit: max(1, limit/segments)}
	entries, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries { // by name
		if strings.HasSuffix(e.Name(), suffix) {
			d.names = append(d.names, e.Name())
		}
	}
	return d, nil
}

// read returns the newest n events, oldest first, and how many lines it could
// not read.
func (d *disk) read(n int) (newest []app.Event, damaged int, err error) {
	for i := len(d.names) - 1; i >= 0 && len(newest) < n; i-- {
		found, bad, whole, err := readSegment(filepath.Join(d.dir, d.names[i]))
		if err != nil {
			return nil, 0, err
		}
		if i == len(d.names)-1 {
			if err := d.mend(d.names[i], whole); err != nil {
				return nil, 0, err
			}
		}
		newest, damaged = append(found, newest...), damaged+bad
	}
	if len(newest) > 0 {
		d.last = newest[len(newest)-1].Seq
	}
	return slices.Clone(newest[max(0, len(newest)-n):]), damaged, nil
}

// mend makes the segment end with its last whole line, for the next one to stand
// alone.
func (d *disk) mend(name string, whole int64) error {
	if _, err := fmt.Sscanf(name, "%d", &d.last); err != nil {
		return fmt.Errorf("%s is no name of a segment: take the file away", filepath.Join(d.dir, name))
	}
	d.size = whole
	return os.Truncate(filepath.Join(d.dir, name), whole)
}

// readSegment returns the events of a file, in the order of their numbers, and
// up to which byte its lines are whole.
func readSegment(path string) (found []app.Event, damaged int, whole int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, 0, 0, err
	}
	defer f.Close()
	lines := bufio.NewReaderSize(f, maxRecord)
	for last := uint64(0); ; {
		line, err := lines.ReadSlice('\n')
		switch {
		case err == io.EOF:
			return found, damaged, whole, nil
		case err == bufio.ErrBufferFull:
			whole += int64(len(line))
			continue // the rest of it won't be an event either
		case err != nil:
			return nil, 0, 0, err
		}
		whole += int64(len(line))
		var e app.Event
		if err := json.Unmarshal(line, &e); err != nil || e.Seq <= last {
			damaged++
			continue
		}
		last = e.Seq
		found = append(found, e)
	}
}

// append writes events. After an error none of them counts as written.
func (d *disk) append(es []app.Event) error {
	if err := d.open(es[0].Seq); err != nil {
		return err
	}
	var buf bytes.Buffer
	enc := json.NewEncoder(&buf)
	enc.SetEscapeHTML(false)
	for _, e := range es {
		if err := enc.Encode(e); err != nil {
			return fmt.Errorf("encode an event: %w", err)
		}
	}
	if _, err := d.file.WriteAt(buf.Bytes(), d.size); err != nil {
		return errors.Join(err, d.file.Truncate(d.size)) // so that no half line is left for a reader
	}
	d.size += int64(buf.Len())
	d.last, d.dirty = es[len(es)-1].Seq, true
	return nil
}

// open makes file the segment to write to: the last one, or when that is full
// one whose first event has the number next.
func (d *disk) open(next uint64) (err error) {
	flags := os.O_RDWR | os.O_CREATE
	switch {
	case len(d.names) == 0 || d.size >= d.limit:
		if err := errors.Join(d.close(), d.makeRoom()); err != nil {
			return err
		}
		d.names, d.size = append(d.names, fmt.Sprintf("%020d%s", next, suffix)), 0
		flags |= os.O_TRUNC
	case d.file != nil:
		return nil
	}
	d.file, err = os.OpenFile(filepath.Join(d.dir, d.names[len(d.names)-1]), flags, 0o600)
	return err
}

// makeRoom deletes the oldest segments, so that one more can be.
func (d *disk) makeRoom() error {
	for len(d.names) >= segments {
		if err := os.Remove(filepath.Join(d.dir, d.names[0])); err != nil && !errors.Is(err, os.ErrNotExist) {
			return err
		}
		d.names = d.names[1:]
	}
	return nil
}

// sync returns when what was written is safe.
func (d *disk) sync() error {
	if !d.dirty {
		return nil
	}
	if err := d.file.Sync(); err != nil {
		return err
	}
	d.dirty = false
	return nil
}

// close ends the last segment.
func (d *disk) close() error {
	if d.file == nil {
		return nil
	}
	err := errors.Join(d.sync(), d.file.Close())
	d.file, d.dirty = nil, false
	return err
}
