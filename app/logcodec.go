package app

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// The text form of a log line is one line of nine fields with a tab between:
//
//	APP INDEX GUID SEQ AT STREAM SOURCE PARTIAL TEXT
//
// AT is in nanoseconds since 1970, empty for the zero time; PARTIAL is + or
// empty. A backslash, newline, carriage return and NUL is written as \\ \n \r
// \0, in all fields but TEXT also a tab as \t. All other bytes stand for
// themselves, so text that is no valid UTF-8 comes through unharmed.
const logFields = 9

// MaxLogLine is the longest text form ReadLogLines takes, in bytes: text of
// MaxLine with each byte escaped, and room for the other fields.
const MaxLogLine = 2*MaxLine + 4<<10

// AppendLogLine appends the text form of l, a newline at its end, to dst and
// returns the result. Of At it keeps the instant, not the time zone.
func AppendLogLine(dst []byte, l LogLine) []byte {
	dst = appendField(dst, l.App)
	dst = strconv.AppendInt(dst, int64(l.Index), 10)
	dst = append(dst, '\t')
	dst = appendField(dst, l.GUID)
	dst = strconv.AppendUint(dst, l.Seq, 10)
	dst = append(dst, '\t')
	if !l.At.IsZero() {
		dst = strconv.AppendInt(dst, l.At.UnixNano(), 10)
	}
	dst = append(dst, '\t')
	dst = appendField(dst, string(l.Stream))
	dst = appendField(dst, l.Source)
	if l.Partial {
		dst = append(dst, '+')
	}
	dst = append(dst, '\t')
	dst = appendEscaped(dst, l.Text, false)
	return append(dst, '\n')
}

// ParseLogLine reads what AppendLogLine wrote; the newline may be missing. The
// result shares no memory with line. Errors are ErrInvalid.
func ParseLogLine(line []byte) (LogLine, error) {
	d := logDecoder{source: SourceApp, stream: Stdout}
	return d.decode(bytes.TrimSuffix(line, []byte("\n")))
}

// ReadLogLines calls fn for each log line in r until r ends or fn returns an
// error, which it returns as it is. What is no log line, is longer than
// MaxLogLine or ends without a newline is ErrInvalid.
func ReadLogLines(r io.Reader, fn func(LogLine) error) error {
	var d logDecoder
	br := bufio.NewReaderSize(r, MaxLogLine+1)
	for n := 1; ; n++ {
		line, err := br.ReadSlice('\n')
		switch {
		case err == io.EOF && len(line) == 0:
			return nil
		case err == io.EOF:
			return Invalid("log line %d: ends after %d bytes without a newline", n, len(line))
		case errors.Is(err, bufio.ErrBufferFull):
			return Invalid("log line %d: longer than %d bytes", n, MaxLogLine)
		case err != nil:
			return fmt.Errorf("read log line %d: %w", n, err)
		}
		l, err := d.decode(line[:len(line)-1])
		if err != nil {
			return fmt.Errorf("log line %d: %w", n, err)
		}
		if err := fn(l); err != nil {
			return err
		}
	}
}

// appendField appends s and the tab that ends it.
func appendField(dst []byte, s string) []byte {
	return append(appendEscaped(dst, s, true), '\t')
}

// appendEscaped appends s in its escaped form. Few lines have anything to
// escape, hence the search in front, which is faster than a loop over bytes.
func appendEscaped(dst []byte, s string, tab bool) []byte {
	if strings.IndexByte(s, '\\') < 0 && strings.IndexByte(s, '\r') < 0 && strings.IndexByte(s, '\n') < 0 &&
		strings.IndexByte(s, 0) < 0 && !(tab && strings.IndexByte(s, '\t') >= 0) {
		return append(dst, s...)
	}
	for i := range len(s) {
		switch c := s[i]; {
		case c == '\\':
			dst = append(dst, `\\`...)
		case c == '\n':
			dst = append(dst, `\n`...)
		case c == '\r':
			dst = append(dst, `\r`...)
		case c == 0:
			dst = append(dst, `\0`...)
		case c == '\t' && tab:
			dst = append(dst, `\t`...)
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

// A logDecoder decodes the lines of one source. It remembers the strings that
// tend to come again, so that most lines cost one allocation, for their text.
type logDecoder struct {
	app, guid, source string
	stream            Stream
}

func (d *logDecoder) decode(line []byte) (LogLine, error) {
	var f [logFields][]byte
	rest := line
	for i := range logFields - 1 {
		tab := bytes.IndexByte(rest, '\t')
		if tab < 0 {
			return LogLine{}, Invalid("not a log line: %d of %d fields", i+1, logFields)
		}
		f[i], rest = rest[:tab], rest[tab+1:]
	}
	f[logFields-1] = rest
	index, errIndex := strconv.Atoi(string(f[1]))
	seq, errSeq := strconv.ParseUint(string(f[3]), 10, 64)
	at, errAt := parseInstant(f[4])
	if err := errors.Join(errIndex, errSeq, errAt); err != nil {
		return LogLine{}, Invalid("not a log line: %v", err)
	}
	partial := string(f[7]) == "+"
	if !partial && len(f[7]) > 0 {
		return LogLine{}, Invalid("not a log line: field 8 is %q, must be + or empty", f[7])
	}
	l := LogLine{Index: index, Seq: seq, At: at, Partial: partial}
	var errs [5]error
	l.App, errs[0] = again(d.app, f[0])
	l.GUID, errs[1] = again(d.guid, f[2])
	l.Source, errs[2] = again(d.source, f[6])
	stream, err := again(string(d.stream), f[5])
	l.Stream, errs[3] = Stream(stream), err
	l.Text, errs[4] = unescape(f[8])
	if err := errors.Join(errs[:]...); err != nil {
		return LogLine{}, err
	}
	d.app, d.guid, d.source, d.stream = l.App, l.GUID, l.Source, l.Stream
	return l, nil
}

func parseInstant(b []byte) (time.Time, error) {
	if len(b) == 0 {
		return time.Time{}, nil
	}
	ns, err := strconv.ParseInt(string(b), 10, 64)
	return time.Unix(0, ns).UTC(), err
}

// again returns what b stands for, and last itself if it is the same.
func again(last string, b []byte) (string, error) {
	if string(b) == last && strings.IndexByte(last, '\\') < 0 {
		return last, nil
	}
	return unescape(b)
}

func unescape(b []byte) (string, error) {
	i := bytes.IndexByte(b, '\\')
	if i < 0 {
		return string(b), nil
	}
	out := make([]byte, 0, len(b))
	for ; i >= 0; i = bytes.IndexByte(b, '\\') {
		out = append(out, b[:i]...)
		if i+1 == len(b) {
			return "", Invalid("not a log line: a backslash at the end of a field")
		}
		k := strings.IndexByte(`\nr0t`, b[i+1])
		if k < 0 {
			return "", Invalid("not a log line: unknown escape \\%c", b[i+1])
		}
		out = append(out, "\\\n\r\x00\t"[k])
		b = b[i+2:]
	}
	return string(append(out, b...)), nil
}
