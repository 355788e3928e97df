package containerd

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/containerd/v2/core/content"
	"github.com/containerd/containerd/v2/core/introspection"
	"github.com/containerd/containerd/v2/core/leases"
	v2 "github.com/containerd/containerd/v2/core/runtime/v2"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/pkg/timeout"
	"github.com/containerd/containerd/v2/plugins"
	"github.com/containerd/containerd/v2/plugins/services"
	"github.com/containerd/errdefs"
	"github.com/containerd/plugin"
	"github.com/containerd/plugin/registry"
	"github.com/containerd/ttrpc"

	containersapi "github.com/containerd/containerd/api/services/containers/v1"
	diffapi "github.com/containerd/containerd/api/services/diff/v1"
	imagesapi "github.com/containerd/containerd/api/services/images/v1"
	namespacesapi "github.com/containerd/containerd/api/services/namespaces/v1"
	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
)

// maxSocketDir is the longest folder for the sockets of the shims that
// containerd accepts, for a socket's path has at most 108 bytes.
const maxSocketDir = 42

// A server is containerd's server inside this process. It starts the plugins
// itself, for containerd's own server would listen on gRPC, register metrics
// globally and go on when a plugin fails.
type server struct {
	address     string // makes the names of the shims' sockets; nobody listens there
	shimSockets string
	plugins     *plugin.Set
	stop        context.CancelFunc // of what the plugins do in the background
	ttrpc       *ttrpc.Server
	served      sync.WaitGroup
}

// startServer starts the plugins, connects to the shims that still run and
// listens for their events.
func startServer(ctx context.Context, root, state string, log *slog.Logger) (_ *server, err error) {
	dirs := map[string]os.FileMode{root: 0o700, state: 0o711} // containers' users pass through state
	for dir, mode := range dirs {
		if err := os.MkdirAll(dir, mode); err != nil {
			return nil, fmt.Errorf("make containerd's folder: %w", err)
		}
		if err := os.Chmod(dir, mode); err != nil {
			return nil, fmt.Errorf("protect containerd's folder: %w", err)
		}
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	s := &server{
		address:     filepath.Join(state, "grpc.sock"),
		shimSockets: filepath.Join(state, "s"),
		plugins:     plugin.NewPluginSet(),
		stop:        stop,
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.close(log))
		}
	}()
	if len(s.shimSockets) > maxSocketDir {
		return nil, fmt.Errorf("folder %s is too long for the sockets in it: take one of at most %d characters", state, maxSocketDir-2)
	}
	// Without a limit a second process with the same folders would wait for ever.
	timeout.Set("io.containerd.timeout.bolt.open", 2*time.Second)

	shims := &v2.ShimConfig{SocketDir: s.shimSockets, Env: []string{"GOGC=50"}}
	for _, reg := range registry.Graph(func(*plugin.Registration) bool { return false }) {
		if err := s.init(ctx, reg, root, state, shims); err != nil {
			return nil, err
		}
	}
	return s, s.listen(ctx, filepath.Join(state, "ttrpc.sock"))
}

func (s *server) init(ctx context.Context, reg plugin.Registration, root, state string, shims *v2.ShimConfig) error {
	uri := reg.URI()
	ic := plugin.NewContext(ctx, s.plugins, map[string]string{
		plugins.PropertyRootDir:      filepath.Join(root, uri),
		plugins.PropertyStateDir:     filepath.Join(state, uri),
		plugins.PropertyGRPCAddress:  s.address,
		plugins.PropertyTTRPCAddress: filepath.Join(state, "ttrpc.sock"),
	})
	ic.RegisterReadiness = func() func() { return func() {} }
	ic.Config = reg.Config
	if reg.Type == plugins.ShimPlugin {
		ic.Config = shims
	}
	p := reg.Init(ic)
	if err := s.plugins.Add(p); err != nil {
		return fmt.Errorf("start containerd: %w", err)
	}
	switch err := p.Err(); {
	case err == nil:
		return nil
	case reg.Type == plugins.SnapshotPlugin || plugin.IsSkipPlugin(err):
		return nil // one of the snapshotters is enough, see snapshotter
	case errors.Is(err, os.ErrDeadlineExceeded) || err.Error() == "timeout":
		return fmt.Errorf("start containerd in %s: another process uses this folder", root)
	default:
		return fmt.Errorf("start containerd's %s: %w", uri, err)
	}
}

// listen opens the socket to which shims send their events.
func (s *server) listen(ctx context.Context, path string) error {
	srv, err := ttrpc.NewServer(ttrpc.WithServerHandshaker(ttrpc.UnixSocketRequireSameUser()))
	if err != nil {
		return fmt.Errorf("make the shims' server: %w", err)
	}
	for _, p := range s.plugins.GetAll() {
		i, err := p.Instance()
		if svc, ok := i.(interface{ RegisterTTRPC(*ttrpc.Server) error }); ok && err == nil {
			if err := svc.RegisterTTRPC(srv); err != nil {
				return fmt.Errorf("register %s: %w", p.Registration.URI(), err)
			}
		}
	}
	// The database is locked by now, so a socket that is there is a dead one.
	if err := os.Remove(path); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("remove the old socket of the shims: %w", err)
	}
	l, err := net.Listen("unix", path)
	if err != nil {
		return fmt.Errorf("listen for the shims: %w", err)
	}
	if err := os.Chmod(path, 0o600); err != nil {
		return errors.Join(fmt.Errorf("protect the socket of the shims: %w", err), l.Close())
	}
	s.ttrpc = srv
	s.served.Go(func() { _ = srv.Serve(ctx, l) }) // returns when close closes it
	return nil
}

// close stops the server. Shims and containers go on.
func (s *server) close(log *slog.Logger) error {
	var errs []error
	s.stop()
	if s.ttrpc != nil {
		errs = append(errs, s.ttrpc.Close())
		s.served.Wait()
	}
	for _, p := range slices.Backward(s.plugins.GetAll()) {
		i, err := p.Instance()
		if c, ok := i.(io.Closer); ok && err == nil {
			log.Debug("closing plugin", "reason", p.Registration.URI())
			errs = append(errs, c.Close())
		}
	}
	return errors.Join(errs...)
}

// client returns a client that calls the plugins directly.
func (s *server) client(opts ...client.Opt) (*client.Client, error) {
	get := func(t plugin.Type, id string) any {
		if p := s.plugins.Get(t, id); p != nil {
			if i, err := p.Instance(); err == nil {
				return i
			}
		}
		return nil
	}
	svc := func(id string) any { return get(plugins.ServicePlugin, id) }
	events, ok1 := get(plugins.EventPlugin, "exchange").(client.EventService)
	lease, ok2 := get(plugins.LeasePlugin, "manager").(leases.Manager)
	blobs, ok3 := svc(services.ContentService).(content.Store)
	images, ok4 := svc(services.ImagesService).(imagesapi.ImagesClient)
	snaps, ok5 := svc(services.SnapshotsService).(map[string]snapshots.Snapshotter)
	ctrs, ok6 := svc(services.ContainersService).(containersapi.ContainersClient)
	tasks, ok7 := svc(services.TasksService).(tasksapi.TasksClient)
	diff, ok8 := svc(services.DiffService).(diffapi.DiffClient)
	ns, ok9 := svc(services.NamespacesService).(namespacesapi.NamespacesClient)
	intro, ok10 := svc(services.IntrospectionService).(introspection.Service)
	if !(ok1 && ok2 && ok3 && ok4 && ok5 && ok6 && ok7 && ok8 && ok9 && ok10) {
		return nil, fmt.Errorf("start containerd: a service is missing: %w", errdefs.ErrUnavailable)
	}
	return client.New("", append(opts, client.WithServices(
		client.WithEventService(events),
		client.WithLeasesService(lease),
		client.WithContentStore(blobs),
		client.WithImageClient(images),
		client.WithSnapshotters(snaps),
		client.WithContainerClient(ctrs),
		client.WithTaskClient(tasks),
		client.WithDiffClient(diff),
		client.WithNamespaceClient(ns),
		client.WithIntrospectionService(intro),
	))...)
}
