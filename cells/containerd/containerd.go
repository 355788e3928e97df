package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"sync"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/mount"
	"github.com/containerd/containerd/v2/pkg/namespaces"
	"github.com/containerd/log"

	"lattice/cells"
)

// namespace is where our things are in containerd's database; it matters only
// in a containerd that is shared with others.
const namespace = "lattice"

// Config says what a Runtime works with. Folders must be absolute.
type Config struct {
	Root    string        // data that must survive a reboot
	State   string        // data that need not, such as /run/lattice/1a2b3c4d; at most 40 characters, its last part is unique on the host
	Bin     string        // has runc, containerd-shim-runc-v2, lattice-logger and lattice-helper, see Unpack
	LogRoot string        // a container's output goes to LogRoot/GUID
	Network cells.Network // nil: containers have a loopback interface only

	// Address is the gRPC socket of a containerd to use in place of our own.
	Address string

	// Registry returns the registry that images are pulled from and the way
	// there. It serves those of all others: which one is meant is in the
	// parameter ns, as containerd's mirrors have it.
	Registry func() (*url.URL, http.RoundTripper)

	BuildCacheMB int // how much is kept for the next builds of Dockerfiles

	// Bundled has the images that need no registry, by name, each as an OCI
	// archive. It is opened when the image is first wanted.
	Bundled map[string]func() (io.ReadCloser, error)

	Log *slog.Logger
}

// Runtime is a cells.Runtime.
type Runtime struct {
	cfg         Config
	id          string  // names our cgroup, unique on the host
	server      *server // nil with Config.Address
	client      *client.Client
	snapshotter string
	logger      *log.Entry // what containerd writes to

	images  *images
	ids     *idRanges
	sockets sockets

	unpacking sync.Mutex // held while a program is unpacked
}

var _ cells.Runtime = (*Runtime)(nil)

// Open starts containerd inside this process, finds the containers that still
// run, and removes what a crash left half made. The Network is restored with
// the leases of what is left.
func Open(ctx context.Context, cfg Config) (_ *Runtime, err error) {
	r := &Runtime{
		cfg:    cfg,
		id:     filepath.Base(cfg.State),
		logger: newLogger(cfg.Log),
		images: newImages(),
		ids:    newIDRanges(cfg.State),

		sockets: sockets{open: map[string]*http.Server{}},
	}
	for _, name := range []string{runcName, shimName, loggerName, helperName} {
		if _, err := os.Stat(filepath.Join(cfg.Bin, name)); err != nil {
			return nil, fmt.Errorf("open container runtime: %w", err)
		}
	}
	ctx = r.context(ctx)
	exits, err := r.endedWhileAway(ctx)
	if err != nil {
		return nil, err
	}
	if err := r.connect(ctx); err != nil {
		return nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, r.Close())
		}
	}()
	if err := r.endOrphans(ctx); err != nil {
		return nil, err
	}
	if r.snapshotter, err = r.pickSnapshotter(ctx); err != nil {
		return nil, err
	}
	if err := r.folders(); err != nil {
		return nil, err
	}
	if err := r.endSessions(ctx); err != nil {
		return nil, err
	}
	return r, r.restore(ctx, exits)
}

// Close stops containerd but no container. It is meant for the end of the
// process: the connections to the shims stay open until then, for closing them
// would end the containers.
func (r *Runtime) Close() error {
	err := errors.Join(r.client.Close(), r.closeRegistries())
	if r.server != nil {
		err = errors.Join(err, r.server.close(r.cfg.Log))
	}
	if err != nil {
		return fmt.Errorf("close container runtime: %w", err)
	}
	return nil
}

func (r *Runtime) connect(ctx context.Context) (err error) {
	opts := []client.Opt{
		client.WithDefaultNamespace(namespace),
		client.WithDefaultRuntime(filepath.Join(r.cfg.Bin, shimName)),
	}
	if r.cfg.Address != "" {
		if r.client, err = client.New(r.cfg.Address, opts...); err != nil {
			return fmt.Errorf("connect to containerd at %s: %w", r.cfg.Address, err)
		}
		if _, err := r.client.Version(ctx); err != nil {
			return errors.Join(fmt.Errorf("connect to containerd at %s: %w", r.cfg.Address, err), r.client.Close())
		}
		return nil
	}
	if r.server, err = startServer(ctx, r.cfg.Root, r.cfg.State, r.cfg.Log); err != nil {
		return err
	}
	if r.client, err = r.server.client(opts...); err != nil {
		return errors.Join(err, r.server.close(r.cfg.Log))
	}
	return nil
}

// folders makes the folders of this package and unmounts what an earlier process
// was looking into when it died.
func (r *Runtime) folders() error {
	temp := filepath.Join(r.cfg.Root, "mounts")
	for _, dir := range []string{filepath.Join(r.cfg.Root, "containers"), temp, r.cfg.LogRoot} {
		if err := os.MkdirAll(dir, 0o700); err != nil {
			return fmt.Errorf("make folder for containers: %w", err)
		}
	}
	if err := mount.SetTempMountLocation(temp); err != nil {
		return fmt.Errorf("set folder for mounts: %w", err)
	}
	warnings, err := mount.CleanupTempMounts(0)
	if err = errors.Join(append(warnings, err)...); err != nil {
		return fmt.Errorf("remove old mounts: %w", err)
	}
	return nil
}

// context returns ctx with what containerd wants to find in one.
func (r *Runtime) context(ctx context.Context) context.Context {
	return namespaces.WithNamespace(log.WithLogger(ctx, r.logger), namespace)
}

// dir is the folder of what belongs to one container beside its snapshot.
func (r *Runtime) dir(guid string) string { return filepath.Join(r.cfg.Root, "containers", guid) }
