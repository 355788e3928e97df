package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"

	"github.com/moby/buildkit/client"
	"github.com/moby/buildkit/exporter"
	"github.com/moby/buildkit/frontend"
	"github.com/moby/buildkit/frontend/dockerfile/builder"
	"github.com/moby/buildkit/frontend/gateway/forwarder"
	"github.com/moby/buildkit/identity"
	"github.com/moby/buildkit/session"
	"github.com/moby/buildkit/session/filesync"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/bboltcachestorage"
	"github.com/moby/buildkit/solver/llbsolver"
	"github.com/moby/buildkit/solver/llbsolver/history"
	"github.com/moby/buildkit/util/progress/progressui"
	"github.com/moby/buildkit/worker"
	"github.com/moby/buildkit/worker/base"
	"github.com/opencontainers/go-digest"
	"github.com/tonistiigi/fsutil"
	"go.etcd.io/bbolt"

	"lattice/app"
	"lattice/cells/source"
)

// An engine is BuildKit's solver, for one build.
type engine struct {
	worker   *base.Worker
	solver   *llbsolver.Solver
	sessions *session.Manager
	files    []io.Closer
}

// newEngine takes over s.
func newEngine(ctx context.Context, s *store) (_ *engine, err error) {
	e := &engine{}
	defer func() {
		if err != nil {
			err = errors.Join(fmt.Errorf("open the cache of former builds: %w", err), e.closeFiles())
		}
	}()
	if e.worker, err = base.NewWorker(ctx, s.opt); err != nil {
		return nil, err
	}
	e.files = append(e.files, e.worker)
	var all worker.Controller
	if err := all.Add(e.worker); err != nil {
		return nil, err
	}
	keys, err := bboltcachestorage.NewStore(filepath.Join(s.opt.Root, "keys.db"))
	if err != nil {
		return nil, err
	}
	e.files = append(e.files, keys)
	// The solver asks it for former builds, of which we keep none.
	past, err := bbolt.Open(filepath.Join(s.opt.Root, "history.db"), 0o600, nil)
	if err != nil {
		return nil, err
	}
	e.files = append(e.files, past)
	queue, err := history.NewQueue(history.QueueOpt{
		DB: past, LeaseManager: s.opt.LeaseManager, ContentStore: s.opt.ContentStore,
		GarbageCollect: e.worker.GarbageCollect, GracefulStop: ctx.Done(),
	})
	if err != nil {
		return nil, err
	}
	if e.sessions, err = session.NewManager(); err != nil {
		return nil, err
	}
	e.solver, err = llbsolver.New(llbsolver.Opt{
		CacheManager:     solver.NewCacheManager(ctx, "local", keys, worker.NewCacheResultStorage(&all)),
		Frontends:        map[string]frontend.Frontend{"dockerfile.v0": forwarder.NewGatewayForwarder(all.Infos(), builder.Build)},
		SessionManager:   e.sessions,
		WorkerController: &all,
		HistoryQueue:     queue,
	})
	return e, err
}

// close keeps what the next build may need, and not more than was said.
func (e *engine) close(ctx context.Context) error {
	gone := make(chan client.UsageInfo)
	go func() {
		for range gone { // nobody wants to know
		}
	}()
	err := e.worker.Prune(ctx, gone, e.worker.GCPolicy()...)
	close(gone)
	return errors.Join(err, e.solver.Close(), e.closeFiles())
}

func (e *engine) closeFiles() (err error) {
	for _, f := range e.files {
		err = errors.Join(err, f.Close())
	}
	return err
}

// options are what the frontend for Dockerfiles is told.
func options(b app.Build) map[string]string {
	o := map[string]string{
		"filename": b.DockerfilePath(),
		"cmdline":  "", // a "# syntax=" line would fetch another frontend: this one knows all that the stable ones do
	}
	if b.Target != "" {
		o["target"] = b.Target
	}
	if b.NoCache {
		o["no-cache"] = ""
	}
	for name, value := range b.Args {
		o["build-arg:"+name] = value
	}
	return o
}

// solve builds what is in dir, pushes it, and returns the digest.
func (e *engine) solve(ctx context.Context, order app.BuildOrder, dir string, out io.Writer) (string, error) {
	s, err := e.share(ctx, dir)
	if err != nil {
		return "", err
	}
	defer s.Close()
	to, err := e.worker.Exporter(client.ExporterImage, e.sessions)
	if err != nil {
		return "", err
	}
	push, err := to.Resolve(ctx, 0, map[string]string{"name": app.FullImage(order.Image), "push": "true", "oci-mediatypes": "true"})
	if err != nil {
		return "", err
	}
	before := source.OOMKills()
	id, heard := identity.NewID(), &record{steps: map[digest.Digest]*step{}}
	shown := make(chan error, 1)
	go func() { shown <- e.show(context.WithoutCancel(ctx), id, heard, out) }()
	done, err := e.solver.Solve(ctx, id, s.ID(), frontend.SolveRequest{Frontend: "dockerfile.v0", FrontendOpt: options(order.Build)}, 0,
		llbsolver.ExporterRequest{Exporters: []exporter.ExporterInstance{push}}, nil, nil, true, nil, "")
	if shownErr := <-shown; err == nil {
		err = shownErr
	}
	if err != nil {
		return "", heard.explain(err, order.MemoryMB, source.OOMKills() > before)
	}
	return done.ExporterResponse["containerimage.digest"], nil
}

// share makes the session by which the solver reads the source.
func (e *engine) share(ctx context.Context, dir string) (*session.Session, error) {
	files, err := fsutil.NewFS(dir)
	if err != nil {
		return nil, err
	}
	s, err := session.NewSession(ctx, "source")
	if err != nil {
		return nil, err
	}
	s.Allow(filesync.NewFSSyncProvider(filesync.StaticDirSource{"context": files, "dockerfile": files}))
	go func() {
		_ = s.Run(ctx, func(ctx context.Context, _ string, meta map[string][]string) (net.Conn, error) {
			here, there := net.Pipe()
			go func() { _ = e.sessions.HandleConn(ctx, there, meta) }() // until the session is closed
			return here, nil
		})
	}()
	return s, nil
}

// show prints what the build does, and takes note of it.
func (e *engine) show(ctx context.Context, id string, heard *record, out io.Writer) error {
	d, err := progressui.NewDisplay(named{out}, progressui.PlainMode)
	if err != nil {
		return err
	}
	told, shown := make(chan *client.SolveStatus), make(chan *client.SolveStatus)
	asked := make(chan error, 1)
	go func() { asked <- e.solver.Status(ctx, id, told) }() // waits for the build to begin
	go func() {
		defer close(shown)
		for st := range told {
			heard.hear(st)
			shown <- st
		}
	}()
	_, err = d.UpdateFrom(ctx, shown)
	return errors.Join(err, <-asked)
}
