package e2e

import (
	"bytes"
	"cmp"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// machineTree is a Debian with systemd, unless $LATTICE_E2E_MACHINE names
// another; `make test-deps` makes it.
const machineTree = "../../build/machine/tree"

// A machine is a host of the lab with a Debian of its own, in which systemd is
// init. It is a systemd-nspawn container that sees no other one: its own
// processes, files, network and control groups.
type machine struct {
	*host
	base   string // folder with what follows
	root   string // its files, seen from here
	nspawn *exec.Cmd
	init   int // process
	groups []string
	log    string // path
}

// boot starts a machine on the host and returns when all its services run.
func (h *host) boot() *machine {
	h.t.Helper()
	tree, err := filepath.Abs(cmp.Or(os.Getenv("LATTICE_E2E_MACHINE"), machineTree))
	if err != nil {
		h.t.Fatal(err)
	}
	if _, err := os.Stat(filepath.Join(tree, "lib/systemd/systemd")); err != nil {
		h.t.Fatalf("%v: run `make test-deps` first", err)
	}
	m := &machine{host: h, base: filepath.Join(h.dir, h.name+"-machine")}
	m.root, m.log = filepath.Join(m.base, "root"), filepath.Join(h.dir, h.name+"-console.log")
	h.t.Cleanup(m.off)
	m.mount(tree)
	m.makeGroups()
	m.start()
	return m
}

// mount makes the machine's files: the tree, and above it what it writes.
// /var/lib can't be there, as overlayfs does not go upon overlayfs.
func (m *machine) mount(tree string) {
	m.t.Helper()
	mem := filepath.Join(m.base, "mem")
	m.mkdir(mem, m.root)
	m.run("mount", "-t", "tmpfs", "tmpfs", mem)
	m.mkdir(mem+"/upper", mem+"/work", mem+"/lib")
	m.run("mount", "-t", "overlay", "overlay", "-o", "lowerdir="+tree+",upperdir="+mem+"/upper,workdir="+mem+"/work", m.root)
	m.write("/etc/hostname", m.name+"\n")
	m.write("/etc/machine-id", "")
	m.copyBinary(m.binary, "")
}

func (m *machine) mkdir(dirs ...string) {
	m.t.Helper()
	for _, d := range dirs {
		if err := os.MkdirAll(d, 0o755); err != nil {
			m.t.Fatal(err)
		}
	}
}

// write writes a file of the machine.
func (m *machine) write(path, text string) {
	m.t.Helper()
	if err := os.WriteFile(filepath.Join(m.root, path), []byte(text), 0o644); err != nil {
		m.t.Fatal(err)
	}
}

// copyBinary puts the binary under test into /root. What is behind its end does
// nothing but make it another file, as a newer version would be.
func (m *machine) copyBinary(from, behind string) {
	m.t.Helper()
	b, err := os.ReadFile(from)
	if err == nil {
		path := filepath.Join(m.root, "root/lattice")
		err = os.WriteFile(path+".new", append(b, behind...), 0o755)
		if err == nil {
			err = os.Rename(path+".new", path)
		}
	}
	if err != nil {
		m.t.Fatal(err)
	}
}

// hierarchies returns the roots of this machine's control groups: one with v2,
// one for each controller with v1.
func hierarchies() []string {
	const mount = "/sys/fs/cgroup"
	if _, err := os.Stat(mount + "/cgroup.controllers"); err == nil {
		return []string{mount}
	}
	all, _ := filepath.Glob(mount + "/*/cgroup.procs")
	for i := range all {
		all[i] = filepath.Dir(all[i])
	}
	return all
}

// makeGroups makes the control groups below which all of the machine will be.
func (m *machine) makeGroups() {
	m.t.Helper()
	for _, top := range hierarchies() {
		g := filepath.Join(top, "lattice-lab-"+m.id+"-"+m.name)
		if err := os.Mkdir(g, 0o755); err != nil {
			m.t.Fatal(err)
		}
		m.groups = append(m.groups, g)
		for _, name := range []string{"cpuset.cpus", "cpuset.mems"} { // with v1 they begin empty
			if b, err := os.ReadFile(filepath.Join(top, name)); err == nil {
				if err := os.WriteFile(filepath.Join(g, name), b, 0); err != nil {
					m.t.Fatal(err)
				}
			}
		}
		_ = os.WriteFile(filepath.Join(g, "cgroup.clone_children"), []byte("1"), 0) // v1 only
	}
}

// start boots it.
func (m *machine) start() {
	m.t.Helper()
	log, err := os.Create(m.log)
	if err != nil {
		m.t.Fatal(err)
	}
	defer log.Close()
	enter := `for g in ` + strings.Join(m.groups, " ") + `; do echo $$ > $g/cgroup.procs || exit 1; done; exec systemd-nspawn "$@"`
	m.nspawn = exec.Command("sh", "-c", enter, "sh", "--quiet", "--boot", "--register=no", "--keep-unit",
		"--machine="+m.id+"-"+m.name, "--hostname="+m.name, "--directory="+m.root, "--bind="+m.base+"/mem/lib:/var/lib",
		"--network-namespace-path=/run/netns/"+m.ns, "--capability=all", "--console=pipe")
	m.nspawn.Env = append(os.Environ(), "SYSTEMD_SECCOMP=0") // a machine has no filter
	m.nspawn.Stdout, m.nspawn.Stderr = log, log
	m.nspawn.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if err := m.nspawn.Start(); err != nil {
		m.t.Fatal(err)
	}
	eventually(m.t, time.Minute, m.name+" boots", func() string {
		if m.init = firstChild(m.nspawn.Process.Pid); m.init == 0 {
			return "it has no init"
		}
		out, _ := m.try("systemctl", "is-system-running")
		if s := strings.TrimSpace(out); s != "running" {
			return "it is " + s
		}
		return ""
	})
	m.sh(`for d in /sys/fs/cgroup /sys/fs/cgroup/*/; do mountpoint -q $d && mount -o remount,rw,bind $d; done; mount -o remount,rw,bind /proc/sys`)
}

// firstChild returns a child of a process, or 0.
func firstChild(pid int) int {
	b, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", pid, pid))
	var child int
	fmt.Sscan(string(b), &child)
	return child
}

// inside returns a command that runs in the machine.
func (m *machine) inside(args ...string) *exec.Cmd {
	cmd := exec.Command("nsenter", append([]string{"--target", fmt.Sprint(m.init), "--all", "--", "env", "-i",
		"HOME=/root", "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "NO_COLOR=1"}, args...)...)
	return cmd
}

// try runs a command in the machine and returns all that it printed.
func (m *machine) try(args ...string) (string, error) {
	out, err := m.inside(args...).CombinedOutput()
	return string(out), err
}

// sh runs a script in the machine, which must succeed, and returns all that it
// printed.
func (m *machine) sh(script string) string {
	m.t.Helper()
	out, err := m.try("sh", "-ec", script)
	if err != nil {
		m.t.Fatalf("%s: %s: %v\n%s", m.name, script, err, out)
	}
	return out
}

// off switches the machine off as if its plug was pulled, and takes away all of it.
func (m *machine) off() {
	if m.t.Failed() && m.init != 0 {
		journal, _ := m.try("journalctl", "--unit", "lattice", "--lines", "60", "--no-pager", "--output", "short-precise")
		console, _ := os.ReadFile(m.log)
		m.t.Logf("--- %s:\n%s\n--- console:\n%s", m.name, journal, tail(console, 2000))
		m.try("sh", "-c", "nft flush ruleset; ip -o link | grep -o 'lat-[0-9a-f]*' | xargs -n 1 ip link del") // the host's network outlives the machine
	}
	if m.nspawn != nil {
		if m.init != 0 {
			syscall.Kill(m.init, syscall.SIGKILL)
		} else {
			m.nspawn.Process.Kill()
		}
		m.nspawn.Wait()
	}
	for _, dir := range []string{m.root, filepath.Join(m.base, "mem")} {
		if out, err := exec.Command("umount", dir).CombinedOutput(); err != nil {
			m.t.Errorf("%v: %s", err, out)
		}
	}
	os.RemoveAll("/run/systemd/nspawn/propagate/" + m.id + "-" + m.name)
	for _, g := range m.groups {
		eventually(m.t, 30*time.Second, g+" is gone", func() string { return removeGroup(g) })
	}
}

// removeGroup removes a control group with those below it; the kernel may need
// a moment to see the last process off.
func removeGroup(dir string) string {
	var all []string
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && d.IsDir() {
			all = append(all, path)
		}
		return nil
	})
	for _, d := range slices.Backward(all) {
		if err := os.Remove(d); err != nil {
			return err.Error()
		}
	}
	return ""
}

// files lists the files of the machine that are not the system's own business.
func (m *machine) files() []string {
	out := m.sh(`find / -xdev \( -path /proc -o -path /sys -o -path /dev -o -path /tmp -o -path /var/tmp -o -path /var/log -o -path /var/cache -o -path /root/lattice \) -prune -o -print
		find /var/lib /run -xdev \( -path '/run/systemd/*' -o -path '/run/udev/*' -o -path '/run/log/*' -o -path '/run/host/*' -o -path '/run/credentials/*' \) -prune -o -print`)
	lines := strings.Split(strings.TrimSpace(out), "\n")
	slices.Sort(lines)
	return lines
}

// sameLines fails the test when got is not what want was, and says where.
func sameLines(t *testing.T, what string, want, got []string) {
	t.Helper()
	var b bytes.Buffer
	for _, l := range got {
		if !slices.Contains(want, l) {
			fmt.Fprintf(&b, "\n+ %s", l)
		}
	}
	for _, l := range want {
		if !slices.Contains(got, l) {
			fmt.Fprintf(&b, "\n- %s", l)
		}
	}
	if b.Len() > 0 {
		t.Errorf("%s:%s", what, b.String())
	}
}
