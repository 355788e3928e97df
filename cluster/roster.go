package cluster

import (
	"cmp"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"lattice/app"
)

const (
	goneFor   = 24 * time.Hour // a gone node is remembered and, if it died, looked for
	maxGone   = 256
	maxPeers  = 32 // addresses to try when alone
	maxAsked  = 8  // of them given to Join
	maxClaims = 64
)

// A roster is the book of members. memberlist's callbacks write into it while
// they hold memberlist's lock, so nothing here calls memberlist.
type roster struct {
	self  string
	seeds []string // addresses remembered from before

	mu      sync.Mutex // guards what follows
	asked   []string   // addresses given to Join, as written
	here    map[string]Member
	gone    map[string]Member
	claims  map[string]string // name → another address at which a node of this name says it is
	changed chan struct{}
	wake    chan struct{} // of one; filled when Run's loops have something to do at once
	unsure  chan struct{} // of one; filled when a member became suspect
}

func newRoster(self string, seeds []string) *roster {
	return &roster{
		self: self, seeds: slices.Clone(seeds),
		here: map[string]Member{}, gone: map[string]Member{}, claims: map[string]string{},
		changed: make(chan struct{}), wake: make(chan struct{}, 1), unsure: make(chan struct{}, 1),
	}
}

// joined notes that m is there, be it new, back or changed.
func (r *roster) joined(m Member) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m.State, m.Since = app.CellAlive, time.Now()
	if old, ok := r.here[m.Name]; ok && old.State == app.CellAlive {
		m.Since = old.Since
	}
	r.here[m.Name] = m
	delete(r.gone, m.Name)
	if m.Name != r.self {
		delete(r.claims, m.Name)
	}
	r.tell()
}

// left notes that the named node isn't there any more.
func (r *roster) left(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.here[name]
	if !ok || name == r.self {
		return
	}
	delete(r.here, name)
	m.State, m.Since, m.Left = app.CellDead, time.Now(), m.Meta.leaving
	r.gone[name] = m
	if len(r.gone) > maxGone {
		delete(r.gone, slices.MinFunc(slices.Collect(maps.Values(r.gone)), bySince).Name)
	}
	poke(r.wake) // it may have come back elsewhere already
	r.tell()
}

// claim notes that the named node says it is at addr, while it is known at
// another address.
func (r *roster) claim(name, addr string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if len(r.claims) < maxClaims {
		r.claims[name] = addr
	}
}

// claimed returns and forgets the address at which another node of this node's
// name was seen, or "".
func (r *roster) claimed() string {
	r.mu.Lock()
	defer r.mu.Unlock()
	addr := r.claims[r.self]
	delete(r.claims, r.self)
	return addr
}

// suspect notes that a probe of the named node failed. Of a node that has been
// there, or has answered, for less than a probe takes, that says nothing: one that
// came back at once is probed still as what it was.
func (r *roster) suspect(name string) { r.setState(name, app.CellAlive, app.CellSuspect, probeEvery) }

// heard notes that the named node answered.
func (r *roster) heard(name string) { r.setState(name, app.CellSuspect, app.CellAlive, 0) }

// setState changes the state of a node that has been in another for long enough.
func (r *roster) setState(name string, from, to app.CellState, after time.Duration) {
	r.mu.Lock()
	defer r.mu.Unlock()
	m, ok := r.here[name]
	if !ok || m.State != from || name == r.self || time.Since(m.Since) < after {
		return
	}
	m.State, m.Since = to, time.Now()
	r.here[name] = m
	if to == app.CellSuspect {
		poke(r.unsure)
	}
	r.tell()
}

func (r *roster) ask(addrs []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, a := range addrs {
		if !slices.Contains(r.asked, a) && len(r.asked) < maxAsked {
			r.asked = append(r.asked, a)
		}
	}
}

func (r *roster) members() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.SortedFunc(maps.Values(r.here), byName)
}

func (r *roster) departed() []Member {
	r.mu.Lock()
	defer r.mu.Unlock()
	maps.DeleteFunc(r.gone, func(_ string, m Member) bool { return time.Since(m.Since) > goneFor })
	return slices.SortedFunc(maps.Values(r.gone), func(a, b Member) int { return bySince(b, a) })
}

// peers returns addresses to try when alone, the best first.
func (r *roster) peers() []string {
	var addrs []string
	for _, m := range slices.Concat(r.members(), r.departed()) {
		if m.Name != r.self {
			addrs = append(addrs, m.Address)
		}
	}
	r.mu.Lock()
	addrs = slices.Concat(r.asked, addrs, r.seeds)
	r.mu.Unlock()
	addrs = unique(addrs)
	return addrs[:min(len(addrs), maxPeers)]
}

// others returns the members without this node.
func (r *roster) others() []Member {
	return slices.DeleteFunc(r.members(), func(m Member) bool { return m.Name == r.self })
}

// lost returns the addresses of the nodes that died and may be back, and those
// at which a gone node says it is now; the latter only once.
func (r *roster) lost() (died, claimed []string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for name, m := range r.gone {
		if addr, ok := r.claims[name]; ok {
			claimed = append(claimed, addr)
			delete(r.claims, name)
		}
		if !m.Left && time.Since(m.Since) < goneFor {
			died = append(died, m.Address)
		}
	}
	return died, claimed
}

func (r *roster) changes() <-chan struct{} {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.changed
}

// tell is called with mu held.
func (r *roster) tell() {
	close(r.changed)
	r.changed = make(chan struct{})
}

func poke(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

func unique(s []string) []string {
	seen := map[string]bool{}
	return slices.DeleteFunc(s, func(v string) bool {
		dup := seen[v]
		seen[v] = true
		return dup
	})
}

func byName(a, b Member) int  { return strings.Compare(a.Name, b.Name) }
func bySince(a, b Member) int { return cmp.Or(a.Since.Compare(b.Since), byName(a, b)) }
