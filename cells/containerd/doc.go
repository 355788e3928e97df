// Package containerd runs containers. It is the cells.Runtime of Linux hosts:
// containerd's server runs inside our process, runc and its shim run beside it
// and outlive us. It decides nothing about apps and knows no network but the
// cells.Network it is given. A Runtime is safe for concurrent use.
//
// # What is where
//
//	Root/io.containerd.*      containerd's content, snapshots and metadata
//	Root/containers/GUID      hosts, hostname, resolv.conf and volumes of a container
//	Root/mounts               where images are looked into, for a moment
//	State/io.containerd.*     bundles of running containers
//	State/s                   sockets of the shims
//	State/ttrpc.sock          where the shims report to
//	LogRoot/GUID              what the container printed, written by lattice-logger
//	cgroup /lattice/ID/GUID   ID is the last part of State
//
// Nothing is written anywhere else, so installations do not meet each other or
// a containerd of the host.
//
// # The logger
//
// A container's output goes through pipes to a process of its own, started by
// the shim, so neither our death nor our restart blocks the container or loses
// a line. The shim runs
//
//	BIN/lattice-logger -dir LOGROOT/GUID -app NAME -index N -guid GUID
//
// with the flags in any order (they travel as the query of a URL, which keeps
// no order), nothing but CONTAINER_ID and CONTAINER_NAMESPACE in the
// environment, stdout of the container as file 3, stderr as file 4. It waits,
// and the start of the container with it, until the logger has written a byte
// to file 5 and closed it; the folder exists by then. When the container is removed the shim closes its
// end of both pipes and sends SIGTERM at once: the logger must not die of it but
// read to the end of both files and then exit. After 12 s it is killed. The shim
// complains on our stderr when the logger is gone before the signal comes, so it
// does well to wait for it a little, some 100 ms, after the end of both files.
package containerd
