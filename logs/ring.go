package logs

import (
	"lattice/app"
)

// lineOverhead is what a line takes besides its text, in bytes, about.
const lineOverhead = 192

func cost(l app.LogLine) int64 { return int64(len(l.Text)) + lineOverhead }

// A ring has the newest lines of one app. Each line has a position, which
// counts from the first line the ring ever had.
type ring struct {
	app   string
	most  int // lines
	buf   []app.LogLine
	head  int    // index in buf of the oldest line
	n     int    // lines kept
	start uint64 // position of the oldest line
	bytes int64

	forgotten uint64 // lines before this position are not missed by anybody

	followers int
	changed   chan struct{} // closed at the next change; nil: nobody waits
	dirty     bool          // has changed, and those who wait were not told yet
}

// end returns the position of the next line to come.
func (r *ring) end() uint64 { return r.start + uint64(r.n) }

// last returns the position from where on there are n lines; n < 0: all.
func (r *ring) last(n int) uint64 {
	if n < 0 || n > r.n {
		n = r.n
	}
	return r.end() - uint64(n)
}

// push adds a line, for which there must be room.
func (r *ring) push(l app.LogLine) {
	if r.n == len(r.buf) {
		r.resize(min(max(16, 2*r.n), r.most))
	}
	r.buf[(r.head+r.n)%len(r.buf)] = l
	r.n++
	r.bytes += cost(l)
}

// drop drops the oldest line and returns what it took.
func (r *ring) drop() int64 {
	size := cost(r.buf[r.head])
	r.buf[r.head] = app.LogLine{} // let go of its text
	r.head = (r.head + 1) % len(r.buf)
	r.n--
	r.start++
	r.bytes -= size
	return size
}

// clear drops all lines and returns what they took.
func (r *ring) clear() int64 {
	size := r.bytes
	r.start, r.head, r.n, r.bytes, r.buf = r.end(), 0, 0, 0, nil
	r.forgotten = r.start
	return size
}

// read appends to dst at most n lines from position pos on, which must not be
// before start.
func (r *ring) read(dst []app.LogLine, pos uint64, n int) []app.LogLine {
	from := int(pos - r.start)
	for i := from; i < min(from+n, r.n); i++ {
		dst = append(dst, r.buf[(r.head+i)%len(r.buf)])
	}
	return dst
}

func (r *ring) resize(size int) {
	r.buf = append(make([]app.LogLine, 0, size), r.read(nil, r.start, r.n)...)[:size]
	r.head = 0
}

// ring returns the ring of an app and makes it if need be.
func (h *Hub) ring(name string) *ring {
	r, ok := h.rings[name]
	if !ok {
		r = &ring{app: name, most: h.limits.Lines}
		h.rings[name] = r
	}
	return r
}

// release lets go of a ring that nobody needs any more.
func (h *Hub) release(r *ring) {
	if r.n == 0 && r.followers == 0 {
		delete(h.rings, r.app)
	}
}

// push adds a line and drops the oldest of its ring to make room.
func (h *Hub) push(r *ring, l app.LogLine) {
	size := cost(l)
	for r.n > 0 && (r.n == r.most || r.bytes+size > h.limits.Bytes) {
		h.bytes -= r.drop()
	}
	r.push(l)
	h.bytes += size
	if l.IsLoss() {
		h.lost++
	}
	if !r.dirty && r.changed != nil {
		r.dirty = true
		h.dirty = append(h.dirty, r)
	}
}

// shrink drops lines of the largest rings until all fit. It makes some room on
// top, so that it has not to search for the largest with each line.
func (h *Hub) shrink() {
	goal := h.limits.TotalBytes - h.limits.TotalBytes/64
	for h.bytes > goal {
		var largest *ring
		for _, r := range h.rings {
			if largest == nil || r.bytes > largest.bytes {
				largest = r
			}
		}
		for half := largest.bytes / 2; h.bytes > goal && largest.bytes > half; {
			h.bytes -= largest.drop()
		}
		h.release(largest)
	}
}

// wake tells those who wait for lines.
func (h *Hub) wake() {
	for i, r := range h.dirty {
		close(r.changed)
		r.changed, r.dirty = nil, false
		h.dirty[i] = nil
	}
	h.dirty = h.dirty[:0]
}
