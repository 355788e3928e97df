package scheduler

import (
	"errors"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

func instant(text string) time.Time {
	t, err := time.Parse(time.RFC3339, text)
	if err != nil {
		panic(err)
	}
	return t
}

func TestClock(t *testing.T) {
	for _, tt := range []struct{ expr, zone, after, want string }{
		{"30 4 * * *", "", "2026-01-01T00:00:00Z", "2026-01-01T04:30:00Z"},
		{"30 4 * * *", "Europe/Berlin", "2026-01-01T00:00:00Z", "2026-01-01T03:30:00Z"},
		{"30 4 * * *", "Europe/Berlin", "2026-07-01T00:00:00Z", "2026-07-01T02:30:00Z"},
		{"15 30 4 * * *", "", "2026-01-01T00:00:00Z", "2026-01-01T04:30:15Z"},
		{"@every 2s", "Asia/Tokyo", "2026-01-01T00:00:00Z", "2026-01-01T00:00:02Z"},
		{"@daily", "America/New_York", "2026-01-01T00:00:00Z", "2026-01-01T05:00:00Z"},
		{"0 0 13 * FRI", "", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"}, // the day of either, as with cron
		{"0 12 29 2 *", "", "2026-01-01T00:00:00Z", "2028-02-29T12:00:00Z"},
		{"30 2 * * *", "Europe/Berlin", "2026-03-28T12:00:00Z", "2026-03-29T01:30:00Z"}, // there is no 2:30 on that day, and it is not left out
		{"0 0 30 2 *", "", "2026-01-01T00:00:00Z", ""},
	} {
		c, err := newClock(tt.expr, tt.zone)
		if err != nil {
			t.Errorf("%s: %v", tt.expr, err)
			continue
		}
		got := c.next(instant(tt.after))
		if tt.want == "" && !got.IsZero() || tt.want != "" && !got.Equal(instant(tt.want)) {
			t.Errorf("%s in %q after %s: got %s, want %s", tt.expr, tt.zone, tt.after, got, tt.want)
		}
	}
}

func TestClockRefuses(t *testing.T) {
	for _, tt := range []struct{ expr, zone, says string }{
		{"", "", "is none"},
		{"every day", "", "is none"},
		{"60 * * * *", "", "is none"},
		{"* * * *", "", "is none"},
		{"@every 1ms", "", "is none"},
		{"@reboot", "", "is none"},
		{"TZ=Europe/Berlin * * * * *", "", "given apart"},
		{"* * * * *", "Mars/Olympus", "time zone"},
		{"* * * * *", "Local", "time zone"},
		{strings.Repeat("*", 300), "", "256 characters"},
	} {
		if _, err := newClock(tt.expr, tt.zone); !errors.Is(err, app.ErrInvalid) || !strings.Contains(err.Error(), tt.says) {
			t.Errorf("%q %q: got %v, want %q", tt.expr, tt.zone, err, tt.says)
		}
	}
}

func TestCatchUp(t *testing.T) {
	c, err := newClock("@hourly", "")
	if err != nil {
		t.Fatal(err)
	}
	due := instant("2026-01-01T01:00:00Z")
	for _, tt := range []struct {
		now, last string
		missed    int
		next      string
	}{
		{"2026-01-01T01:00:00Z", "2026-01-01T01:00:00Z", 0, "2026-01-01T02:00:00Z"},
		{"2026-01-01T01:59:59Z", "2026-01-01T01:00:00Z", 0, "2026-01-01T02:00:00Z"},
		{"2026-01-01T04:30:00Z", "2026-01-01T04:00:00Z", 3, "2026-01-01T05:00:00Z"},
		{"2027-01-01T00:30:00Z", "2027-01-01T00:30:00Z", maxMissed, "2027-01-01T01:00:00Z"},
	} {
		last, missed, next := c.catchUp(due, instant(tt.now))
		if !last.Equal(instant(tt.last)) || missed != tt.missed || !next.Equal(instant(tt.next)) {
			t.Errorf("at %s: got %s, %d, %s, want %+v", tt.now, last, missed, next, tt)
		}
	}
}

// FuzzClock gives it what no person would write.
func FuzzClock(f *testing.F) {
	for _, s := range []string{"* * * * *", "*/5 0-23 1,15 JAN-DEC SUN", "@every 1h30m", "@weekly", "0 0 L * ?", "1-0 * * * *", "* * * * * *", "@every -1s", "*/0 * * * *", "0 0 31 2 *"} {
		f.Add(s, "Europe/Berlin")
		f.Add(s, "")
	}
	f.Fuzz(func(t *testing.T, expr, zone string) {
		c, err := newClock(expr, zone)
		if err != nil {
			if !errors.Is(err, app.ErrInvalid) {
				t.Fatalf("%q: %v", expr, err)
			}
			return
		}
		now := instant("2026-03-29T00:59:59Z")
		next := c.next(now)
		if !next.IsZero() && !next.After(now) {
			t.Fatalf("%q: %s is not after %s", expr, next, now)
		}
		if last, _, after := c.catchUp(now, now.Add(time.Hour)); last.Before(now) || !after.IsZero() && !after.After(now.Add(time.Hour)) {
			t.Fatalf("%q: caught up to %s, next %s", expr, last, after)
		}
	})
}
