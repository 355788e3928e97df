package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/containerd/containerd/v2/core/diff/apply"
	"github.com/containerd/containerd/v2/core/metadata"
	"github.com/containerd/containerd/v2/core/remotes/docker"
	"github.com/containerd/containerd/v2/core/snapshots"
	"github.com/containerd/containerd/v2/plugins/content/local"
	"github.com/containerd/containerd/v2/plugins/diff/walking"
	"github.com/containerd/containerd/v2/plugins/snapshots/native"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay"
	"github.com/containerd/containerd/v2/plugins/snapshots/overlay/overlayutils"
	"github.com/containerd/platforms"
	cachemeta "github.com/moby/buildkit/cache/metadata"
	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/executor"
	"github.com/moby/buildkit/executor/oci"
	"github.com/moby/buildkit/executor/runcexecutor"
	snapshot "github.com/moby/buildkit/snapshot/containerd"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/leaseutil"
	"github.com/moby/buildkit/util/network"
	"github.com/moby/buildkit/worker/base"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
	"go.etcd.io/bbolt"
)

// A store is what is kept between builds, in one folder.
type store struct {
	opt base.WorkerOpt
	db  *bbolt.DB
}

// namespace is where BuildKit's things are in its database.
const namespace = "buildkit"

// openStore opens what former builds left in dir. Of what is kept, most bytes
// stay after a build.
func openStore(ctx context.Context, dir, runc string, hosts docker.RegistryHosts, most int64) (_ *store, err error) {
	name, snaps, err := snapshotter(dir)
	if err != nil {
		return nil, err
	}
	root := filepath.Join(dir, name)
	id, err := base.ID(root) // the records name it
	if err != nil {
		return nil, fmt.Errorf("open the cache of former builds: %w", err)
	}
	here := network.NewHostProvider()
	nets := map[pb.NetMode]network.Provider{pb.NetMode_UNSET: here, pb.NetMode_HOST: here, pb.NetMode_NONE: network.NewNoneProvider()}
	exe, err := newExecutor(filepath.Join(root, "executor"), runc, nets)
	if err != nil {
		return nil, err
	}
	blobs, err := local.NewStore(filepath.Join(root, "content"))
	if err != nil {
		return nil, fmt.Errorf("open the layers of former builds: %w", err)
	}
	db, err := bbolt.Open(filepath.Join(root, "containerd.db"), 0o600, nil)
	if err != nil {
		return nil, fmt.Errorf("open the records of former builds: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, db.Close())
		}
	}()
	meta := metadata.NewDB(db, blobs, map[string]snapshots.Snapshotter{name: snaps})
	if err := meta.Init(ctx); err != nil {
		return nil, fmt.Errorf("open the records of former builds: %w", err)
	}
	cache, err := cachemeta.NewStore(filepath.Join(root, "cache.db"))
	if err != nil {
		return nil, fmt.Errorf("open the records of the cache: %w", err)
	}
	content := snapshot.NewContentStore(meta.ContentStore(), namespace)
	return &store{db: db, opt: base.WorkerOpt{
		ID: id, Root: root, MetadataStore: cache, Executor: exe,
		Labels:           map[string]string{},
		NetworkProviders: nets,
		Snapshotter:      snapshot.NewSnapshotter(name, meta.Snapshotter(name), namespace, nil),
		ContentStore:     content,
		Applier:          apply.NewFileSystemApplier(content),
		Differ:           walking.NewWalkingDiff(content),
		RegistryHosts:    hosts,
		Platforms:        []ocispecs.Platform{platforms.Normalize(platforms.DefaultSpec())},
		LeaseManager:     leaseutil.WithNamespace(metadata.NewLeaseManager(meta), namespace),
		GarbageCollect:   meta.GarbageCollect,
		MountPoolRoot:    filepath.Join(root, "cachemounts"),
		GCPolicy:         []client.PruneInfo{{All: true, MaxUsedSpace: most}},
	}}, nil
}

// snapshotter returns overlayfs where the kernel has it in user namespaces, or
// else what copies all files of a layer for the next.
func snapshotter(dir string) (name string, s snapshots.Snapshotter, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return "", nil, fmt.Errorf("make the folder of the cache: %w", err)
	}
	if err := overlayutils.Supported(dir); err == nil {
		s, err := overlay.NewSnapshotter(filepath.Join(dir, "overlayfs", "snapshots"))
		return "overlayfs", s, err
	}
	s, err = native.NewSnapshotter(filepath.Join(dir, "native", "snapshots"))
	return "native", s, err
}

// executor runs steps with runc, within the cgroup and the network that we are in.
func newExecutor(dir, runc string, nets map[pb.NetMode]network.Provider) (executor.Executor, error) {
	exe, err := runcexecutor.New(runcexecutor.Opt{Root: dir, CommandCandidates: []string{runc}, Rootless: true, ProcessMode: oci.ProcessSandbox}, nets)
	if err != nil {
		return nil, fmt.Errorf("prepare to run steps: %w", err)
	}
	return exe, nil
}

func (s *store) close() error { return s.db.Close() }
