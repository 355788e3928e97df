package source

import (
	"os"
	"strconv"
	"strings"
)

// OOMKills returns how many processes of this container were killed because its
// memory limit was reached.
func OOMKills() int64 {
	for _, file := range []string{"/sys/fs/cgroup/memory.events", "/sys/fs/cgroup/memory/memory.oom_control"} {
		b, err := os.ReadFile(file)
		if err != nil {
			continue
		}
		for line := range strings.Lines(string(b)) {
			if n, ok := strings.CutPrefix(strings.TrimSpace(line), "oom_kill "); ok {
				kills, _ := strconv.ParseInt(n, 10, 64) // the kernel writes numbers
				return kills
			}
		}
	}
	return 0
}
