package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"lattice/app"
)

const (
	segmentsPerLog = 10        // so that a full log drops a tenth of itself at a time
	flushBytes     = 128 << 10 // a longer batch is written in several pieces
)

// A Writer appends to one log. It is safe for concurrent use. When it can't
// write, it drops and counts, and says how many it dropped in a line of the
// log as soon as it can write again.
type Writer struct {
	dir   string
	limit int64 // bytes
	owner *os.File

	mu   sync.Mutex // guards what follows, also while writing to disk: that is what it puts in order
	segs []segment
	file *os.File // the last of segs; nil: the next write starts a new one
	seq  uint64   // of the newest line, on disk or not
	buf  []byte   // the newest lines, not written yet
	n    uint64   // lines in buf
	lost uint64   // lines dropped, just before those in buf
	why  error    // the last reason to drop lines
}

// Open opens the log of id in the folder dir, whose last part is the GUID, and
// makes what is missing. A last line that was torn is cut off. The log never
// takes more than limit bytes; 0 is DefaultLimit, less than MinLimit is
// MinLimit. A log that is open already is app.ErrConflict.
func Open(dir string, id ID, limit int64) (*Writer, error) {
	if limit == 0 {
		limit = DefaultLimit
	}
	m := meta{id, max(limit, MinLimit)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("open log: %w", err)
	}
	owner, err := lock(dir)
	if err != nil {
		return nil, err
	}
	w := &Writer{dir: dir, limit: m.limit, owner: owner}
	err = m.claim(dir)
	if err == nil {
		err = w.resume()
	}
	if err != nil {
		owner.Close()
		return nil, fmt.Errorf("open log: %w", err)
	}
	return w, nil
}

// Append adds one line, which may have newlines in it. Its error is the reason
// why lines are being dropped.
func (w *Writer) Append(at time.Time, s app.Stream, source, text string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.add(app.LogLine{At: at, Stream: s, Source: source, Text: text})
	return w.flush()
}

// Settle writes the line that says how many were dropped, if one is due. Its
// error is the reason why it still can't.
func (w *Writer) Settle() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.flush()
}

// Close ends the log. To get the last word on dropped lines onto a full disk
// it gives up the oldest segments.
func (w *Writer) Close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	err := w.flush()
	for err != nil && len(w.segs) > 1 {
		if err = w.dropOldest(); err == nil {
			err = w.flush()
		}
	}
	if w.file != nil {
		err = errors.Join(err, w.file.Close())
	}
	return errors.Join(err, w.owner.Close())
}

// resume finds out where the log ends and mends that end.
func (w *Writer) resume() error {
	segs, err := segments(w.dir)
	if err != nil || len(segs) == 0 {
		return err
	}
	last := &segs[len(segs)-1]
	seq, size, err := survey(w.dir, last.first)
	if err != nil {
		return err
	}
	f, err := os.OpenFile(segmentPath(w.dir, last.first), os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	if size < last.size {
		if err := f.Truncate(size); err != nil {
			f.Close()
			return err
		}
		last.size = size
	}
	w.segs, w.file, w.seq = segs, f, seq
	return nil
}

// add puts l, in pieces if it is too long, into the buffer.
func (w *Writer) add(l app.LogLine) {
	for len(l.Text) > app.MaxLine {
		piece := l
		i := cut(l.Text)
		piece.Text, piece.Partial, l.Text = l.Text[:i], true, l.Text[i:]
		w.addPiece(piece)
	}
	w.addPiece(l)
}

func (w *Writer) addPiece(l app.LogLine) {
	w.seq++
	l.Seq = w.seq
	w.buf = app.AppendLogLine(w.buf, l)
	w.n++
	if len(w.buf) >= flushBytes {
		w.flush() // if it fails, the caller's own flush has to tell of it and fails, too, or mends it
	}
}

// flush writes what is due. What can't be written is dropped and counted.
func (w *Writer) flush() error {
	if err := w.confess(); err != nil {
		w.drop(w.n, err)
		return err
	}
	if w.n == 0 {
		return nil
	}
	written, err := w.write(w.seq-w.n+1, w.buf)
	w.drop(w.n-written, err)
	return err
}

// confess writes the line that stands for the dropped ones.
func (w *Writer) confess() error {
	if w.lost == 0 {
		return nil
	}
	last := w.seq - w.n
	line := app.AppendLogLine(nil, app.LogLine{Seq: last, At: time.Now(), Stream: app.Platform, Source: app.SourceLog,
		Text: fmt.Sprintf("%d lines dropped: the log could not be written: %v", w.lost, w.why)})
	_, err := w.write(last-w.lost+1, line)
	if err == nil {
		w.lost, w.why = 0, nil
	}
	return err
}

// drop empties the buffer, of which the last n lines count as lost.
func (w *Writer) drop(n uint64, err error) {
	w.buf, w.n = w.buf[:0], 0
	w.lost += n
	if pe := (*fs.PathError)(nil); errors.As(err, &pe) {
		err = pe.Err // the user of the app knows no paths of the cell
	}
	if err != nil {
		w.why = err
	}
}

// write puts p, whole lines of which the first is or accounts for Seq first,
// at the end of the log. It returns how many lines are on disk now.
func (w *Writer) write(first uint64, p []byte) (lines uint64, err error) {
	if err := w.makeRoom(first, int64(len(p))); err != nil {
		return 0, err
	}
	cur := &w.segs[len(w.segs)-1]
	n, err := w.file.Write(p)
	// Whole lines stay though the write failed: a Reader may have them already.
	good := bytes.LastIndexByte(p[:n], '\n') + 1
	cur.size += int64(good)
	if n > good && w.file.Truncate(cur.size) != nil {
		cur.size += int64(n - good)
		w.closeFile() // the next write starts a new segment; a Reader passes over the torn line
	}
	return uint64(bytes.Count(p[:good], []byte("\n"))), err
}

// makeRoom makes sure that there is a file to write to and that n bytes more
// don't take the log over its limit.
func (w *Writer) makeRoom(first uint64, n int64) error {
	var total int64
	for _, s := range w.segs {
		total += s.size
	}
	for len(w.segs) > 1 && total+n > w.limit {
		total -= w.segs[0].size
		if err := w.dropOldest(); err != nil {
			return err
		}
	}
	if w.file != nil && w.segs[len(w.segs)-1].size+n > w.limit/segmentsPerLog {
		w.closeFile()
	}
	if w.file != nil {
		return nil
	}
	f, err := os.OpenFile(segmentPath(w.dir, first), os.O_WRONLY|os.O_APPEND|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	w.file = f
	if k := len(w.segs); k > 0 && w.segs[k-1].first == first {
		w.segs = w.segs[:k-1] // it had no whole line
	}
	w.segs = append(w.segs, segment{first: first})
	return nil
}

// closeFile ends the current segment. Nothing waits to be written by Close, so
// its error says nothing about the lines.
func (w *Writer) closeFile() {
	w.file.Close()
	w.file = nil
}

func (w *Writer) dropOldest() error {
	err := os.Remove(segmentPath(w.dir, w.segs[0].first))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	w.segs = w.segs[1:]
	return nil
}
