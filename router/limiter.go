package router

import (
	"net/netip"
	"sync"
	"time"

	"lattice/app"
)

// maxClients is how many clients' requests a route counts. When there are more
// the one that has asked the least is forgotten, as far as a few samples tell.
const maxClients = 10_000

// A bucket has room for requests, which comes back as time goes by.
type bucket struct {
	used float64       // requests that are more than have been made up for, at at
	at   time.Duration // Router.born
}

// take takes room for one request, or returns how long there will be none.
func (b *bucket) take(now time.Duration, rate, burst float64) (wait time.Duration) {
	b.used = max(0, b.used-(now-b.at).Seconds()*rate)
	b.at = now
	if b.used+1 > burst {
		return time.Duration((b.used + 1 - burst) / rate * float64(time.Second))
	}
	b.used++
	return 0
}

// A limiter limits all requests of a route. With a rate of 0 it does not.
type limiter struct {
	rate, burst float64
	mu          *sync.Mutex // guards b
	b           *bucket
}

func newLimiter(rate string, burst int) limiter {
	perSecond, _ := app.ParseRate(rate)
	l := limiter{rate: perSecond, burst: float64(burst)}
	if burst == 0 {
		l.burst = max(1, perSecond)
	}
	if l.rate > 0 {
		l.mu, l.b = new(sync.Mutex), new(bucket)
	}
	return l
}

func (l *limiter) take(now time.Duration) (wait time.Duration) {
	if l.rate == 0 {
		return 0
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.take(now, l.rate, l.burst)
}

// A clientLimiter limits the requests of each client.
type clientLimiter struct {
	rate, burst float64
	mu          *sync.Mutex // guards by
	by          map[netip.Addr]*bucket
}

func newClientLimiter(rate string, burst int) clientLimiter {
	l := newLimiter(rate, burst)
	c := clientLimiter{rate: l.rate, burst: l.burst}
	if l.rate > 0 {
		c.mu, c.by = l.mu, make(map[netip.Addr]*bucket)
	}
	return c
}

func (l *clientLimiter) take(now time.Duration, client netip.Addr) (wait time.Duration) {
	if client.Is6() { // one customer has at least a /64
		if p, err := client.Prefix(64); err == nil {
			client = p.Addr()
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	b := l.by[client]
	if b == nil {
		if len(l.by) >= maxClients {
			l.forget(now)
		}
		b = &bucket{at: now}
		l.by[client] = b
	}
	return b.take(now, l.rate, l.burst)
}

// forget makes room for one more. mu must be held.
func (l *clientLimiter) forget(now time.Duration) {
	const samples = 16
	var least netip.Addr
	lowest, n := 0.0, 0
	for client, b := range l.by {
		used := b.used - (now-b.at).Seconds()*l.rate
		if used <= 0 {
			delete(l.by, client)
		} else if n == 0 || used < lowest {
			least, lowest = client, used
		}
		if n++; n == samples {
			break
		}
	}
	if len(l.by) >= maxClients {
		delete(l.by, least)
	}
}
