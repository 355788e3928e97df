package router

import (
	"testing"
	"time"
)

// TestRest is about times that a test against real servers would have to wait for.
func TestRest(t *testing.T) {
	var u upstream
	check := func(at time.Duration, ready bool) {
		t.Helper()
		if got := u.ready(at); got != ready {
			t.Errorf("ready after %v: got %v, want %v", at, got, ready)
		}
	}
	fail := func(at time.Duration, ejected, told bool) {
		t.Helper()
		if e, tell := u.unreachable(at); e != ejected || tell != told {
			t.Errorf("failure after %v: ejected %v, told %v; want %v and %v", at, e, tell, ejected, told)
		}
	}
	check(0, true)
	now := time.Second
	fail(now, true, true)
	fail(now, false, false) // many at once count as one
	check(now+firstRest-1, false)
	now += firstRest
	check(now, true)
	u.probing(now)
	check(now, false) // one request at a time finds out
	for _, want := range []time.Duration{2 * firstRest, 4 * firstRest, 8 * firstRest, restFor, restFor} {
		fail(now, false, want == restFor) // the first after restFor is told again
		check(now+want-1, false)
		now += want
		check(now, true)
	}
	u.probing(now)
	u.reached()
	check(now, true)
	fail(now+restFor, true, true)
	check(now+restFor+firstRest, true) // it begins anew
}
