package containerd

import (
	"fmt"
	"slices"

	"github.com/containerd/containerd/v2/pkg/cap"
	"github.com/containerd/containerd/v2/pkg/oci"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// unconfine takes away what keeps a container from its host, as Docker's
// --privileged does: its users are the host's, its root has all that the host's
// root has, and it sees the devices. What is left are its own processes, network,
// mounts and limits.
func unconfine(s *specs.Spec) error {
	all, err := cap.Current()
	if err != nil {
		return fmt.Errorf("find out what root may do here: %w", err)
	}
	devices, err := oci.HostDevices()
	if err != nil {
		return fmt.Errorf("list the devices of the host: %w", err)
	}
	s.Process.NoNewPrivileges = false
	s.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Permitted: all, Effective: all}
	l := s.Linux
	l.UIDMappings, l.GIDMappings, l.MaskedPaths, l.ReadonlyPaths = nil, nil, nil, nil
	l.Namespaces = slices.DeleteFunc(l.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
	l.Devices, l.Resources.Devices = devices, []specs.LinuxDeviceCgroup{{Allow: true, Access: "rwm"}}
	for i := range s.Mounts {
		m := &s.Mounts[i]
		if m.Type == "sysfs" || m.Type == "cgroup" {
			m.Options = slices.DeleteFunc(slices.Clone(m.Options), func(o string) bool { return o == "ro" })
		}
	}
	return nil
}
