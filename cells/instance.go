package cells

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lattice/app"
)

// tidyTime bounds the removal of a container.
const tidyTime = 30 * time.Second

// An instance is led through its life by one goroutine, run.
type instance struct {
	agent  *Agent
	cancel context.CancelCauseFunc // ends run; with errUnwanted it also stops the container

	mu       sync.Mutex // guards what follows; rec is written by run only
	rec      record
	view     app.Instance
	lastCPU  time.Duration
	lastTime time.Time
}

func newInstance(a *Agent, rec record) *instance {
	as := rec.Assignment
	in := &instance{agent: a, rec: rec, view: app.Instance{
		ID: as.ID, App: as.App.Name, Index: as.Index, Revision: as.App.Revision, GUID: rec.GUID, Cell: a.cfg.ID,
		State: app.Claimed, Since: time.Now().UTC(), Crashes: rec.Crashes, Reason: rec.Reason, RetryAt: rec.RetryAt, Host: a.cfg.Host,
	}}
	in.showLease(rec.Lease)
	switch {
	case rec.GUID == "" && rec.RetryAt.After(time.Now()):
		in.view.State = app.Crashed
	case !rec.HealthyAt.IsZero():
		in.view.State, in.view.Since = app.Running, rec.HealthyAt
	}
	return in
}

func (in *instance) showLease(l Lease) {
	in.view.Ports = l.Ports
	if in.view.IP = ""; l.IP.IsValid() {
		in.view.IP = l.IP.String()
	}
}

// run leads the instance until ctx is done: one container after the other,
// with a pause after a crash.
func (in *instance) run(ctx context.Context) {
	for sleep(ctx, time.Until(in.rec.RetryAt)) {
		err := in.live(ctx)
		if ctx.Err() != nil {
			break
		}
		in.crashed(err)
	}
	if errors.Is(context.Cause(ctx), errUnwanted) {
		in.end()
	}
}

// live is the life of one container, from its start, or from where a former
// process of ours left it, to its end. It returns what ended it.
func (in *instance) live(ctx context.Context) error {
	if in.rec.GUID == "" {
		if err := in.start(ctx); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- in.wait(ctx) }()
	ill := make(chan error, 1)
	go func() { ill <- in.check(ctx) }()
	select {
	case err := <-ended:
		cancel()
		<-ill
		return err
	case err := <-ill:
		if ctx.Err() == nil {
			in.event("HEALTH", err.Error())
			in.stopContainer()
		}
		cancel()
		<-ended
		return err
	}
}

// start makes the container.
func (in *instance) start(ctx context.Context) error {
	a, cfg := in.rec.Assignment.App, in.agent.cfg
	in.show(func(v *app.Instance) { v.State, v.Since, v.RetryAt = app.Claimed, time.Now().UTC(), time.Time{} })
	img, err := cfg.Runtime.Pull(ctx, a.Image, func(p app.Pull) { in.show(func(v *app.Instance) { v.Pull = &p }) })
	in.show(func(v *app.Instance) { v.Pull = nil })
	if err != nil {
		return err
	}
	guid := app.NewGUID()
	lease, err := cfg.Network.Reserve(guid, ports(a, img))
	if err != nil {
		return fmt.Errorf("no address for the instance: %w", err)
	}
	if err := in.create(ctx, a, img, place{guid, cfg.Host, in.agent.domainNow(), in.rec.Assignment.Index, lease}); err != nil {
		return errors.Join(err, cfg.Network.Release(context.WithoutCancel(ctx), guid))
	}
	in.event("CELL", "started the container "+guid)
	return nil
}

// create writes down what will run and then runs it, so that a crash of ours
// in between leaves nothing unknown.
func (in *instance) create(ctx context.Context, a app.App, img Image, p place) error {
	s, err := spec(a, img, p)
	if err != nil {
		return err
	}
	in.keep(func(r *record) {
		r.GUID, r.Lease, r.StopSignal, r.HealthyAt, r.RetryAt = p.guid, p.lease, s.StopSignal, time.Time{}, time.Time{}
	})
	select {
	case in.agent.starts <- struct{}{}:
		defer func() { <-in.agent.starts }()
	case <-ctx.Done():
		return ctx.Err()
	}
	if err := in.agent.cfg.Runtime.Start(ctx, s); err != nil {
		return err
	}
	in.show(func(v *app.Instance) { v.GUID = p.guid; in.showLease(p.lease) })
	return nil
}

// wait returns how the container's process ended.
func (in *instance) wait(ctx context.Context) error {
	exit, err := in.agent.cfg.Runtime.Wait(ctx, in.rec.GUID)
	if errors.Is(err, app.ErrNotFound) {
		return errors.New("the container is gone: somebody removed it")
	}
	if err != nil {
		return err
	}
	return errors.New(exit.reason(in.rec.Assignment.App.MemoryMB))
}

// check probes the instance until it is healthy, and from then on until it no
// longer is. It returns what is wrong with it.
func (in *instance) check(ctx context.Context) error {
	if in.rec.HealthyAt.IsZero() {
		if err := in.becomeHealthy(ctx); err != nil {
			return err
		}
		now := time.Now().UTC()
		in.keep(func(r *record) { r.HealthyAt = now })
		in.event("HEALTH", "the instance is healthy")
		in.show(func(v *app.Instance) { v.State, v.Since, v.Reason = app.Running, now, in.rec.Reason })
	}
	return in.stayHealthy(ctx)
}

func (in *instance) becomeHealthy(ctx context.Context) error {
	a := in.rec.Assignment.App
	limit := time.Duration(a.StartTimeout)
	if limit <= 0 {
		limit = app.DefaultStartTimeout
	}
	deadline := time.Now().Add(limit)
	shown := ""
	for d := nextProbe(0); ; d = nextProbe(d) {
		err := in.agent.probes.probe(ctx, a, in.rec.Lease)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not healthy within %s: %w", limit, err)
		}
		if d == startProbe && err.Error() != shown { // by now a person may wonder
			shown = err.Error()
			in.show(func(v *app.Instance) { v.Reason = "not healthy yet: " + shown })
		}
		if !sleep(ctx, d) {
			return ctx.Err()
		}
	}
}

func (in *instance) stayHealthy(ctx context.Context) error {
	for misses := 0; sleep(ctx, liveProbe); {
		err := in.agent.probes.probe(ctx, in.rec.Assignment.App, in.rec.Lease)
		if err == nil {
			misses = 0
			continue
		}
		if misses++; misses == liveMisses {
			return fmt.Errorf("no longer healthy, %d checks failed in a row: %w", misses, err)
		}
	}
	return ctx.Err()
}

// crashed cleans up after a container and notes why and until when to wait.
func (in *instance) crashed(cause error) {
	in.removeContainer()
	in.keep(func(r *record) {
		var healthy time.Duration
		if !r.HealthyAt.IsZero() {
			healthy = time.Since(r.HealthyAt)
		}
		r.Crashes, r.Reason = countCrash(r.Crashes, healthy), cause.Error()
		r.GUID, r.Lease, r.HealthyAt = "", Lease{}, time.Time{}
		r.RetryAt = time.Now().UTC().Add(pause(r.Crashes))
	})
	rec := in.rec
	in.show(func(v *app.Instance) {
		v.State, v.Since, v.GUID, v.MemoryBytes, v.CPUPercent = app.Crashed, time.Now().UTC(), "", 0, 0
		v.Crashes, v.Reason, v.RetryAt = rec.Crashes, rec.Reason, rec.RetryAt
		in.showLease(Lease{})
	})
	in.event("CELL", fmt.Sprintf("crashed (%d): %s; next start in %s", rec.Crashes, rec.Reason, time.Until(rec.RetryAt).Round(time.Second)))
	in.agent.cfg.Log.Info("instance crashed", "app", rec.Assignment.App.Name, "instance", rec.Assignment.Index, "reason", rec.Reason)
}

// end stops the container for good and forgets the instance. It tries until
// it succeeds: something half removed would be lost sight of.
func (in *instance) end() {
	in.show(func(v *app.Instance) { v.Stopping = true })
	if in.rec.GUID != "" {
		in.event("CELL", "stopping the container")
		in.stopContainer()
		in.removeContainer()
	}
	if err := in.agent.records.remove(in.rec.Assignment.ID); err != nil {
		in.agent.cfg.Log.Error("instance not forgotten", "err", err)
	}
	in.agent.forget(in.rec.Assignment.ID)
}

func (in *instance) stopContainer() {
	grace := time.Duration(in.rec.Assignment.App.StopGrace)
	ctx, cancel := context.WithTimeout(context.Background(), grace+tidyTime)
	defer cancel()
	if err := in.agent.cfg.Runtime.Stop(ctx, in.rec.GUID, or(in.rec.StopSignal, "SIGTERM"), grace); err != nil {
		in.agent.cfg.Log.Warn("container did not stop, removing it", "guid", in.rec.GUID, "err", err)
	}
}

func (in *instance) removeContainer() {
	if in.rec.GUID == "" {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), tidyTime)
	defer cancel()
	if err := in.agent.cfg.Runtime.Remove(ctx, in.rec.GUID); err != nil {
		in.agent.cfg.Log.Error("container not removed, the next start of the cell will try again", "guid", in.rec.GUID, "err", err)
	}
}

// keep changes the record and writes it.
func (in *instance) keep(change func(*record)) {
	in.mu.Lock()
	change(&in.rec)
	rec := in.rec
	in.mu.Unlock()
	if err := in.agent.records.save(rec); err != nil {
		in.agent.cfg.Log.Error("instance not written down; a restart of the cell will start it anew", "app", rec.Assignment.App.Name, "err", err)
	}
}

// show changes what is reported and asks for a report.
func (in *instance) show(change func(*app.Instance)) {
	in.mu.Lock()
	change(&in.view)
	in.mu.Unlock()
	in.agent.changed()
}

func (in *instance) setStray(stray bool) {
	in.mu.Lock()
	defer in.mu.Unlock()
	in.view.Stray = stray
}

// snapshot returns what is reported.
func (in *instance) snapshot() app.Instance {
	in.mu.Lock()
	defer in.mu.Unlock()
	return in.view
}

func (in *instance) event(source, text string) {
	if in.agent.cfg.Event != nil {
		as := in.rec.Assignment
		in.agent.cfg.Event(as.ID, as.App.Name, as.Index, source, text)
	}
}

// measure refreshes what the instance uses.
func (in *instance) measure(ctx context.Context) {
	v := in.snapshot()
	if v.State != app.Running {
		return
	}
	u, err := in.agent.cfg.Runtime.Usage(ctx, v.GUID)
	if err != nil {
		return // it is ending, or the figures of the next round will do
	}
	now := time.Now()
	in.mu.Lock()
	defer in.mu.Unlock()
	if !in.lastTime.IsZero() && u.CPU >= in.lastCPU {
		in.view.CPUPercent = 100 * float64(u.CPU-in.lastCPU) / float64(now.Sub(in.lastTime))
	}
	in.view.MemoryBytes, in.lastCPU, in.lastTime = u.MemoryBytes, u.CPU, now
}
