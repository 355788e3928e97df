package containerd_test

import (
	"testing"
)

func child(string) int { return 0 }

func TestExitCode(t *testing.T) {
	r := open(t, config(t))
	start(t, r, "exit-3", nil, "exit", "3")
	if e := wait(t, r, "exit-3"); e.Code != 3 || e.OOMKilled || e.At.IsZero() {
		t.Errorf("got %+v, want code 3", e)
	}
}
