package doctor

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"lattice/app"
)

// DiskOf returns what is left where dir is, or will be.
func DiskOf(dir string) (freeMB, totalMB int, files int64, err error) {
	var st unix.Statfs_t
	if err := unix.Statfs(nearest(dir), &st); err != nil {
		return -1, -1, -1, err
	}
	files = int64(st.Ffree)
	if st.Files == 0 {
		files = -1 // a file system that has no limit of its own
	}
	block := uint64(st.Bsize)
	return int(st.Bavail * block >> 20), int(st.Blocks * block >> 20), files, nil
}

func disk(dir string) app.Finding {
	free, total, files, err := DiskOf(dir)
	if err != nil {
		return unknown("disk", "%s: %v", dir, err)
	}
	return Disk("disk", "the disk of "+dir, free, total, files)
}

func memory() app.Finding {
	free, total, err := memoryMB()
	switch {
	case err != nil:
		return unknown("memory", "can't be read: %v", err)
	case free < lowMemoryMB:
		return warning("memory", "stop what nobody needs, or give cells less with --memory-mb", "only %d of %d MiB are left", free, total)
	}
	return ok("memory", "%d of %d MiB are left", free, total)
}

func memoryMB() (free, total int, err error) {
	f, err := os.Open("/proc/meminfo")
	if err != nil {
		return 0, 0, err
	}
	defer f.Close()
	for lines := bufio.NewScanner(f); lines.Scan(); {
		var kb int
		if n, _ := fmt.Sscanf(lines.Text(), "MemTotal: %d kB", &kb); n == 1 {
			total = kb >> 10
		}
		if n, _ := fmt.Sscanf(lines.Text(), "MemAvailable: %d kB", &kb); n == 1 {
			return kb >> 10, total, nil
		}
	}
	return 0, 0, fmt.Errorf("/proc/meminfo does not say what is available")
}

// wantFiles is enough for a router with many thousand connections.
const wantFiles = 65_536

func fileLimit() app.Finding {
	const mend = "set LimitNOFILE=1048576 in the unit, or ulimit -Hn 1048576"
	var l unix.Rlimit
	if err := unix.Getrlimit(unix.RLIMIT_NOFILE, &l); err != nil {
		return unknown("open files", "the limit can't be read: %v", err)
	}
	if l.Max < wantFiles {
		return warning("open files", mend, "a process may have %d: few for a router with many connections", l.Max)
	}
	return ok("open files", "a process may have %d", l.Max)
}

// clock asks the kernel whether something keeps its clock right.
func clock() app.Finding {
	var t unix.Timex
	state, err := unix.Adjtimex(&t)
	switch {
	case err != nil:
		return unknown("clock", "the kernel does not say whether it is set by NTP: %v", err)
	case state == unix.TIME_ERROR || t.Status&unix.STA_UNSYNC != 0:
		return warning("clock", "set it by NTP: apt install chrony, or timedatectl set-ntp true; 'ltc doctor' with a target compares it with the brain's",
			"nothing keeps it right here, as far as the kernel knows (a virtual machine's host may)")
	}
	return ok("clock", "is set by NTP")
}

// leftovers looks for what only a lattice that runs should have.
func leftovers(cfg HostConfig) app.Finding {
	mounts, err := mountsBelow(cfg.DataDir, cfg.StateDir)
	if err != nil {
		return unknown("leftovers", "mounts can't be listed: %v", err)
	}
	shims := processesOf(cfg.StateDir)
	if cfg.PID != 0 {
		return ok("leftovers", "%d containers are supervised, %d mounts are in use", shims, mounts)
	}
	if mounts+shims > 0 {
		return warning("leftovers", "'lattice up' or 'lattice cell' takes them over; 'lattice down' stops and removes them",
			"%d containers run on and %d mounts are left, though no lattice runs", shims, mounts)
	}
	return ok("leftovers", "none")
}

// mountsBelow counts the mounts in folders.
func mountsBelow(dirs ...string) (n int, err error) {
	f, err := os.Open("/proc/self/mountinfo")
	if err != nil {
		return 0, err
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		for _, dir := range dirs {
			if len(fields) > 4 && dir != "" && strings.HasPrefix(fields[4], dir+"/") {
				n++
				break
			}
		}
	}
	return n, lines.Err()
}

// processesOf counts the shims whose sockets are below a state folder: there is
// one for each container.
func processesOf(stateDir string) (n int) {
	files, _ := filepath.Glob("/proc/[0-9]*/cmdline")
	for _, f := range files {
		data, _ := os.ReadFile(f) // it may have ended meanwhile
		if args := string(data); stateDir != "" && strings.Contains(args, "containerd-shim") && strings.Contains(args, stateDir) {
			n++
		}
	}
	return n
}
