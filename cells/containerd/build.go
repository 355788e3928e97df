package containerd

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/http/httputil"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/containerd/containerd/v2/contrib/seccomp"
	"github.com/opencontainers/runtime-spec/specs-go"

	"lattice/app"
	"lattice/cells"
)

const (
	// buildBase is the first host user ID of the containers that build
	// Dockerfiles. It is the same for all, for they share the cache.
	buildBase = firstID + maxRanges*rangeSize

	buildCache = "/var/lib/lattice-build" // inside such a container
)

var errNoBuilder = errors.New("this lattice carries no program that builds Dockerfiles: build it with make")

// buildCapabilities is what a build has in its user namespace beside what all
// containers have: it mounts layers and makes containers of its own. None of it
// counts outside of that namespace.
var buildCapabilities = []string{"CAP_SYS_ADMIN", "CAP_MKNOD", "CAP_NET_RAW", "CAP_NET_ADMIN", "CAP_AUDIT_WRITE", "CAP_SYS_PTRACE"}

// takeIDs returns the first host ID of a container.
func (r *Runtime) takeIDs(s cells.Spec) (uint32, error) {
	if s.Build == cells.BuildDockerfile {
		return r.ids.takeAt(s.App, s.GUID, buildBase)
	}
	return r.ids.take(s.App, s.GUID)
}

// prepareBuild gives the container of a build what only that has.
func (r *Runtime) prepareBuild(s cells.Spec, spec *specs.Spec, base uint32) error {
	if s.Build == "" {
		return nil
	}
	if err := r.openRegistry(s.GUID, base); err != nil {
		return fmt.Errorf("open the way to the registry for %s: %w", s.GUID, err)
	}
	spec.Mounts = append(spec.Mounts, specs.Mount{
		Destination: filepath.Dir(app.RegistrySocket), Type: "bind", Source: r.socketDir(s.GUID),
		Options: []string{"bind", "rw", "nosuid", "nodev", "noexec"},
	})
	if s.Build != cells.BuildDockerfile {
		return nil
	}
	r.unpacking.Lock()
	err := r.unpackBuilder()
	r.unpacking.Unlock()
	if err != nil {
		return err
	}
	cache := filepath.Join(r.cfg.Root, "builds")
	if err := errors.Join(os.MkdirAll(cache, 0o700), os.Chown(cache, int(base), int(base))); err != nil {
		return fmt.Errorf("make the folder of the builds' cache: %w", err)
	}
	// All programs, for runc must see itself in its folder.
	spec.Mounts = append(spec.Mounts,
		specs.Mount{Destination: filepath.Dir(app.BuildProgram), Type: "bind", Source: r.cfg.Bin, Options: []string{"bind", "ro", "nosuid", "nodev"}},
		specs.Mount{Destination: buildCache, Type: "bind", Source: cache, Options: []string{"rbind", "rw", "nodev"}})
	spec.Process.Env = append(spec.Process.Env, fmt.Sprintf("LATTICE_BUILD_CACHE_MB=%d", r.cfg.BuildCacheMB))
	allowNesting(spec)
	return nil
}

// allowNesting lets a container have containers within it. A fresh /proc can be
// mounted only by who sees all of one.
func allowNesting(spec *specs.Spec) {
	all := slices.Concat(capabilities, buildCapabilities)
	spec.Process.Capabilities = &specs.LinuxCapabilities{Bounding: all, Permitted: all, Effective: all}
	spec.Process.NoNewPrivileges = false // steps may use setuid programs of their image
	spec.Linux.MaskedPaths, spec.Linux.ReadonlyPaths = nil, nil
	spec.Linux.Seccomp = seccomp.DefaultProfile(spec)
	spec.Linux.Seccomp.Syscalls = append(spec.Linux.Seccomp.Syscalls, specs.LinuxSyscall{
		Names: []string{"pivot_root", "keyctl"}, Action: specs.ActAllow,
	})
}

// socketDir is the folder with the socket by which a build reaches the registry.
func (r *Runtime) socketDir(guid string) string { return filepath.Join(r.cfg.State, "build", guid) }

// sockets are the ways to the registry that are open, by GUID.
type sockets struct {
	mu   sync.Mutex // guards what follows
	open map[string]*http.Server
}

// openRegistry listens for a build that asks the brain's registry. Who asks must
// show the token of the build: ours does not count there.
func (r *Runtime) openRegistry(guid string, base uint32) error {
	dir := r.socketDir(guid)
	path := filepath.Join(dir, filepath.Base(app.RegistrySocket))
	if err := os.MkdirAll(dir, 0o711); err != nil {
		return err
	}
	if err := os.Remove(path); err != nil && !errors.Is(err, fs.ErrNotExist) { // of a process of ours that is gone
		return err
	}
	ln, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	if err := errors.Join(os.Chown(dir, int(base), int(base)), os.Chown(path, int(base), int(base)), os.Chmod(path, 0o600)); err != nil {
		return errors.Join(err, ln.Close())
	}
	log := r.cfg.Log.With("instance", guid)
	srv := &http.Server{
		Handler:           r.registryProxy(log),
		ReadHeaderTimeout: 10 * time.Second,
		ErrorLog:          slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	r.sockets.mu.Lock()
	r.sockets.open[guid] = srv
	r.sockets.mu.Unlock()
	go func() { _ = srv.Serve(ln) }() // until closeRegistry
	return nil
}

func (r *Runtime) registryProxy(log *slog.Logger) http.Handler {
	base, via := r.cfg.Registry()
	proxy := &httputil.ReverseProxy{
		Transport: via,
		Rewrite: func(p *httputil.ProxyRequest) {
			p.SetURL(base)
			p.SetXForwarded() // or answers would name a host that the build can't reach
			p.Out.Header.Set(app.BuildHeader, "1")
		},
		ErrorLog: slog.NewLogLogger(log.Handler(), slog.LevelDebug),
	}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		if !strings.HasPrefix(req.URL.Path, "/v2/") {
			http.NotFound(w, req)
			return
		}
		proxy.ServeHTTP(w, req)
	})
}

// closeRegistries ends all ways to the registry. Their sockets stay, for the next
// process of ours to take their places.
func (r *Runtime) closeRegistries() (err error) {
	r.sockets.mu.Lock()
	defer r.sockets.mu.Unlock()
	for _, srv := range r.sockets.open {
		err = errors.Join(err, srv.Close())
	}
	return err
}

// closeRegistry undoes openRegistry; that there is nothing to undo is no error.
func (r *Runtime) closeRegistry(guid string) error {
	r.sockets.mu.Lock()
	srv := r.sockets.open[guid]
	delete(r.sockets.open, guid)
	r.sockets.mu.Unlock()
	if srv != nil {
		if err := srv.Close(); err != nil {
			return err
		}
	}
	return os.RemoveAll(r.socketDir(guid))
}
