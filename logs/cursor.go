package logs

import "time"

// A cursor is how far the Hub has come with one GUID.
type cursor struct {
	guid string
	seq  uint64 // of the last line; 0: none
}

// generation is how long a cursor is kept at least though nobody uses it, but
// for the limit: as long as a cell may be away that has the log on disk. Cells
// that are not away ask for all their logs all the time.
const generation = 24 * time.Hour

// cursors holds cursors up to a limit. It keeps two generations: when the
// young one is full or old it becomes the old one, and the old one is
// forgotten. What is used moves to the young one, so at least half the limit
// is of those used last.
type cursors struct {
	half       int
	young, old map[string]*cursor
	born       time.Time // when the young one began
}

func newCursors(limit int) cursors {
	return cursors{half: max(1, limit/2), young: map[string]*cursor{}, born: time.Now()}
}

// find returns the cursor of a GUID, nil if there is none.
func (c *cursors) find(guid string) *cursor {
	if cur, ok := c.young[guid]; ok {
		return cur
	}
	cur, ok := c.old[guid]
	if ok {
		delete(c.old, guid)
		c.put(cur)
	}
	return cur
}

// get returns the cursor of a GUID and makes it if need be.
func (c *cursors) get(guid string) *cursor {
	cur := c.find(guid)
	if cur == nil {
		cur = &cursor{guid: guid}
		c.put(cur)
	}
	return cur
}

func (c *cursors) put(cur *cursor) {
	if len(c.young) >= c.half || time.Since(c.born) > generation {
		c.young, c.old, c.born = make(map[string]*cursor), c.young, time.Now()
	}
	c.young[cur.guid] = cur
}
