package logs

// A cursor is how far the Hub has come with one GUID.
type cursor struct {
	guid string
	seq  uint64 // of the last line; 0: none
}

// cursors holds cursors up to a limit. It keeps two generations: when the
// young one is full it becomes the old one, and the old one is forgotten. What
// is used moves to the young one, so at least half the limit is of those used
// last.
type cursors struct {
	half       int
	young, old map[string]*cursor
}

func newCursors(limit int) cursors {
	return cursors{half: max(1, limit/2), young: map[string]*cursor{}}
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
	if len(c.young) >= c.half {
		c.young, c.old = make(map[string]*cursor), c.young
	}
	c.young[cur.guid] = cur
}
