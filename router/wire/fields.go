package wire

import "bytes"

// fields reads header fields from pos up to the empty line.
func (h *Head) fields(p []byte, pos int, strict bool) error {
	for {
		l, next, err := line(p, pos, strict)
		if err != nil {
			return err
		}
		pos = next
		if len(l) == 0 {
			h.Len = pos
			return nil
		}
		f, err := parseField(l)
		if err != nil {
			return err
		}
		h.Fields = append(h.Fields, f)
		if f.ID != Other {
			if err := h.note(f, strict); err != nil {
				return err
			}
		}
	}
}

func parseField(l []byte) (Field, error) {
	if l[0] == ' ' || l[0] == '\t' {
		return Field{}, bad("a header field goes on in a second line; that has long been forbidden")
	}
	colon := bytes.IndexByte(l, ':')
	if colon <= 0 || !isToken(l[:colon]) {
		return Field{}, bad("a header field's name is missing, or has a space or another character that no name has")
	}
	value := trim(l[colon+1:])
	if !isValue(value) {
		return Field{}, bad("a header field's value has a control character")
	}
	name := l[:colon]
	return Field{name, value, identify(name)}, nil
}

// note takes up what a field says about the message itself.
func (h *Head) note(f Field, strict bool) error {
	switch f.ID {
	case ContentLength:
		return h.contentLength(f.Value, strict)
	case TransferEncoding:
		if h.Chunked {
			return bad("Transfer-Encoding is there twice")
		}
		if !equalFold(f.Value, "chunked") {
			return ErrCoding
		}
		h.Chunked = true
	case Host:
		if h.Host != nil {
			return bad("the header field Host is there twice")
		}
		h.Host = f.Value
	case Connection:
		h.connection(f.Value)
	}
	return nil
}

// contentLength refuses a second field even when it says the same, but not in
// answers.
func (h *Head) contentLength(v []byte, strict bool) error {
	if len(v) == 0 || len(v) > 18 {
		return bad("Content-Length is no possible length")
	}
	var n int64
	for _, c := range v {
		if !digit(c) {
			return bad("Content-Length is no number")
		}
		n = n*10 + int64(c-'0')
	}
	if h.Length >= 0 && (strict || h.Length != n) {
		return bad("Content-Length is there twice")
	}
	h.Length = n
	return nil
}

func (h *Head) connection(v []byte) {
	for len(v) > 0 {
		var token []byte
		if i := bytes.IndexByte(v, ','); i >= 0 {
			token, v = trim(v[:i]), v[i+1:]
		} else {
			token, v = trim(v), nil
		}
		switch {
		case equalFold(token, "close"):
			h.Close = true
		case equalFold(token, "keep-alive"):
			h.KeepAlive = true
		case equalFold(token, "upgrade"):
			h.Upgrade = true
		case len(token) > 0:
			h.hop = append(h.hop, token)
		}
	}
}

// Hop reports whether Connection names the field as one that is not to be
// passed on. Fields that this package knows have rules of their own.
func (h *Head) Hop(f *Field) bool {
	for _, name := range h.hop {
		if f.ID == Other && bytes.EqualFold(name, f.Name) {
			return true
		}
	}
	return false
}

// Get returns the first field with this ID, or nil.
func (h *Head) Get(id ID) *Field {
	for i := range h.Fields {
		if h.Fields[i].ID == id {
			return &h.Fields[i]
		}
	}
	return nil
}
