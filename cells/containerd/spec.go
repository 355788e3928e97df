package containerd

import (
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/moby/sys/user"
	"github.com/opencontainers/runtime-spec/specs-go"

	"lattice/cells"
)

const (
	defaultPath = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
	maxOpen     = 16384 // files
	maxHostname = 63
)

// capabilities is what root in a container may do: Docker's set without raw
// sockets, device nodes and the audit log.
var capabilities = []string{
	"CAP_CHOWN", "CAP_DAC_OVERRIDE", "CAP_FOWNER", "CAP_FSETID", "CAP_KILL", "CAP_NET_BIND_SERVICE",
	"CAP_SETFCAP", "CAP_SETGID", "CAP_SETPCAP", "CAP_SETUID", "CAP_SYS_CHROOT",
}

// spec describes the container for runc. uidBase is the host ID of its root,
// vols where its volumes are.
func (r *Runtime) spec(s cells.Spec, img *image, u *user.ExecUser, uidBase uint32, vols []volume) (*specs.Spec, error) {
	ids := []specs.LinuxIDMapping{{ContainerID: 0, HostID: uidBase, Size: rangeSize}}
	out := &specs.Spec{
		Version:  specs.Version,
		Root:     &specs.Root{Path: "rootfs"},
		Hostname: hostname(s),
		Process:  process(s, u),
		Mounts:   r.mounts(s.GUID, vols),
		Linux: &specs.Linux{
			UIDMappings: ids,
			GIDMappings: ids,
			CgroupsPath: path.Join("/", cgroupRoot, r.id, s.GUID),
			Resources:   resources(s),
			Sysctl: map[string]string{
				"net.ipv4.ip_unprivileged_port_start": "0",
				"net.ipv4.ping_group_range":           "0 65535", // ping without raw sockets
			},
			Namespaces: []specs.LinuxNamespace{
				{Type: specs.UserNamespace}, {Type: specs.PIDNamespace}, {Type: specs.IPCNamespace},
				{Type: specs.UTSNamespace}, {Type: specs.MountNamespace}, {Type: specs.NetworkNamespace},
				{Type: specs.CgroupNamespace},
			},
			MaskedPaths: []string{
				"/proc/acpi", "/proc/asound", "/proc/interrupts", "/proc/kcore", "/proc/keys",
				"/proc/latency_stats", "/proc/sched_debug", "/proc/scsi", "/proc/timer_list", "/proc/timer_stats",
				"/sys/devices/virtual/powercap", "/sys/firmware",
			},
			ReadonlyPaths: []string{"/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"},
		},
	}
	if s.Privileged {
		return out, unconfine(out)
	}
	out.Linux.Seccomp = seccomp.DefaultProfile(out) // depends on the capabilities
	if !img.bits32 {
		// For the machine's own calls alone. Building the filter for the 32-bit
		// ones, too, takes runc three times as long: 30 ms of every start.
		out.Linux.Seccomp.Architectures = nil
	}
	return out, nil
}

func process(s cells.Spec, u *user.ExecUser) *specs.Process {
	env := slices.Clone(s.Env)
	if !slices.ContainsFunc(env, func(e string) bool { return strings.HasPrefix(e, "PATH=") }) {
		env = append(env, defaultPath)
	}
	groups := make([]uint32, 0, len(u.Sgids))
	for _, g := range u.Sgids {
		groups = append(groups, uint32(g))
	}
	cwd := path.Clean("/" + s.Dir)
	oom := 0 // what lattice itself may be protected by is not handed on
	return &specs.Process{
		Args:            s.Args,
		Env:             env,
		Cwd:             cwd,
		User:            specs.User{UID: uint32(u.Uid), GID: uint32(u.Gid), AdditionalGids: groups},
		NoNewPrivileges: true,
		Capabilities: &specs.LinuxCapabilities{
			Bounding: capabilities, Permitted: capabilities, Effective: capabilities,
		},
		Rlimits:     []specs.POSIXRlimit{{Type: "RLIMIT_NOFILE", Soft: maxOpen, Hard: maxOpen}},
		OOMScoreAdj: &oom,
	}
}

func (r *Runtime) mounts(guid string, vols []volume) []specs.Mount {
	plain := []string{"nosuid", "noexec", "nodev"}
	out := []specs.Mount{
		{Destination: "/proc", Type: "proc", Source: "proc", Options: plain},
		{Destination: "/dev", Type: "tmpfs", Source: "tmpfs", Options: []string{"nosuid", "strictatime", "mode=755", "size=65536k"}},
		{Destination: "/dev/pts", Type: "devpts", Source: "devpts", Options: []string{"nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", "gid=5"}},
		{Destination: "/dev/shm", Type: "tmpfs", Source: "shm", Options: append([]string{"mode=1777", "size=65536k"}, plain...)},
		{Destination: "/dev/mqueue", Type: "mqueue", Source: "mqueue", Options: plain},
		{Destination: "/sys", Type: "sysfs", Source: "sysfs", Options: append([]string{"ro"}, plain...)},
		{Destination: "/sys/fs/cgroup", Type: "cgroup", Source: "cgroup", Options: append([]string{"ro", "relatime"}, plain...)},
	}
	out = append(out, specs.Mount{
		Destination: helperPath, Type: "bind", Source: filepath.Join(r.cfg.Bin, helperName),
		Options: []string{"bind", "ro", "nosuid", "nodev"},
	})
	for _, name := range []string{"hosts", "hostname", "resolv.conf"} {
		out = append(out, specs.Mount{
			Destination: "/etc/" + name, Type: "bind",
			Source:  filepath.Join(r.dir(guid), name),
			Options: []string{"rbind", "rw", "nosuid", "nodev", "noexec"},
		})
	}
	for _, v := range vols {
		out = append(out, specs.Mount{
			Destination: v.path, Type: "bind", Source: v.dir,
			Options: []string{"rbind", "rw", "nodev"},
		})
	}
	return out
}

// hasHelper reports whether the container was given the helper.
func hasHelper(s *specs.Spec) bool {
	return slices.ContainsFunc(s.Mounts, func(m specs.Mount) bool { return m.Destination == helperPath })
}

func resources(s cells.Spec) *specs.LinuxResources {
	shares := uint64(max(2, s.CPUWeight*1024/100)) // of 1024, which a weight of 100 gets
	res := &specs.LinuxResources{
		Devices: []specs.LinuxDeviceCgroup{{Allow: false, Access: "rwm"}},
		CPU:     &specs.LinuxCPU{Shares: &shares},
	}
	if s.MaxPIDs > 0 {
		n := int64(s.MaxPIDs)
		res.Pids = &specs.LinuxPids{Limit: &n}
	}
	if s.MemoryMB > 0 {
		n := int64(s.MemoryMB) << 20
		res.Memory = &specs.LinuxMemory{Limit: &n}
		if swapAccounting() {
			res.Memory.Swap = &n // both together: no swap
		}
	}
	return res
}

// swapAccounting reports whether swap can be limited; with cgroups v1 it is a
// boot option of the kernel.
func swapAccounting() bool {
	if cgroupV2() {
		return true // runc leaves it out when it is not there
	}
	_, err := os.Stat(filepath.Join(cgroupMount, "memory/memory.memsw.limit_in_bytes"))
	return err == nil
}

// hostname is app-index, cut in front of the index when too long for a host name.
func hostname(s cells.Spec) string {
	index := "-" + strconv.Itoa(s.Index)
	name := s.App
	if len(name)+len(index) > maxHostname {
		name = name[:maxHostname-len(index)]
	}
	return name + index
}
