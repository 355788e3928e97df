package cells

import (
	"testing"
	"time"
)

func TestPause(t *testing.T) {
	for _, c := range []struct {
		crashes int
		want    time.Duration
	}{
		{1, 0}, {2, 0}, {3, 0}, {4, 10 * time.Second}, {5, 20 * time.Second}, {6, 40 * time.Second},
		{8, 160 * time.Second}, {9, 5 * time.Minute}, {10, 5 * time.Minute}, {1 << 30, 5 * time.Minute},
	} {
		if got := pause(c.crashes); got != c.want {
			t.Errorf("pause(%d) = %v, want %v", c.crashes, got, c.want)
		}
	}
}

func TestCountCrash(t *testing.T) {
	for _, c := range []struct {
		before  int
		healthy time.Duration
		want    int
	}{
		{0, 0, 1}, {2, time.Minute, 3}, {7, CrashReset, 1}, {7, CrashReset - 1, 8},
	} {
		if got := countCrash(c.before, c.healthy); got != c.want {
			t.Errorf("countCrash(%d, %v) = %d, want %d", c.before, c.healthy, got, c.want)
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

func TestNextProbe(t *testing.T) {
	var got []time.Duration
	for d := nextProbe(0); len(got) < 9; d = nextProbe(d) {
		got = append(got, d)
	}
	if got[0] != firstProbe || got[1] != 2*firstProbe || got[8] != startProbe {
		t.Errorf("pauses between probes: %v, want %v doubling to %v", got, firstProbe, startProbe)
	}
}
