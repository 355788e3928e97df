package router

import (
	"time"

	"lattice/app"
)

// Totals are an app's requests since the table has a route of it.
type Totals struct {
	Requests uint64
	Errors   uint64 // answered with 5xx
	buckets  [len(bounds) + 1]uint64
}

// TotalsOf returns the counts of all apps that a router has.
func TotalsOf(c app.RouterCounts) map[string]Totals {
	all := make(map[string]Totals, len(c.Apps))
	for name, t := range c.Apps {
		sum := Totals{Errors: t.Codes[5]}
		for _, n := range t.Codes {
			sum.Requests += n
		}
		copy(sum.buckets[:], t.Buckets)
		all[name] = sum
	}
	return all
}

// Plus returns the requests of both.
func (t Totals) Plus(o Totals) Totals {
	t.Requests += o.Requests
	t.Errors += o.Errors
	for i := range t.buckets {
		t.buckets[i] += o.buckets[i]
	}
	return t
}

// Since returns the requests after an earlier count; if that is of a time before
// the table last had no route, all.
func (t Totals) Since(before Totals) Totals {
	if t.Requests < before.Requests {
		return t
	}
	t.Requests -= before.Requests
	t.Errors -= min(t.Errors, before.Errors)
	for i := range t.buckets {
		t.buckets[i] -= min(t.buckets[i], before.buckets[i])
	}
	return t
}

// Quantile returns about how long a share q of the requests took at the most, as
// far as the buckets of the histogram tell; 0 if there were none.
func (t Totals) Quantile(q float64) time.Duration {
	var all uint64
	for _, n := range t.buckets {
		all += n
	}
	rank, below := q*float64(all), 0.0
	for i, n := range t.buckets {
		if n == 0 || below+float64(n) < rank {
			below += float64(n)
			continue
		}
		if i == len(bounds) {
			return bounds[i-1]
		}
		low := time.Duration(0)
		if i > 0 {
			low = bounds[i-1]
		}
		return low + time.Duration((rank-below)/float64(n)*float64(bounds[i]-low))
	}
	return 0
}
