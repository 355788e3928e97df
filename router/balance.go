package router

import (
	"hash/fnv"
	"math"
	"slices"
	"strconv"
	"time"

	"lattice/app"
)

const (
	startShare = 0.1  // of the others' share, with which a fresh instance begins
	headroom   = 1.25 // times the mean, of what an instance may have before a hash goes past it
)

// A choice is an instance as a route's policy sees it. One that is not open
// may not have the request.
type choice struct {
	open  bool
	load  int64   // requests that it has
	share float64 // of a full instance's, more than 0, at most 1
}

// share returns what a fresh instance gets after that age.
func share(age, slowStart time.Duration) float64 {
	if slowStart <= 0 || age >= slowStart {
		return 1
	}
	return startShare + (1-startShare)*max(0, age.Seconds()/slowStart.Seconds())
}

// roundRobin returns whose turn it is: one after the other when all have the
// same share, else by golden ratio, which spreads turns as evenly as can be.
// Like all such functions it returns -1 when none is open.
func roundRobin(all []choice, turn uint64) int {
	total, even, open := 0.0, true, 0
	for _, c := range all {
		if c.open {
			open++
			total += c.share
			even = even && c.share == 1
		}
	}
	if open == 0 {
		return -1
	}
	at := math.Mod(float64(turn%(1<<40))*(math.Phi-1), 1) * total
	if even {
		at = float64(turn % uint64(open))
	}
	last := -1
	for i, c := range all {
		if !c.open {
			continue
		}
		last = i
		if at < c.share {
			break
		}
		at -= c.share
	}
	return last
}

// leastConnections returns the one with the fewest requests for its share; of
// equal ones, whose turn it is.
func leastConnections(all []choice, turn uint64) int {
	best := math.Inf(1)
	least := slices.Clone(all)
	for _, c := range all {
		if c.open {
			best = min(best, c.busy())
		}
	}
	for i, c := range all {
		least[i].open, least[i].share = c.open && c.busy() == best, 1
	}
	return roundRobin(least, turn)
}

// busy returns how much of its share an instance has with one request more.
func (c choice) busy() float64 { return float64(c.load+1) / c.share }

// boundedHash returns the first of order, which are indexes, that is open and
// has not much more than its share; if all have, the first that is open.
func boundedHash(all []choice, order []int) int {
	var load int64
	shares := 0.0
	for _, c := range all {
		if c.open {
			load += c.load
			shares += c.share
		}
	}
	first := -1
	for _, i := range order {
		c := all[i]
		if !c.open {
			continue
		}
		if float64(c.load) < math.Ceil(headroom*float64(load+1)*c.share/shares) {
			return i
		}
		if first < 0 {
			first = i
		}
	}
	return first
}

// rendezvous returns the order in which instances are tried for a key. It is
// the same in all routers, and changes little when instances come and go.
func rendezvous(key string, pool []*Backend) []int {
	score := make([]uint64, len(pool))
	order := make([]int, len(pool))
	for i, b := range pool {
		h := fnv.New64a()
		h.Write([]byte(key + "\x00" + b.App + "\x00" + strconv.Itoa(b.Index)))
		score[i], order[i] = mix(h.Sum64()), i
	}
	slices.SortFunc(order, func(a, b int) int {
		if score[a] > score[b] {
			return -1
		}
		return 1
	})
	return order
}

// mix spreads what FNV leaves alike for texts that end alike.
func mix(h uint64) uint64 {
	h = (h ^ h>>33) * 0xff51afd7ed558ccd
	h = (h ^ h>>33) * 0xc4ceb9fe1a85ec53
	return h ^ h>>33
}

// byPolicy is choose for a route with options.
func (x *exchange) byPolicy(now time.Duration) int {
	for _, desperate := range []bool{false, true} {
		all := make([]choice, len(x.ups))
		for i, up := range x.ups {
			all[i] = choice{x.may(up, now, desperate), up.inFlight.Load(), share(now-up.born, x.policy.slowStart)}
		}
		if i := x.stuck(); i >= 0 && all[i].open {
			return i
		}
		if i := x.balance(all); i >= 0 {
			return i
		}
	}
	return -1
}

func (x *exchange) balance(all []choice) int {
	switch {
	case x.policy.balance == app.LeastConnections:
		return leastConnections(all, x.turn)
	case x.policy.balance == app.HashBalance && x.key != "":
		return boundedHash(all, rendezvous(x.key, x.pool))
	}
	return roundRobin(all, x.turn)
}

// stuck returns which of pool the client's cookie names; -1 for none.
func (x *exchange) stuck() int {
	if x.stick == "" {
		return -1
	}
	return slices.IndexFunc(x.pool, func(b *Backend) bool { return stickiness(b) == x.stick })
}

// stickiness is what a sticky cookie has for an instance. It tells nothing
// about it.
func stickiness(b *Backend) string {
	h := fnv.New64a()
	h.Write([]byte(b.App + "\x00" + b.Instance))
	return strconv.FormatUint(mix(h.Sum64()), 36)
}

// read takes from the request what the policy chooses an instance by.
func (x *exchange) read(c caller) {
	p := x.policy
	if p.sticky != "" {
		x.stick = cookie(c, p.sticky)
	}
	switch p.key {
	case byHeader:
		x.key = first(c, p.keyName)
	case byCookie:
		x.key = cookie(c, p.keyName)
	case byClient:
		x.key = c.client().String()
	}
	x.https = c.secure()
}

// setCookie returns the header field that keeps the client at the exchange's
// instance; "" when it has that already or the route is not sticky.
func (x *exchange) setCookie() string {
	if x.policy == nil || x.policy.sticky == "" {
		return ""
	}
	want := stickiness(x.backend)
	if want == x.stick {
		return ""
	}
	text := x.policy.sticky + "=" + want + "; Path=/; HttpOnly; SameSite=Lax"
	if x.https {
		text += "; Secure"
	}
	return text
}
