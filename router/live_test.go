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
	check(0, true)
	if !u.unreachable(time.Second) {
		t.Error("the first failure is not told")
	}
	check(2*time.Second, false)
	if u.unreachable(2 * time.Second) {
		t.Error("a failure during the rest is told again")
	}
	back := 2*time.Second + restFor
	check(back, true)
	u.probing(back)
	check(back, false) // one request at a time finds out
	if !u.unreachable(back + time.Second) {
		t.Error("a failure after the rest is not told")
	}
	check(back+time.Second+restFor, true)
	u.probing(back + time.Second + restFor)
	u.reached()
	check(back+time.Second+restFor, true)
}
