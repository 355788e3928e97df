package cells

import (
	"errors"
	"fmt"
	"io/fs"
	"strings"
	"syscall"
	"testing"
	"time"

	"lattice/app"
)

// TestPauses follows instances from one bad end to the next: c is a crash of a
// process that ran, C one after it was healthy for long, f a start that failed.
func TestPauses(t *testing.T) {
	for _, c := range []struct {
		name, ends, want string
	}{
		{"crashes", "ccccccccccc", "0s 0s 0s 10s 20s 40s 1m20s 2m40s 5m0s 5m0s 5m0s"},
		{"no image", "fffffffffff", "1s 2s 4s 8s 16s 32s 1m4s 2m8s 4m16s 5m0s 5m0s"},
		{"crashes after the registry was away", "ffffcccc", "1s 2s 4s 8s 0s 0s 0s 10s"},
		{"no image after crashes", "cccccff", "0s 0s 0s 10s 20s 1s 2s"},
		{"long life in between", "cccccCcccc", "0s 0s 0s 10s 20s 0s 0s 0s 10s 20s"},
		{"long life after failed starts", "fffCf", "1s 2s 4s 0s 1s"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var count tally
			var got []string
			for _, end := range c.ends {
				healthy := CrashReset - 1
				if end == 'C' {
					healthy = CrashReset
				}
				count = count.next(end != 'f', healthy)
				got = append(got, count.pause(end != 'f').String())
			}
			if s := strings.Join(got, " "); s != c.want {
				t.Errorf("got  %s\nwant %s", s, c.want)
			}
		})
	}
	for t1, want := range map[tally]bool{{}: false, {Crashes: 3}: false, {Crashes: 4}: true, {Crashes: 1, Failed: 1}: true} {
		if got := t1.patient(); got != want {
			t.Errorf("%+v: patient %v, want %v", t1, got, want)
		}
	}
	if got := (tally{Crashes: 1 << 30}).pause(true); got != longestPause {
		t.Errorf("after very many crashes: %v", got)
	}
}

// TestClockIsSet checks what is made of times that a former process wrote down,
// when the clock was set since.
func TestClockIsSet(t *testing.T) {
	now := time.Now()
	for _, c := range []struct {
		name        string
		at          time.Time
		wait, since time.Duration
	}{
		{"soon", now.Add(10 * time.Second), 10 * time.Second, 0},
		{"over", now.Add(-10 * time.Second), 0, 10 * time.Second},
		{"never", time.Time{}, 0, now.Sub(time.Time{})},
		{"the clock was set back by a day", now.Add(24 * time.Hour), longestPause, 0},
		{"the clock was set forward by a day", now.Add(-24 * time.Hour), 0, 24 * time.Hour},
	} {
		if got := still(c.at, now); got != c.wait {
			t.Errorf("%s: waits %v, want %v", c.name, got, c.wait)
		}
		if got := ago(c.at, now); got != c.since {
			t.Errorf("%s: was %v ago, want %v", c.name, got, c.since)
		}
	}
	agent := New(Config{ID: "c1"})
	for _, jump := range []time.Duration{0, -time.Hour, time.Hour} { // of the clock while the cell was away
		rec := record{RetryAt: now.Add(20*time.Second - jump), tally: tally{Crashes: 5}}
		in := newInstance(agent, rec)
		if wait := time.Until(in.retryAt); wait > longestPause || jump == 0 && (wait < 15*time.Second || wait > 20*time.Second) {
			t.Errorf("clock set by %v: the next start is in %v", jump, wait)
		}
		rec = record{GUID: "g", HealthyAt: now.Add(-time.Minute - jump)}
		in = newInstance(agent, rec)
		if in.healthyAt.After(time.Now()) || in.view.State != app.Running {
			t.Errorf("clock set by %v: healthy since %v, %s", jump, in.healthyAt, in.view.State)
		}
	}
}

func TestAgain(t *testing.T) {
	for d, want := range map[time.Duration]string{0: "starting again at once", time.Second: "next start in 1s", 5 * time.Minute: "next start in 5m0s"} {
		if got := again(d); got != want {
			t.Errorf("again(%v) = %q, want %q", d, got, want)
		}
	}
}

func TestExplain(t *testing.T) {
	for _, c := range []struct {
		err   error
		want  string
		cause app.Cause
	}{
		{errors.New("exited with code 1"), "exited with code 1", ""},
		{fmt.Errorf("%w x: no such image", ErrImage), "image x: no such image", app.CauseImage},
		{fmt.Errorf("%w: no such file", ErrCommand), "start command: no such file", app.CauseCommand},
		{errors.New("image processing failed"), "image processing failed", ""},
		{fmt.Errorf("save instance: %w", &fs.PathError{Op: "write", Path: "/x", Err: syscall.ENOSPC}),
			"the disk of cell c1 is full: free some space there, it is tried again: save instance: write /x: no space left on device", ""},
		{fmt.Errorf("%w x: %w", ErrImage, syscall.ENOSPC),
			"the disk of cell c1 is full: free some space there, it is tried again: image x: no space left on device", ""},
		{errors.New("runc: mkdir /x: no space left on device"),
			"the disk of cell c1 is full: free some space there, it is tried again: runc: mkdir /x: no space left on device", ""},
	} {
		if got := causeOf(c.err); got != c.cause {
			t.Errorf("%v is of cause %q, want %q", c.err, got, c.cause)
		}
		if got := explain(c.err, "c1"); got != c.want {
			t.Errorf("got  %s\nwant %s", got, c.want)
		}
	}
}

func TestTooMuch(t *testing.T) {
	for _, c := range []struct {
		used    int64
		limitMB int
		want    string
	}{
		{1 << 40, 0, "<nil>"},
		{128 << 20, 128, "<nil>"},
		{128<<20 + 1, 128, "used 129 MiB of disk: it may use 128 MiB"},
		{130 << 20, 128, "used 130 MiB of disk: it may use 128 MiB"},
	} {
		if got := fmt.Sprint(tooMuch(c.used, c.limitMB)); got != c.want {
			t.Errorf("tooMuch(%d, %d) = %s, want %s", c.used, c.limitMB, got, c.want)
		}
	}
}

func TestNextDisk(t *testing.T) {
	for _, c := range []struct {
		took    time.Duration
		limited bool
		want    time.Duration
	}{
		{0, true, 2 * time.Second}, {5 * time.Millisecond, true, 5 * time.Second}, {time.Second, true, time.Minute},
		{0, false, 30 * time.Second}, {100 * time.Millisecond, false, 100 * time.Second}, {time.Second, false, 5 * time.Minute},
	} {
		if got := nextDisk(c.took, c.limited); got != c.want {
			t.Errorf("nextDisk(%v, %v) = %v, want %v", c.took, c.limited, got, c.want)
		}
	}
}

func TestMute(t *testing.T) {
	for took, want := range map[time.Duration]time.Duration{time.Millisecond: 4 * time.Millisecond, time.Minute: longestMute} {
		if got := mute(took); got != want {
			t.Errorf("mute(%v) = %v, want %v", took, got, want)
		}
	}
}

func TestExitReason(t *testing.T) {
	for _, c := range []struct {
		exit Exit
		want string
	}{
		{Exit{Code: 0}, "exited with code 0"},
		{Exit{Code: 3}, "exited with code 3"},
		{Exit{Code: 137}, "killed by SIGKILL (exit code 137)"},
		{Exit{Code: 143}, "killed by SIGTERM (exit code 143)"},
		{Exit{Code: 255}, "exited with code 255"},
		{Exit{Code: 137, OOMKilled: true}, "ran out of memory: it may use 64 MiB (exit code 137)"},
	} {
		if got := c.exit.reason(64); got != c.want {
			t.Errorf("%+v: got %q, want %q", c.exit, got, c.want)
		}
	}
}
