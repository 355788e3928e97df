package scheduler

import (
	"strings"
	"time"
	_ "time/tzdata" // a host may have none

	"github.com/netresearch/go-cron"

	"lattice/app"
)

// maxMissed is how many times that were missed are counted.
const maxMissed = 1000

// A clock tells the times of a schedule.
type clock struct{ cron.Schedule }

// newClock reads a cron expression; zone is that of its times, empty being UTC.
// Errors are app.ErrInvalid. As with cron, a time must match the day of the month
// or that of the week where both are given.
func newClock(expr, zone string) (clock, error) {
	loc, err := time.LoadLocation(zone)
	if err != nil || zone == "Local" {
		return clock{}, app.Invalid("there is no time zone %.60q: write it as Europe/Berlin, or leave it out for UTC", zone)
	}
	if len(expr) > app.MaxCronBytes || strings.Contains(expr, "TZ=") {
		return clock{}, app.Invalid("the schedule %.60q is none: it has at most %d characters, and its time zone is given apart", expr, app.MaxCronBytes)
	}
	parser, err := cron.TryNewParser(cron.SecondOptional | cron.Minute | cron.Hour | cron.Dom | cron.Month | cron.Dow | cron.Descriptor | cron.DowOrDom)
	if err != nil {
		return clock{}, err
	}
	parsed, err := parser.Parse("CRON_TZ=" + loc.String() + " " + strings.TrimSpace(expr))
	if err != nil {
		return clock{}, app.Invalid("the schedule %.60q is none: write it as \"MINUTE HOUR DAY MONTH WEEKDAY\", such as \"30 4 * * *\", or as @hourly, @daily or @every 10m (%v)", expr, err)
	}
	return clock{parsed}, nil
}

// next returns the first time after t, in UTC; zero if there is none.
func (c clock) next(t time.Time) time.Time {
	next := c.Next(t)
	if next.IsZero() || !next.After(t) {
		return time.Time{}
	}
	return next.UTC()
}

// catchUp returns the last of the times from due on that has come by now, how
// many there were before it, at most maxMissed, and the first one still to come.
func (c clock) catchUp(due, now time.Time) (last time.Time, missed int, next time.Time) {
	last = due
	for missed = 0; missed < maxMissed; missed++ {
		if next = c.next(last); next.IsZero() || next.After(now) {
			return last, missed, next
		}
		last = next
	}
	return now, missed, c.next(now)
}
