// Package doctor looks at a host or at what is known of a cluster and says what
// is not as it should be, and how to mend it. What it can't look at it says, too.
// It changes nothing: what it has to try out it tries where nobody sees it.
package doctor

import (
	"fmt"
	"time"

	"lattice/app"
)

// A HostConfig says what a host is, or shall be, used for.
type HostConfig struct {
	DataDir  string
	StateDir string
	Domain   string   // of apps; empty: this host has no router
	Listen   []Listen // what a brain or cell listens on
	PID      int      // of the lattice that runs with DataDir; 0: none does
}

// A Listen is an address that must be free, or lattice's own.
type Listen struct {
	What    string // "the API"
	Network string // tcp or udp
	Addr    string // HOST:PORT or :PORT
	Else    string // what is done when it is taken; empty: lattice does not start
}

func ok(check, format string, args ...any) app.Finding {
	return app.Finding{Check: check, State: app.FindingOK, Says: fmt.Sprintf(format, args...)}
}

func unknown(check, format string, args ...any) app.Finding {
	return app.Finding{Check: check, State: app.FindingUnknown, Says: fmt.Sprintf(format, args...)}
}

func warning(check, mend, format string, args ...any) app.Finding {
	return app.Finding{Check: check, State: app.FindingWarning, Says: fmt.Sprintf(format, args...), Mend: mend}
}

func broken(check, mend, format string, args ...any) app.Finding {
	return app.Finding{Check: check, State: app.FindingBroken, Says: fmt.Sprintf(format, args...), Mend: mend}
}

// Limits from which on a thing is worth a word.
const (
	lowDiskMB   = 2 << 10 // warning
	noDiskMB    = 200     // broken
	lowFiles    = 100_000 // inodes
	lowMemoryMB = 256
	skewed      = 5 * time.Second // of a clock: warning
	lostTime    = time.Minute     // broken: certificates may not be valid yet
	soon        = 14 * 24 * time.Hour
)

// Disk says whether there is room left on a disk. Negative numbers stand for
// what is not known.
func Disk(check, where string, freeMB, totalMB int, files int64) app.Finding {
	mend := "delete what nobody needs there, or give it a larger disk; 'ltc logs' and images are bounded, what apps write is not unless they have --disk-mb"
	switch {
	case freeMB < 0:
		return unknown(check, "%s: not known", where)
	case freeMB < noDiskMB:
		return broken(check, mend, "%s has %d of %d MiB left", where, freeMB, totalMB)
	case files >= 0 && files < 1000:
		return broken(check, mend, "%s can take only %d more files (inodes)", where, files)
	case freeMB < lowDiskMB:
		return warning(check, mend, "%s has only %d of %d MiB left", where, freeMB, totalMB)
	case files >= 0 && files < lowFiles:
		return warning(check, mend, "%s can take only %d more files (inodes)", where, files)
	}
	return ok(check, "%s has %d of %d MiB left", where, freeMB, totalMB)
}

// Clock says whether a clock is as far from ours as is bearable; ahead is
// negative for one that is behind.
func Clock(check, whose string, ahead time.Duration) app.Finding {
	const mend = "set the clock by NTP: apt install chrony, or timedatectl set-ntp true"
	text := fmt.Sprintf("%s goes as ours does, give or take %v", whose, ahead.Abs().Round(100*time.Millisecond))
	way := "ahead of"
	if ahead < 0 {
		way = "behind"
	}
	if ahead.Abs() >= skewed {
		text = fmt.Sprintf("%s is %v %s ours", whose, ahead.Abs().Round(time.Second), way)
	}
	switch {
	case ahead.Abs() >= lostTime:
		return broken(check, mend, "%s: certificates may count as expired or as not valid yet", text)
	case ahead.Abs() >= skewed:
		return warning(check, mend, "%s: times in logs and events don't fit together", text)
	}
	return ok(check, "%s", text)
}

// Certificate says whether a certificate lasts. ends is zero if that isn't
// known; what renews itself does so long before.
func Certificate(check string, ends, now time.Time, mend string) app.Finding {
	switch left := ends.Sub(now); {
	case ends.IsZero():
		return unknown(check, "when it ends is not known")
	case left <= 0:
		return broken(check, mend, "it ended on %s", ends.Format(time.DateTime))
	case left < soon:
		return warning(check, mend, "it ends on %s", ends.Format(time.DateTime))
	}
	return ok(check, "it is good until %s", ends.Format(time.DateOnly))
}
