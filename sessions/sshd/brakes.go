package sshd

import (
	"net"
	"net/netip"
	"sync"
	"time"
)

const (
	freeTries   = 5 // failed logins before there are waits
	longestWait = 5 * time.Minute
	forgetAfter = 15 * time.Minute
	maxTried    = 10_000 // addresses remembered
)

// brakes make who fails to log in wait, longer each time.
type brakes struct {
	mu  sync.Mutex // guards what follows
	all map[netip.Prefix]tried
}

type tried struct {
	failed int
	last   time.Time
}

// wait is how long such a one has to wait after the last failure.
func (t tried) wait() time.Duration {
	if t.failed < freeTries {
		return 0
	}
	return min(time.Second<<min(t.failed-freeTries, 20), longestWait)
}

// left returns how long addr has to wait still.
func (b *brakes) left(addr net.Addr, now time.Time) time.Duration {
	b.mu.Lock()
	defer b.mu.Unlock()
	t, ok := b.all[origin(addr)]
	if !ok {
		return 0
	}
	return max(0, t.last.Add(t.wait()).Sub(now))
}

// failed counts a failure.
func (b *brakes) failed(addr net.Addr, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.all == nil {
		b.all = map[netip.Prefix]tried{}
	}
	if len(b.all) >= maxTried {
		b.tidy(now)
	}
	from := origin(addr)
	b.all[from] = tried{b.all[from].failed + 1, now}
}

// tidy forgets the old or, if there are too many new ones, any.
func (b *brakes) tidy(now time.Time) {
	for from, t := range b.all {
		if now.Sub(t.last) > forgetAfter {
			delete(b.all, from)
		}
	}
	for from := range b.all {
		if len(b.all) < maxTried {
			return
		}
		delete(b.all, from)
	}
}

// forgive forgets the failures of addr.
func (b *brakes) forgive(addr net.Addr) {
	b.mu.Lock()
	defer b.mu.Unlock()
	delete(b.all, origin(addr))
}

// origin is what failures are counted by: an IPv4 address, or the /64 that one
// machine may have all of.
func origin(addr net.Addr) netip.Prefix {
	ap, err := netip.ParseAddrPort(addr.String())
	if err != nil {
		return netip.Prefix{}
	}
	ip, bits := ap.Addr().Unmap().WithZone(""), 32
	if ip.Is6() {
		bits = 64
	}
	p, _ := ip.Prefix(bits) // the numbers are right
	return p
}
