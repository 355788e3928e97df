package node

import (
	"os"
	"regexp"
	"strconv"
	"testing"
)

// What the start has read of the program is given back, and the program goes on.
func TestTrimProgram(t *testing.T) {
	mapped := func() int {
		t.Helper()
		status, err := os.ReadFile("/proc/self/status")
		if err != nil {
			t.Fatal(err)
		}
		kB, err := strconv.Atoi(regexp.MustCompile(`RssFile:\s+(\d+) kB`).FindStringSubmatch(string(status))[1])
		if err != nil {
			t.Fatal(err)
		}
		return kB
	}
	before := mapped()
	trimProgram()
	if after := mapped(); before-after < 1024 { // what can be written to stays
		t.Errorf("%d kB of files were in memory, %d are still", before, after)
	}
}
