package cells

import (
	"errors"
	"fmt"
	"math"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"lattice/app"
)

// When an instance that ended is started again.
const (
	quickRestarts = 3                // crashes that are followed by a restart at once
	firstPause    = 10 * time.Second // after the next one; it doubles from there
	failedPause   = time.Second      // after the first start that failed, for a second try at once would fail as well; it doubles from there
	longestPause  = 5 * time.Minute
	CrashReset    = 5 * time.Minute // an instance that ran this long starts counting anew
)

// A tally counts how often an instance came to a bad end since it last ran for
// CrashReset.
type tally struct {
	Crashes int `json:"crashes"`
	Failed  int `json:"failed_starts,omitempty"` // those of Crashes that had no process: no image, no such command, a full disk
}

// next counts one more end, of a process that was healthy for so long, or of a
// start that had none.
func (t tally) next(ran bool, healthy time.Duration) tally {
	if healthy >= CrashReset {
		t = tally{}
	}
	t.Crashes++
	if !ran {
		t.Failed++
	}
	return t
}

// pause returns how long to wait after the last end that was counted. The two
// kinds don't add up: an app that crashes after its registry was away for long
// is still restarted at once.
func (t tally) pause(ran bool) time.Duration {
	switch n := t.Crashes - t.Failed; {
	case !ran:
		return doubled(failedPause, t.Failed-1)
	case n <= quickRestarts:
		return 0
	default:
		return doubled(firstPause, n-quickRestarts-1)
	}
}

// patient reports whether the next start is likely to fail as the last ones did,
// so that others go first.
func (t tally) patient() bool { return t.Failed > 0 || t.Crashes > quickRestarts }

// doubled doubles d that often, up to longestPause.
func doubled(d time.Duration, times int) time.Duration {
	for ; times > 0 && d < longestPause; times-- {
		d *= 2
	}
	return min(d, longestPause)
}

// still returns how much is left of a pause until at, a time of the wall clock
// that was written down by a former process. A clock that was set back since
// must not make it longer than any pause is.
func still(at, now time.Time) time.Duration {
	return min(max(0, at.Sub(now)), longestPause)
}

// ago returns how long before now at was; a time in the future, which only a
// clock that was set can make, is now.
func ago(at, now time.Time) time.Duration { return max(0, now.Sub(at)) }

// again says when the next start is.
func again(pause time.Duration) string {
	if pause <= 0 {
		return "starting again at once"
	}
	return fmt.Sprintf("next start in %s", pause.Round(time.Second))
}

// explain returns err in words that help whoever looks at the instance.
func explain(err error, cell string) string {
	if isFull(err) {
		return fmt.Sprintf("the disk of cell %s is full: free some space there, it is tried again: %v", cell, err)
	}
	return err.Error()
}

// causeOf returns what kind of thing err is. That a disk is full is no fault of
// the image.
func causeOf(err error) app.Cause {
	switch {
	case isFull(err):
		return ""
	case errors.Is(err, ErrImage):
		return app.CauseImage
	case errors.Is(err, ErrCommand):
		return app.CauseCommand
	}
	return ""
}

// isFull reports whether err is for want of disk space. What comes from runc and
// the shim is text only.
func isFull(err error) bool {
	return errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) || strings.Contains(err.Error(), syscall.ENOSPC.Error())
}

// reason says in words how a process ended.
func (e Exit) reason(memoryMB int) string {
	switch {
	case e.OOMKilled && memoryMB > 0:
		return fmt.Sprintf("ran out of memory: it may use %d MiB (exit code %d)", memoryMB, e.Code)
	case e.OOMKilled:
		return fmt.Sprintf("ran out of memory (exit code %d)", e.Code)
	case e.Code > 128 && unix.SignalName(unix.Signal(e.Code-128)) != "":
		return fmt.Sprintf("killed by %s (exit code %d)", unix.SignalName(unix.Signal(e.Code-128)), e.Code)
	}
	return fmt.Sprintf("exited with code %d", e.Code)
}

// How often an instance's files are counted, which takes a walk over all of
// them, and so the longer the more there are.
const (
	diskSoonest = 2 * time.Second  // where there is a limit
	diskLatest  = time.Minute      // where there is one
	diskUsual   = 30 * time.Second // where it is only for people to look at
	diskShare   = 1000             // the pause is this many times what the last walk took: a walk may not cost more than 0.1 % of the time
	diskWalk    = 10 * time.Second // longest walk
	diskAtOnce  = 2                // walks on one cell
	diskFirst   = time.Second      // after the start, so that there is a figure
)

// nextDisk returns the pause after a walk that took so long.
func nextDisk(took time.Duration, limited bool) time.Duration {
	least, most := diskSoonest, diskLatest
	if !limited {
		least, most = diskUsual, longestPause
	}
	return min(max(took*diskShare, least), most)
}

// tooMuch returns an error if an instance uses more disk than it may; limitMB
// 0 is no limit.
func tooMuch(used int64, limitMB int) error {
	const mib = 1 << 20
	if limitMB <= 0 || used <= int64(limitMB)*mib {
		return nil
	}
	return fmt.Errorf("used %d MiB of disk: it may use %d MiB", int64(math.Ceil(float64(used)/mib)), limitMB)
}

// How often the brain is told.
const (
	reportEvery = 10 * time.Second       // though nothing changed
	reportShare = 4                      // after a report the pause is this many times what it took, so that a storm of changes costs a fifth of the time at most
	longestMute = 500 * time.Millisecond // though a report takes long
)

// mute returns the pause after a report that took so long.
func mute(took time.Duration) time.Duration { return min(took*reportShare, longestMute) }
