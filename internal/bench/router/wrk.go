package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// A scenario is one way to put a proxy under load.
type scenario struct {
	conns  int
	path   string // /small is 100 bytes, /large is 64 KiB
	routes int
}

func scenarios(routes int, quick bool) []scenario {
	if quick {
		return []scenario{{32, "/small", routes}}
	}
	var all []scenario
	for _, path := range []string{"/small", "/large"} {
		for _, conns := range []int{1, 32, 256} {
			all = append(all, scenario{conns, path, routes})
		}
	}
	return all
}

// A sample is what one run of wrk showed.
type sample struct {
	rate     float64 // requests per second
	p50, p99 time.Duration
	cpu      float64 // microseconds per request that the proxy used
}

// race runs the scenario against each in turns, rounds times.
func race(all []*contender, s scenario, each time.Duration, rounds int) (map[string][]sample, error) {
	runs := make(map[string][]sample)
	for range rounds {
		for _, c := range all {
			got, err := c.measure(s, each)
			if err != nil {
				return nil, fmt.Errorf("%s with %d connections: %w", c.name, s.conns, err)
			}
			runs[c.name] = append(runs[c.name], got)
		}
	}
	return runs, nil
}

func (c *contender) measure(s scenario, each time.Duration) (sample, error) {
	if _, err := wrk(c.addr, s, time.Second); err != nil { // warm
		return sample{}, err
	}
	before, err := cpuTime(c.cmd.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	out, err := wrk(c.addr, s, each)
	if err != nil {
		return sample{}, err
	}
	after, err := cpuTime(c.cmd.Process.Pid)
	if err != nil {
		return sample{}, err
	}
	return parse(out, after-before)
}

// hosts makes wrk ask for many hosts, so that no cache of one helps.
const hosts = `
local made, n = {}, 0
function init(args)
  for i = 0, 999 do
    made[i] = wrk.format("GET", nil, {Host = "app-" .. (i * 97 %% %d) .. ".lab"})
  end
end
function request()
  n = (n + 1) %% 1000
  return made[n]
end
`

// wrk puts addr under load for d, in whole seconds, and returns what wrk prints.
func wrk(addr string, s scenario, d time.Duration) (string, error) {
	args := []string{"-t1", "-c" + strconv.Itoa(s.conns), "-d" + strconv.Itoa(max(1, int(d.Seconds()))) + "s", "--latency", "--timeout", "5s"}
	if s.routes > 1 {
		dir, err := os.MkdirTemp("", "lattice-wrk-")
		if err != nil {
			return "", err
		}
		defer os.RemoveAll(dir)
		script := filepath.Join(dir, "hosts.lua")
		if err := os.WriteFile(script, fmt.Appendf(nil, hosts, s.routes), 0o600); err != nil {
			return "", err
		}
		args = append(args, "-s", script)
	} else {
		args = append(args, "-H", "Host: app-0.lab")
	}
	out, err := exec.Command("wrk", append(args, "http://"+addr+s.path)...).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("wrk: %w: %s", err, out)
	}
	return string(out), nil
}

// parse reads what wrk printed. An answer that is no success fails the benchmark.
func parse(out string, cpu time.Duration) (sample, error) {
	if strings.Contains(out, "Non-2xx") || strings.Contains(out, "Socket errors") {
		return sample{}, fmt.Errorf("not every answer was good: %s", out)
	}
	var s sample
	var err error
	if s.rate, err = number(out, `Requests/sec:\s+([\d.]+)`); err != nil {
		return sample{}, err
	}
	total, err := number(out, `(\d+) requests in`)
	if err != nil {
		return sample{}, err
	}
	s.cpu = float64(cpu.Microseconds()) / total
	if s.p50, err = percentile(out, "50"); err != nil {
		return sample{}, err
	}
	s.p99, err = percentile(out, "99")
	return s, err
}

func number(out, pattern string) (float64, error) {
	m := regexp.MustCompile(pattern).FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("wrk printed nothing like %s: %s", pattern, out)
	}
	return strconv.ParseFloat(m[1], 64)
}

func percentile(out, p string) (time.Duration, error) {
	m := regexp.MustCompile(p + `%\s+([\d.]+[mu]?s)`).FindStringSubmatch(out)
	if m == nil {
		return 0, fmt.Errorf("wrk printed no %s%%: %s", p, out)
	}
	return time.ParseDuration(m[1])
}
