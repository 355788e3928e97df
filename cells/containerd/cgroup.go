package containerd

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

const (
	cgroupMount = "/sys/fs/cgroup"
	cgroupRoot  = "lattice" // all our cgroups are below it
)

// cgroupV2 reports whether the host has the unified hierarchy only.
func cgroupV2() bool {
	var st unix.Statfs_t
	return unix.Statfs(cgroupMount, &st) == nil && st.Type == unix.CGROUP2_SUPER_MAGIC
}

// cgroupFile is the path of a file of the container's cgroup. The controller
// is what the file belongs to with v1.
func (r *Runtime) cgroupFile(guid, controller, name string) string {
	if cgroupV2() {
		controller = ""
	}
	return filepath.Join(cgroupMount, controller, cgroupRoot, r.id, guid, name)
}

// oomKills returns how often the kernel killed a process of the container
// because its memory limit was reached.
func (r *Runtime) oomKills(guid string) (int64, error) {
	name := "memory.oom_control"
	if cgroupV2() {
		name = "memory.events"
	}
	return cgroupField(r.cgroupFile(guid, "memory", name), "oom_kill")
}

// cgroupField returns a number from a file of lines of a key and a value.
func cgroupField(file, key string) (int64, error) {
	f, err := os.Open(file)
	if err != nil {
		return 0, err
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if k, v, ok := strings.Cut(s.Text(), " "); ok && k == key {
			return strconv.ParseInt(v, 10, 64)
		}
	}
	return 0, fmt.Errorf("%s has no %s", file, key)
}

func cgroupNumber(file string) (int64, error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return 0, err
	}
	return strconv.ParseInt(strings.TrimSpace(string(b)), 10, 64)
}

// removeCgroup removes what runc left of the container's cgroup, in all
// hierarchies.
func (r *Runtime) removeCgroup(guid string) error {
	return removeCgroupDirs(filepath.Join(cgroupRoot, r.id, guid))
}

// removeCgroupParents removes the cgroups above our containers, which must all
// be gone. Those that others use stay.
func (r *Runtime) removeCgroupParents() {
	for _, dir := range []string{filepath.Join(cgroupRoot, r.id), cgroupRoot} {
		_ = removeCgroupDirs(dir) // in use: it will be removed when the last user goes
	}
}

func removeCgroupDirs(dir string) error {
	roots := []string{cgroupMount}
	if !cgroupV2() {
		entries, err := os.ReadDir(cgroupMount)
		if err != nil {
			return err
		}
		roots = roots[:0]
		for _, e := range entries {
			if e.IsDir() {
				roots = append(roots, filepath.Join(cgroupMount, e.Name()))
			}
		}
	}
	var errs []error
	for _, root := range roots {
		if err := os.Remove(filepath.Join(root, dir)); err != nil && !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
	}
	return errors.Join(errs...)
}
