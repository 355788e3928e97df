package cells

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"lattice/app"
)

// Errors of a Runtime.
var (
	ErrImage   = errors.New("image")         // wraps whatever keeps an image from being had: unknown, refused, unreachable
	ErrCommand = errors.New("start command") // wraps a command that does not exist or can't be executed
	ErrInDoubt = errors.New("in doubt")      // is what keeps a start from being known to have failed: the process may have run for a moment
)

// A Runtime runs containers on this host. Everything it makes outlives the
// process: after a restart List finds it again. All methods may be called
// concurrently, though never two at a time for one GUID save Wait and Stop.
type Runtime interface {
	// Pull makes the image present and returns what it says of itself. It
	// calls progress, which may be nil, at most a few times a second.
	// Errors that are the image's or the registry's fault are ErrImage.
	Pull(ctx context.Context, ref string, progress func(app.Pull)) (Image, error)

	// Start creates the container and returns when its process runs. If it
	// fails nothing is left behind. A command that can't be executed is
	// ErrCommand. Unless the error is ErrInDoubt, too, the process never ran.
	Start(ctx context.Context, s Spec) error

	// Wait blocks until the container's process has ended and returns how.
	// It is app.ErrNotFound when there is no such container.
	Wait(ctx context.Context, guid string) (Exit, error)

	// Stop sends signal ("SIGTERM"), waits at most grace, sends SIGKILL, and
	// returns when the process has ended. A container that has ended or does
	// not exist is no error.
	Stop(ctx context.Context, guid, signal string, grace time.Duration) error

	// Remove deletes the container, its snapshot, its network and its FIFOs;
	// a process that still runs is killed. Removing what isn't there is no
	// error.
	Remove(ctx context.Context, guid string) error

	// Exec runs args inside the container and returns its exit code and at
	// most 4 KiB of what it printed. When ctx ends the process is killed.
	Exec(ctx context.Context, guid string, args []string) (code int, output string, err error)

	// Usage returns what the container uses now. It is app.ErrNotFound when
	// it does not run.
	Usage(ctx context.Context, guid string) (Usage, error)

	// Disk returns how many bytes the files have that the container wrote. It
	// looks at each of them, which may take long: bound it by ctx.
	Disk(ctx context.Context, guid string) (int64, error)

	// ReadFile returns what a file has of a container whose process has ended;
	// after that nothing but Remove may be called for it. It is app.ErrNotFound
	// when there is no such file, and app.ErrInvalid when it is no file, or has
	// more than most bytes.
	ReadFile(ctx context.Context, guid, path string, most int64) ([]byte, error)

	// List returns all containers of this cell, ended ones included.
	List(ctx context.Context) ([]Container, error)
}

// An Image is what a pulled image says of itself.
type Image struct {
	Name       string // for Spec.Image
	Digest     string // sha256:… of the manifest
	Entrypoint []string
	Cmd        []string
	Env        []string // NAME=value
	Dir        string
	User       string
	Ports      []int // TCP ports exposed, ascending
	Volumes    []string
	StopSignal string // "" : SIGTERM
	Unpacked   bool   // false: the first Start has to unpack it
	Size       int64  // bytes, compressed
}

// A Spec is all that a Runtime needs to know to start a container.
type Spec struct {
	GUID       string // names the container; [a-z0-9-], at most 64 characters
	App        string
	Index      int
	Image      string   // Image.Name
	Args       []string // never empty
	Env        []string // complete: image's, user's and injected ones; no name twice
	Dir        string   // made when missing
	User       string   // as in an image's USER
	MemoryMB   int      // 0: no limit
	CPUWeight  int      // 1 to 100
	MaxPIDs    int
	Volumes    []string // paths that get an empty directory owned by the container
	Mounts     []Mount  // folders that outlive it, none at the place of another or of one of Volumes
	Privileged bool     // without a user namespace, and with all that the host's root may do
	StopSignal string
	Lease      Lease
	Build      BuildKind
}

// A Mount is a folder of the host that a container sees.
type Mount struct {
	Dir      string // on the host
	Path     string // in the container
	ReadOnly bool
	Shared   bool // it is others' as well: owners of its files stay what they are
}

// A BuildKind says what of a build a container is; empty: it is none. All kinds
// reach the brain's registry by app.RegistrySocket.
type BuildKind string

// The kinds of builds.
const (
	BuildDockerfile BuildKind = "dockerfile" // has app.BuildProgram, may mount and nest containers, and shares a cache with others
	BuildBuildpacks BuildKind = "buildpacks" // is as any other
)

// Exit says how a container's process ended.
type Exit struct {
	Code      int  // 128+n when ended by signal n
	OOMKilled bool // the kernel killed it because the memory limit was reached
	At        time.Time
}

// Usage is what a container uses.
type Usage struct {
	MemoryBytes int64         // without what the kernel can drop at once
	CPU         time.Duration // since the start
}

// A Container is what List finds.
type Container struct {
	GUID    string
	App     string
	Index   int
	Lease   Lease
	Running bool
	Started time.Time
}

// A Lease is the addresses an instance has as long as it lives.
type Lease struct {
	GUID  string         `json:"guid"`
	IP    netip.Addr     `json:"ip"`
	Ports []app.PortPair `json:"ports"`
}

// Volumes keeps what outlives containers. All methods may be called concurrently,
// though never two at a time for one ID.
type Volumes interface {
	// Open returns the folder of a named volume, and makes it where it isn't
	// there, unless it must be: then it is app.ErrNotFound.
	Open(id string, k app.VolumeKey, must bool) (dir string, err error)

	// List returns the named volumes that there are, without how large they are,
	// and Size says that of one.
	List() ([]app.ReportedVolume, error)
	Size(ctx context.Context, v app.ReportedVolume) (int64, error)

	// Remove deletes a named volume with all that is in it. Removing what isn't
	// there is no error.
	Remove(id string) error

	// Mount returns the folder where a volume of an NFS server is mounted, until
	// Release was called for all who had asked. Who holds it already, from before
	// the process began, says so by Hold.
	Mount(ctx context.Context, v app.Volume, holder string) (dir string, err error)
	Hold(v app.Volume, holder string)
	Release(holder string) error

	// Sweep unmounts what nobody holds.
	Sweep() error
}

// A Network connects containers. Reserve and Release keep the books; Attach
// does what the kernel has to be told.
type Network interface {
	// Reserve picks an address and a host port for each of ports, which may be
	// empty, and keeps other programs off those ports. It connects nothing yet.
	Reserve(guid string, ports []int) (Lease, error)

	// Attach connects the network namespace of the process pid.
	Attach(ctx context.Context, l Lease, pid int) error

	// Release undoes Reserve and Attach. Releasing what isn't there is no error.
	Release(ctx context.Context, guid string) error

	// Restore is called once, before all others: it takes back leases that
	// survived a restart, mends what is missing of them, and deletes all else
	// this cell ever made.
	Restore(ctx context.Context, leases []Lease) error
}
