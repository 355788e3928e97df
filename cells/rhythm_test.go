package cells

import (
	"strings"
	"testing"
	"time"

	"lattice/app"
)

func TestRampUp(t *testing.T) {
	var got []time.Duration
	for d := rampUp(0, app.StartupInterval); len(got) < 9; d = rampUp(d, app.StartupInterval) {
		got = append(got, d)
	}
	if got[0] != firstProbe || got[1] != 2*firstProbe || got[8] != app.StartupInterval {
		t.Errorf("pauses between probes: %v, want %v doubling to %v", got, firstProbe, app.StartupInterval)
	}
	if d := rampUp(0, time.Millisecond); d != time.Millisecond {
		t.Errorf("first pause of a check made every ms: %v", d)
	}
}

func TestWhatAChecksSilenceMeans(t *testing.T) {
	own := app.Check{Interval: app.Duration(time.Minute), Failures: 1}
	for _, c := range []struct {
		name string
		app  app.App
		want time.Duration
	}{
		{"usual", app.App{}, app.StartupInterval},
		{"the interval of the check is for later", app.App{Check: own}, app.StartupInterval},
		{"a startup check", app.App{Check: own, Startup: &app.Check{}}, app.StartupInterval},
		{"a startup check with an interval", app.App{Startup: &own}, time.Minute},
	} {
		if _, got := startupCheck(c.app); got != c.want {
			t.Errorf("%s: probed every %v, want %v", c.name, got, c.want)
		}
	}
	if d := interval(own, app.CheckInterval); d != time.Minute {
		t.Errorf("own interval: %v", d)
	}
	if a, b := misses(app.Check{}), misses(own); a != app.CheckFailures || b != 1 {
		t.Errorf("misses: %d and %d", a, b)
	}
}

// TestStanding follows a check from one probe to the next: + is a hit, - a
// miss; what changes is told as B for bad and G for good.
func TestStanding(t *testing.T) {
	for _, c := range []struct {
		good         bool
		limit        int
		probes, want string
	}{
		{true, 3, "--+--+---", "........B"},
		{true, 3, "-----+-", "..B..G."},
		{true, 1, "-+-", "BGB"},
		{false, 3, "----+--", "....G.."},
		{false, 3, "+---+", "G..BG"},
	} {
		s := standing{good: c.good, limit: c.limit}
		var got strings.Builder
		for _, p := range c.probes {
			switch changed := s.note(p == '+'); {
			case changed && s.good:
				got.WriteByte('G')
			case changed:
				got.WriteByte('B')
			default:
				got.WriteByte('.')
			}
		}
		if got.String() != c.want {
			t.Errorf("%s: got %s, want %s", c.probes, &got, c.want)
		}
	}
}

func TestPausesDiffer(t *testing.T) {
	const every = 5 * time.Second
	seen := map[time.Duration]bool{}
	for range 1000 {
		d := spread(every)
		if d < every*9/10 || d > every*11/10 {
			t.Fatalf("%v is far from %v", d, every)
		}
		seen[d] = true
		if d := anywhere(every); d < 0 || d >= every {
			t.Fatalf("%v is not in the first %v", d, every)
		}
	}
	if len(seen) < 900 {
		t.Errorf("only %d of 1000 pauses differ", len(seen))
	}
}
