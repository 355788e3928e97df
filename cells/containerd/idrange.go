package containerd

import (
	"errors"
	"hash/fnv"
	"sync"
)

// Host user IDs for containers: a part of the ID space that neither useradd,
// /etc/subuid nor systemd hands out, cut into ranges of the usual size.
const (
	firstID   = 0x70000000
	rangeSize = 1 << 16
	maxRanges = (0x7ffe0000 - firstID) / rangeSize
)

var (
	errNoRange = errors.New("no user IDs are left: too many apps on this cell")
	errTaken   = errors.New("there is a container of this name")
)

// idRanges gives every app a range of host user IDs of its own as long as one
// of its containers exists.
type idRanges struct {
	mu         sync.Mutex // guards what follows
	next       uint32     // where the search for a free range begins
	apps       map[string]*idRange
	used       map[uint32]bool   // by base
	containers map[string]string // GUID to app
}

type idRange struct {
	base       uint32
	containers int
}

// newIDRanges starts the search at a place that depends on id, so that two
// installations on one host rarely pick the same ranges.
func newIDRanges(id string) *idRanges {
	h := fnv.New32a()
	h.Write([]byte(id))
	return &idRanges{
		next:       h.Sum32() % maxRanges,
		apps:       map[string]*idRange{},
		used:       map[uint32]bool{},
		containers: map[string]string{},
	}
}

// take returns the first host ID of app's range for the container guid.
func (r *idRanges) take(app, guid string) (uint32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.containers[guid]; ok {
		return 0, errTaken
	}
	if a := r.apps[app]; a != nil {
		r.count(app, guid, a.base)
		return a.base, nil
	}
	if len(r.used) == maxRanges {
		return 0, errNoRange
	}
	for r.used[firstID+r.next*rangeSize] {
		r.next = (r.next + 1) % maxRanges
	}
	base := firstID + r.next*rangeSize
	r.next = (r.next + 1) % maxRanges // one that becomes free is not taken again at once
	r.count(app, guid, base)
	return base, nil
}

// takeAt is take with a base that is not among those it hands out.
func (r *idRanges) takeAt(app, guid string, base uint32) (uint32, error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if _, ok := r.containers[guid]; ok {
		return 0, errTaken
	}
	r.count(app, guid, base)
	return base, nil
}

// keep counts a container that was found again with its base.
func (r *idRanges) keep(app, guid string, base uint32) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.count(app, guid, base)
}

func (r *idRanges) count(app, guid string, base uint32) {
	a := r.apps[app]
	if a == nil {
		a = &idRange{base: base}
		r.apps[app], r.used[base] = a, true
	}
	a.containers++
	r.containers[guid] = app
}

// release forgets the container and, with an app's last one, its range. When
// no container at all is left it calls empty; none is taken meanwhile.
func (r *idRanges) release(guid string, empty func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	app, ok := r.containers[guid]
	if ok {
		delete(r.containers, guid)
		a := r.apps[app]
		if a.containers--; a.containers == 0 {
			delete(r.apps, app)
			delete(r.used, a.base)
		}
	}
	if len(r.containers) == 0 {
		empty()
	}
}
