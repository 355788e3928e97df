package cells

import (
	"fmt"
	"time"

	"golang.org/x/sys/unix"

	"lattice/app"
)

// When a crashed instance is started again.
const (
	quickRestarts = 3                // crashes that are followed by a restart at once
	firstPause    = 10 * time.Second // after the next one; it doubles from there
	longestPause  = 5 * time.Minute
	CrashReset    = 5 * time.Minute // an instance that ran this long starts counting anew
)

// pause returns how long to wait after the crash with this number, counted from 1.
func pause(crashes int) time.Duration {
	if crashes <= quickRestarts {
		return 0
	}
	d := firstPause
	for range crashes - quickRestarts - 1 {
		if d *= 2; d >= longestPause {
			return longestPause
		}
	}
	return d
}

// countCrash returns the number of a crash after an instance that was healthy
// for so long and had crashed that often before.
func countCrash(before int, healthy time.Duration) int {
	if healthy >= CrashReset {
		return 1
	}
	return before + 1
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

// When an instance is probed.
const (
	firstProbe   = 5 * time.Millisecond // after the start of its process; the pause between probes then doubles
	startProbe   = 250 * time.Millisecond
	liveProbe    = 5 * time.Second
	liveMisses   = 3  // probes in a row that fail until a healthy instance counts as crashed
	probesAtOnce = 64 // on one cell
)

// nextProbe returns the pause before the next probe of a starting instance.
func nextProbe(last time.Duration) time.Duration {
	if last == 0 {
		return firstProbe
	}
	return min(2*last, startProbe)
}

// checkPort returns the container port to probe.
func checkPort(c app.Check, l Lease) int {
	if c.Port != 0 {
		return c.Port
	}
	return l.Ports[0].Container
}
