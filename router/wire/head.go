// Package wire reads HTTP/1.1 as bytes: the heads of requests and answers, and
// chunked bodies. It decides what a message is and where it ends, and leaves
// moving it to others. It never allocates for a message of common size.
//
// Requests are read strictly, because two readers that differ about where one
// ends can be played off against each other: what RFC 9112 lets a server
// tolerate is refused. Answers come from our own apps and are read a little
// more leniently. Nothing here is safe for concurrent use.
package wire

import (
	"bytes"
	"errors"
)

// A Head is the first line of a message and its header fields. All slices
// point into the bytes that were parsed.
type Head struct {
	Method, Target []byte // of a request
	Code           int    // of an answer
	Reason         []byte // of an answer
	Minor          int    // the message is HTTP/1.Minor: 0 or 1
	Fields         []Field
	Len            int // bytes, with the empty line

	Length  int64 // value of Content-Length; -1: none
	Chunked bool
	Host    []byte // of a request

	Close     bool // Connection says close
	KeepAlive bool // Connection says keep-alive
	Upgrade   bool // Connection says upgrade
	hop       [][]byte
}

// A Field is one header field.
type Field struct {
	Name, Value []byte
	ID          ID
}

// Malformed is an error in a message, told so that who sent it can mend it.
type Malformed struct{ Why string }

func (m *Malformed) Error() string { return m.Why }

func bad(why string) error { return &Malformed{why} }

// ErrMore is returned when the message goes on after the bytes at hand.
var ErrMore = errors.New("the head is not complete yet")

// ErrCoding is returned for a Transfer-Encoding other than chunked.
var ErrCoding = errors.New("the only Transfer-Encoding understood is chunked")

// ErrVersion is returned for a message that is not HTTP/1.0 or HTTP/1.1.
var ErrVersion = errors.New("the only versions understood here are HTTP/1.0 and HTTP/1.1")

// ParseRequest reads a request's head from the beginning of p. It returns
// ErrMore when p ends before the head does; the first seen bytes of p are known
// from the last such call, so that a head that comes byte by byte costs no
// more than another.
func (h *Head) ParseRequest(p []byte, seen int) error {
	if !bytes.Contains(p[max(0, seen-3):], []byte("\r\n\r\n")) {
		return incomplete(p, seen)
	}
	h.reset()
	line, pos, err := line(p, 0, true)
	if err != nil {
		return err
	}
	if err := h.requestLine(line); err != nil {
		return err
	}
	if err := h.fields(p, pos, true); err != nil {
		return err
	}
	return h.checkRequest()
}

// incomplete returns ErrMore, unless what came last can't be mended by more.
func incomplete(p []byte, seen int) error {
	for i := max(seen-1, 0); i < len(p); i++ {
		if p[i] == '\n' && (i == 0 || p[i-1] != '\r') {
			return bad("a line of the request's head ends without a carriage return")
		}
	}
	return ErrMore
}

// ParseResponse reads an answer's head from the beginning of p, or returns
// ErrMore. Lines may end without a carriage return.
func (h *Head) ParseResponse(p []byte) error {
	h.reset()
	line, pos, err := line(p, 0, false)
	if err != nil {
		return err
	}
	if err := h.statusLine(line); err != nil {
		return err
	}
	return h.fields(p, pos, false)
}

func (h *Head) reset() {
	*h = Head{Fields: h.Fields[:0], hop: h.hop[:0], Length: -1}
}

// line returns the line of p that begins at pos, without its end, and where
// the next one begins.
func line(p []byte, pos int, strict bool) (line []byte, next int, err error) {
	n := bytes.IndexByte(p[pos:], '\n')
	if n < 0 {
		return nil, 0, ErrMore
	}
	line, next = p[pos:pos+n], pos+n+1
	if n > 0 && line[n-1] == '\r' {
		return line[:n-1], next, nil
	}
	if strict {
		return nil, 0, bad("a line of the request's head ends without a carriage return")
	}
	return line, next, nil
}

func (h *Head) requestLine(line []byte) error {
	a := bytes.IndexByte(line, ' ')
	z := bytes.LastIndexByte(line, ' ')
	if a <= 0 || z <= a+1 {
		return bad("the request line must be METHOD TARGET HTTP/1.1")
	}
	h.Method, h.Target = line[:a], line[a+1:z]
	if !isToken(h.Method) {
		return bad("the request's method has a character that no method has")
	}
	for _, c := range h.Target {
		if c <= ' ' || c == 0x7f {
			return bad("the request's target has a space or control character")
		}
	}
	return h.version(line[z+1:])
}

func (h *Head) version(v []byte) error {
	switch string(v) {
	case "HTTP/1.1":
		h.Minor = 1
	case "HTTP/1.0":
		h.Minor = 0
	default:
		if len(v) == 8 && string(v[:5]) == "HTTP/" && digit(v[5]) && v[6] == '.' && digit(v[7]) {
			return ErrVersion
		}
		return bad("the request line must end with HTTP/1.1 or HTTP/1.0")
	}
	return nil
}

// statusLine reads "HTTP/1.1 200 OK"; the reason may be missing.
func (h *Head) statusLine(line []byte) error {
	if len(line) < 12 || line[8] != ' ' || len(line) > 12 && line[12] != ' ' {
		return bad("the answer does not begin with a status line")
	}
	switch string(line[:8]) {
	case "HTTP/1.1":
		h.Minor = 1
	case "HTTP/1.0":
	default:
		return bad("the answer is not HTTP/1.1")
	}
	for _, c := range line[9:12] {
		if !digit(c) {
			return bad("the answer's status is no number")
		}
		h.Code = h.Code*10 + int(c-'0')
	}
	if h.Code < 100 {
		return bad("the answer's status is below 100")
	}
	if len(line) > 13 {
		h.Reason = line[13:]
	}
	if !isValue(h.Reason) {
		return bad("the answer's status line has a control character")
	}
	return nil
}

// checkRequest refuses what only makes sense to an attacker.
func (h *Head) checkRequest() error {
	switch {
	case h.Chunked && h.Length >= 0:
		return bad("the request has both Content-Length and Transfer-Encoding")
	case h.Chunked && h.Minor == 0:
		return bad("an HTTP/1.0 request has Transfer-Encoding")
	case h.Host == nil && h.Minor == 1:
		return bad("the request names no host: send a Host header")
	}
	for _, c := range h.Host {
		if !hostChars[c] {
			return bad("the header field Host has a character that no host name has")
		}
	}
	return nil
}

// HasBody reports whether a request has a body that is not empty.
func (h *Head) HasBody() bool { return h.Chunked || h.Length > 0 }
