package logfile

import (
	"bytes"
	"strings"
	"time"
	"unicode/utf8"

	"lattice/app"
)

// Lines cuts a stream of bytes into lines and appends them to a log. A line
// ends with \n or \r\n; one longer than app.MaxLine is cut into pieces between
// two characters. It is not safe for concurrent use, but two Lines of the same
// Writer are independent of each other.
type Lines struct {
	w      *Writer
	stream app.Stream
	source string
	rest   []byte // the beginning of a line that has not ended yet
}

// Lines returns a new Lines that appends to w.
func (w *Writer) Lines(s app.Stream, source string) *Lines {
	return &Lines{w: w, stream: s, source: source}
}

// Add takes the next bytes of the stream, which were read at the given time,
// and writes the lines that have ended, all at once. Its error is the reason
// why lines are being dropped; it has no need to be told of these bytes again.
func (l *Lines) Add(at time.Time, p []byte) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	end := bytes.LastIndexByte(p, '\n') + 1
	for s := range strings.Lines(string(p[:end])) {
		s = s[:len(s)-1]
		if len(l.rest) > 0 {
			l.rest = append(l.rest, s...)
			s = string(l.rest)
			l.rest = l.rest[:0]
		}
		l.add(at, strings.TrimSuffix(s, "\r"), false)
	}
	l.rest = append(l.rest, p[end:]...)
	// One byte more than a piece: it may be the \r that is no part of the line.
	for len(l.rest) > app.MaxLine+1 {
		i := cut(string(l.rest[:app.MaxLine+1]))
		l.add(at, string(l.rest[:i]), true)
		l.rest = append(l.rest[:0], l.rest[i:]...)
	}
	return l.w.flush()
}

// End writes the last line if it has no newline at its end.
func (l *Lines) End(at time.Time) error {
	l.w.mu.Lock()
	defer l.w.mu.Unlock()
	if len(l.rest) > 0 {
		l.add(at, string(l.rest), false)
		l.rest = nil
	}
	return l.w.flush()
}

func (l *Lines) add(at time.Time, s string, partial bool) {
	l.w.add(app.LogLine{At: at, Stream: l.stream, Source: l.source, Text: s, Partial: partial})
}

// cut returns where to cut s, which is longer than app.MaxLine, so that no
// character is torn apart.
func cut(s string) int {
	for i := app.MaxLine; i > app.MaxLine-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			return i
		}
	}
	return app.MaxLine // it is no UTF-8
}
