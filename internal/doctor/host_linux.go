package doctor

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"

	"lattice/app"
)

// Host looks at this host.
func Host(ctx context.Context, cfg HostConfig) []app.Finding {
	fs := []app.Finding{lattice(cfg), user(), kernel()}
	fs = append(fs, cgroups()...)
	fs = append(fs, overlay(cfg.DataDir), userNamespaces(ctx), seccomp(), nftables(), forwarding(cfg))
	for _, l := range cfg.Listen {
		fs = append(fs, port(l, cfg.PID))
	}
	fs = append(fs, disk(cfg.DataDir), memory(), fileLimit(), clock())
	if cfg.Domain != "" {
		fs = append(fs, names(ctx, cfg.Domain))
	}
	return append(fs, leftovers(cfg))
}

// Process looks at what matters to the brain's process and its data folder.
func Process(dataDir string) []app.Finding {
	return []app.Finding{disk(dataDir), memory(), fileLimit(), clock()}
}

func lattice(cfg HostConfig) app.Finding {
	if cfg.PID == 0 {
		return ok("lattice", "does not run with the data folder %s", cfg.DataDir)
	}
	return ok("lattice", "runs as process %d with the data folder %s", cfg.PID, cfg.DataDir)
}

func user() app.Finding {
	if os.Geteuid() != 0 {
		return broken("user", "run this, and lattice, as root: sudo lattice …", "we are not root, so a cell can't run here, and not all could be looked at")
	}
	return ok("user", "we are root")
}

// kernel goes by the oldest one whose features we rely on without asking.
func kernel() app.Finding {
	var u unix.Utsname
	if err := unix.Uname(&u); err != nil {
		return unknown("kernel", "its version can't be had: %v", err)
	}
	release := unix.ByteSliceToString(u.Release[:])
	var major, minor int
	if n, err := fmt.Sscanf(release, "%d.%d", &major, &minor); n < 2 {
		return unknown("kernel", "its version %q can't be read: %v", release, err)
	}
	if major < 5 || major == 5 && minor < 4 {
		return warning("kernel", "install one of 5.4 or newer", "Linux %s is older than any that lattice is tried with", release)
	}
	return ok("kernel", "Linux %s", release)
}

const cgroupMount = "/sys/fs/cgroup"

// cgroups looks for the controllers that limit an instance.
func cgroups() []app.Finding {
	version, have, err := controllers()
	if err != nil {
		return []app.Finding{broken("cgroups", "mount them: systemd does, else mount -t cgroup2 none "+cgroupMount, "control groups can't be used: %v", err)}
	}
	var missing []string
	for _, c := range []string{"cpu", "memory", "pids"} {
		if !have[c] {
			missing = append(missing, c)
		}
	}
	if len(missing) > 0 {
		return []app.Finding{broken("cgroups", "enable them at boot, as with cgroup_enable=memory in the kernel's command line",
			"version %d, but without the controllers %s: instances can't be limited", version, strings.Join(missing, ", "))}
	}
	fs := []app.Finding{ok("cgroups", "version %d with cpu, memory and pids", version)}
	if version == 1 {
		if _, err := os.Stat(filepath.Join(cgroupMount, "memory", "memory.memsw.limit_in_bytes")); err != nil {
			fs = append(fs, warning("swap limit", "add swapaccount=1 to the kernel's command line, or switch swap off", "the kernel does not count swap: an instance can use more than its memory where there is swap"))
		}
	}
	return fs
}

// controllers returns the version of cgroups and the controllers that are on.
func controllers() (version int, have map[string]bool, err error) {
	have = map[string]bool{}
	var st unix.Statfs_t
	if err := unix.Statfs(cgroupMount, &st); err != nil {
		return 0, nil, err
	}
	if st.Type == unix.CGROUP2_SUPER_MAGIC {
		data, err := os.ReadFile(filepath.Join(cgroupMount, "cgroup.controllers"))
		for _, name := range strings.Fields(string(data)) {
			have[name] = true
		}
		return 2, have, err
	}
	mounts, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return 0, nil, err
	}
	defer mounts.Close()
	for lines := bufio.NewScanner(mounts); lines.Scan(); {
		_, about, _ := strings.Cut(lines.Text(), " - ")
		if f := strings.Fields(about); len(f) == 3 && f[0] == "cgroup" {
			for name := range strings.SplitSeq(f[2], ",") {
				have[name] = true
			}
		}
	}
	if len(have) == 0 {
		return 0, nil, fmt.Errorf("nothing is mounted at %s", cgroupMount)
	}
	return 1, have, nil
}

func seccomp() app.Finding {
	actions, err := os.ReadFile("/proc/sys/kernel/seccomp/actions_avail")
	if err != nil {
		return broken("seccomp", "use a kernel with CONFIG_SECCOMP_FILTER", "the kernel can't filter system calls: %v", err)
	}
	if !strings.Contains(string(actions), "errno") {
		return broken("seccomp", "use a kernel with CONFIG_SECCOMP_FILTER", "the kernel offers only: %s", strings.TrimSpace(string(actions)))
	}
	return ok("seccomp", "system calls can be filtered")
}

// readNumber reads a file that has one number in it.
func readNumber(path string) (int64, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(data)), 10, 64)
}
