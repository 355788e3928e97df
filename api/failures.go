package api

import (
	"math"
	"strings"
	"sync"
	"time"
)

const (
	failBurst    = 10               // logins that may fail at once, from one address
	failNames    = 50               // or for one name, so that nobody is locked out easily
	failEvery    = 10 * time.Second // then one each
	maxFailures  = 10000            // that are remembered
	failLockName = "name "
)

// failures limits how fast somebody can guess. A try counts before its outcome
// is known, so that many at once get no further.
type failures struct {
	now func() time.Time

	mu  sync.Mutex // guards what follows
	all map[string]tries
}

// tries are what was tried from one address or for one name.
type tries struct {
	n  float64 // less one each failEvery
	at time.Time
}

// allow counts a try for each of the keys, or refuses it.
func (f *failures) allow(keys ...string) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	now := f.now()
	for _, k := range keys {
		if over := f.count(k, now) + 1 - burst(k); over > 0 {
			wait := time.Duration(math.Ceil(over*failEvery.Seconds())) * time.Second
			return sayf(errTooMany, "too many logins have failed: try again in %s", wait)
		}
	}
	f.tidy(now)
	for _, k := range keys {
		f.all[k] = tries{f.count(k, now) + 1, now}
	}
	return nil
}

func burst(key string) float64 {
	if strings.HasPrefix(key, failLockName) {
		return failNames
	}
	return failBurst
}

func (f *failures) count(key string, now time.Time) float64 {
	t := f.all[key]
	return max(0, t.n-now.Sub(t.at).Seconds()/failEvery.Seconds())
}

// forgive takes back the tries of one that was right.
func (f *failures) forgive(keys ...string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, k := range keys {
		t := f.all[k]
		t.n = max(0, t.n-1)
		f.all[k] = t
	}
}

// tidy forgets what doesn't count any more and, if there are too many, all.
func (f *failures) tidy(now time.Time) {
	if len(f.all) < maxFailures {
		return
	}
	for k := range f.all {
		if f.count(k, now) == 0 {
			delete(f.all, k)
		}
	}
	if len(f.all) >= maxFailures {
		clear(f.all)
	}
}
