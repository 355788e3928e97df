package wire

// Chunks finds the end of a chunked body. The zero value is at its beginning.
// It accepts nothing that another reader could see differently: every line
// ends with CR LF, sizes are plain hexadecimal digits, trailers have the form
// of header fields and none of them frames or routes a message.
type Chunks struct {
	state state
	left  int64 // bytes of data, while in it
	line  int   // bytes of extensions and of trailers so far
	name  [20]byte
	n     int // length of the size or the trailer's name so far
}

type state uint8

const (
	size state = iota // before a chunk's size
	sizeMore
	extension
	sizeLF
	data
	dataCR
	dataLF
	trailer // at the beginning of a trailer, or of the empty line
	trailerName
	trailerValue
	trailerLF
	endLF
	end
)

// maxLines limits what of a chunked body is not data, in bytes: all extensions
// and trailers together.
const maxLines = 64 << 10

// Done reports whether the body has ended.
func (c *Chunks) Done() bool { return c.state == end }

// Next takes bytes from the beginning of p and says how many. When data is
// true they are all data, otherwise all framing. It takes none when p is empty
// or the body has ended.
func (c *Chunks) Next(p []byte) (n int, isData bool, err error) {
	if c.state == data && len(p) > 0 {
		n = int(min(int64(len(p)), c.left))
		if c.left -= int64(n); c.left == 0 {
			c.state = dataCR
		}
		return n, true, nil
	}
	for n < len(p) && c.state != end && c.state != data {
		if err := c.step(p[n]); err != nil {
			return n, false, err
		}
		n++
	}
	return n, false, nil
}

// All takes bytes from the beginning of p up to the body's end or p's.
func (c *Chunks) All(p []byte) (n int, err error) {
	for n < len(p) && !c.Done() {
		k, _, err := c.Next(p[n:])
		if err != nil {
			return n, err
		}
		n += k
	}
	return n, nil
}

// step takes one byte of framing. It is one switch of thirteen short cases,
// and reads best in one piece.
func (c *Chunks) step(b byte) error {
	switch c.state {
	case size, sizeMore:
		return c.inSize(b)
	case extension:
		if b == '\r' {
			c.state = sizeLF
		} else if !valueChars[b] {
			return bad("a chunk's extension has a control character")
		}
		return c.limit()
	case sizeLF:
		if c.state = data; c.left == 0 {
			c.state = trailer
		}
		return expect(b, '\n')
	case dataCR:
		c.state = dataLF
		return expect(b, '\r')
	case dataLF:
		c.state, c.n = size, 0
		return expect(b, '\n')
	case trailer:
		if b == '\r' {
			c.state = endLF
			return nil
		}
		c.state, c.n = trailerName, 0
		return c.inName(b)
	case trailerName:
		return c.inName(b)
	case trailerValue:
		if b == '\r' {
			c.state = trailerLF
		} else if !valueChars[b] {
			return bad("a trailer has a control character")
		}
		return c.limit()
	case trailerLF:
		c.state = trailer
		return expect(b, '\n')
	case endLF:
		c.state = end
		return expect(b, '\n')
	}
	panic("wire: step called in data or after the end")
}

func (c *Chunks) inSize(b byte) error {
	digit := unhex(b)
	switch {
	case digit >= 0:
		if c.n++; c.n > 15 {
			return bad("a chunk's size is too large")
		}
		c.left = c.left<<4 | int64(digit)
		c.state = sizeMore
	case c.state == size:
		return bad("a chunk's size is no hexadecimal number")
	case b == '\r':
		c.state = sizeLF
	case b == ';':
		c.state = extension
	default:
		return bad("a chunk's size is no hexadecimal number")
	}
	return nil
}

func (c *Chunks) inName(b byte) error {
	if b != ':' {
		if !tokenChars[b] {
			return bad("a trailer's name has a character that no name has")
		}
		if c.n < len(c.name) {
			c.name[c.n] = b
		}
		c.n++
		return c.limit()
	}
	c.state = trailerValue
	if c.n == 0 {
		return bad("a trailer has no name")
	}
	if c.n > len(c.name) {
		return nil
	}
	switch identify(c.name[:c.n]) {
	case Other, Date, RequestID, RequestStart:
		return nil
	}
	return bad("a trailer has a name that only a header field may have")
}

func (c *Chunks) limit() error {
	if c.line++; c.line > maxLines {
		return bad("a chunked body has too much that is no data")
	}
	return nil
}

func expect(got, want byte) error {
	if got != want {
		return bad("a chunk does not end where its size says, or a line of the body not with CR LF")
	}
	return nil
}

func unhex(b byte) int {
	switch {
	case '0' <= b && b <= '9':
		return int(b - '0')
	case 'a' <= b && b <= 'f':
		return int(b-'a') + 10
	case 'A' <= b && b <= 'F':
		return int(b-'A') + 10
	}
	return -1
}
