package logfile

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math"
	"os"
	"time"

	"lattice/app"
)

// A Reader reads a log while it is being written. Between two calls of Read it
// holds no file open. It is not safe for concurrent use.
type Reader struct {
	dir  string
	meta meta
	next uint64 // Seq of the line wanted next
	seg  uint64 // the segment being read, by its first Seq; 0: to be chosen
	off  int64  // where the next line begins in it
}

// OpenReader returns a Reader of the log in dir that starts after the line
// with Seq after. It is fs.ErrNotExist when there is no log yet.
func OpenReader(dir string, after uint64) (*Reader, error) {
	m, err := readMeta(dir)
	if err != nil {
		return nil, err
	}
	return &Reader{dir: dir, meta: m, next: after + 1}, nil
}

// ID says whose log it is.
func (r *Reader) ID() ID { return r.meta.ID }

// After returns the Seq of the last line read.
func (r *Reader) After() uint64 { return r.next - 1 }

// Seek makes the next Read start after the line with Seq after.
func (r *Reader) Seek(after uint64) { r.next, r.seg, r.off = after+1, 0, 0 }

// Read appends the next lines to dst, about limit bytes of them, and
// returns the result: nothing more when the end of the log is reached, for
// now. Seq only grows. Where lines are missing there is one of app.SourceLog
// in their place, which says how many and has the Seq of the last of them.
func (r *Reader) Read(dst []app.LogLine, limit int) ([]app.LogLine, error) {
	have := len(dst)
	var following uint64 // the next segment, once it was seen
	for {
		if r.seg == 0 {
			if err := r.choose(); err != nil || r.seg == 0 {
				return dst, err
			}
		}
		data, err := r.chunk(limit)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			r.seg, following = 0, 0 // the writer has dropped it just now
		case err != nil:
			return dst, fmt.Errorf("read log of %s/%d: %w", r.meta.App, r.meta.Index, err)
		case len(data) > 0:
			r.off += int64(len(data))
			if dst = r.parse(dst, data); len(dst) > have {
				return dst, nil
			}
		case following > 0:
			r.seg, r.off, following = following, 0, 0
		default:
			// Look into this segment once more after the next was seen: only
			// then is it certain that nothing comes to it any more.
			if following, err = r.follows(); err != nil || following == 0 {
				return dst, err
			}
		}
	}
}

// choose finds the segment that has the line wanted next, or else the oldest.
func (r *Reader) choose() error {
	segs, err := segments(r.dir)
	r.off = 0
	for i, s := range segs {
		if i == 0 || s.first <= r.next {
			r.seg = s.first
		}
	}
	return err
}

// follows returns the segment after the one being read, 0 if there is none.
func (r *Reader) follows() (uint64, error) {
	segs, err := segments(r.dir)
	for _, s := range segs {
		if s.first > r.seg {
			return s.first, nil
		}
	}
	return 0, err
}

// chunk returns the whole lines from where the Reader is, at most limit bytes
// but for a line that is longer than that.
func (r *Reader) chunk(limit int) ([]byte, error) {
	f, err := os.Open(segmentPath(r.dir, r.seg))
	if err != nil {
		return nil, err
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	left := max(0, info.Size()-r.off)
	for _, size := range []int64{int64(limit), app.MaxLogLine} {
		buf := make([]byte, min(size, left))
		n, err := f.ReadAt(buf, r.off)
		if err != nil && err != io.EOF {
			return nil, err
		}
		if end := bytes.LastIndexByte(buf[:n], '\n') + 1; end > 0 || size >= left {
			return buf[:end], nil
		}
	}
	return make([]byte, app.MaxLogLine), nil // damaged: no line is that long
}

// parse appends the lines in data to dst that were not read yet, and what is to
// say of missing ones. What is damaged is passed over; the next good line tells
// by its Seq how much that was.
func (r *Reader) parse(dst []app.LogLine, data []byte) []app.LogLine {
	for line := range bytes.Lines(data) {
		l, err := app.ParseLogLine(line)
		if err != nil || l.Seq < max(r.next, r.seg) || l.Seq == math.MaxUint64 {
			continue
		}
		l.App, l.Index, l.GUID = r.meta.App, r.meta.Index, r.meta.GUID
		if r.next < r.seg {
			dst = append(dst, r.missing(r.seg-1, l.At, r.whyGone()))
		}
		if r.next < l.Seq && !l.IsLoss() {
			dst = append(dst, r.missing(l.Seq-1, l.At, "lines dropped: the log was damaged on disk"))
		}
		dst = append(dst, l)
		r.next = l.Seq + 1
	}
	return dst
}

// missing returns the line that stands for all from next to last.
func (r *Reader) missing(last uint64, at time.Time, why string) app.LogLine {
	n := last - r.next + 1
	r.next = last + 1
	return app.LogLine{App: r.meta.App, Index: r.meta.Index, GUID: r.meta.GUID, Seq: last, At: at,
		Stream: app.Platform, Source: app.SourceLog, Text: fmt.Sprintf("%d %s", n, why)}
}

// whyGone says why segments are gone that were not read.
func (r *Reader) whyGone() string {
	limit := fmt.Sprintf("%d MiB", r.meta.limit>>20)
	if r.next == 1 {
		return "earlier lines are no longer kept: the log of an instance is limited to " + limit
	}
	return "lines dropped: the log of this instance grew faster than it could be delivered (limit " + limit + ")"
}
