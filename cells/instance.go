package cells

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"lattice/app"
)

const (
	// tidyTime bounds the removal of a container.
	tidyTime = 30 * time.Second

	// settle is between the report that an instance stops and its stop signal:
	// by then every router has dropped it, so that none sends it a request that
	// it would refuse. A router has a new table within a few milliseconds of the
	// report; the rest is for a machine that is busy.
	settle = 200 * time.Millisecond
)

// An instance is led through its life by one goroutine, run.
type instance struct {
	agent  *Agent
	cancel context.CancelCauseFunc // ends run; with errUnwanted it also stops the container
	fresh  bool                    // not on disk yet

	// Of this process's own clock, which nobody can set.
	retryAt   time.Time // when the next start is due
	healthyAt time.Time // since when the container has been healthy; zero: it is not yet

	writing sync.Mutex // held while the record is written; taken before mu

	mu       sync.Mutex // guards what follows; rec is written by run only, and by check while the container runs
	rec      record
	owner    owner // of the record when it is written
	view     app.Instance
	lastCPU  time.Duration
	lastTime time.Time
}

func newInstance(a *Agent, rec record) *instance {
	as, now := rec.Assignment, time.Now()
	in := &instance{agent: a, rec: rec, owner: owner{rec.Store, as.App}, retryAt: now.Add(still(rec.RetryAt, now)), view: app.Instance{
		ID: as.ID, App: as.App.Name, Index: as.Index, Revision: as.App.Revision, GUID: rec.GUID, Cell: a.cfg.ID,
		State: app.Claimed, Since: now.UTC(), Crashes: rec.Crashes, Reason: rec.Reason, Cause: rec.Cause, RetryAt: rec.RetryAt, Host: a.cfg.Host,
		MemoryMB: as.App.MemoryMB, DiskMB: as.App.DiskMB,
	}}
	in.showLease(rec.Lease)
	switch run := rec.Run; {
	case as.Task != nil:
		in.view.Task = &run
		if !run.StartedAt.IsZero() {
			in.view.State, in.view.Since = app.Running, run.StartedAt
		}
	case rec.GUID == "" && in.retryAt.After(now):
		in.view.State, in.view.RetryAt = app.Crashed, in.retryAt.UTC()
	case !rec.HealthyAt.IsZero():
		in.healthyAt = now.Add(-ago(rec.HealthyAt, now))
		in.view.State, in.view.Since, in.view.Unready = app.Running, rec.HealthyAt, rec.Unready
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
// with a pause after a bad end. life is the agent's.
func (in *instance) run(life, ctx context.Context) {
	if in.isTask() {
		in.runTask(life, ctx)
		return
	}
	if in.fresh {
		in.note(func(*record) {}) // so that it is started without the brain, too
	}
	for sleep(ctx, time.Until(in.retryAt)) {
		var err error
		if in.rec.GUID == "" {
			err = in.start(ctx)
		}
		ran := err == nil
		if ran {
			err = in.live(ctx)
		}
		if ctx.Err() != nil || !in.crashed(ctx, ran, err) {
			break
		}
	}
	if errors.Is(context.Cause(ctx), errUnwanted) {
		in.end(life)
	}
}

// isTask reports whether in is an attempt of a task.
func (in *instance) isTask() bool { return in.rec.Assignment.Task != nil }

// live is the life of a container that was started, by us or by a former process
// of ours, to its end. It returns what ended it.
func (in *instance) live(ctx context.Context) error {
	ended := make(chan error, 1)
	waiting, stopWaiting := context.WithCancel(ctx)
	defer stopWaiting()
	go func() { ended <- in.wait(waiting) }()
	ill := make(chan error, 2)
	watching, stopWatching := context.WithCancel(ctx)
	defer stopWatching()
	go func() { ill <- in.check(watching) }()
	go func() { ill <- in.watchDisk(watching) }()
	select {
	case err := <-ended:
		stopWatching()
		<-ill
		<-ill
		return err
	case err := <-ill:
		stopWatching()
		<-ill
		if ctx.Err() == nil {
			in.event("HEALTH", err.Error())
			in.show(func(v *app.Instance) { v.Unready, v.Reason, v.Cause = true, err.Error(), "" }) // no more requests while it stops
			in.stopContainer()
		}
		stopWaiting()
		<-ended
		return err
	}
}

// start makes the container.
func (in *instance) start(ctx context.Context) error {
	a, cfg := in.rec.Assignment.App, in.agent.cfg
	in.healthyAt = time.Time{}
	in.show(func(v *app.Instance) {
		v.State, v.Since, v.RetryAt, v.Unready = app.Claimed, time.Now().UTC(), time.Time{}, false
	})
	img, err := cfg.Runtime.Pull(ctx, a.Pulled(), func(p app.Pull) { in.show(func(v *app.Instance) { v.Pull = &p }) })
	if err != nil {
		return err
	}
	in.agent.has(a.Pulled())
	in.mu.Lock()
	in.view.Pull = nil // told with what comes next
	in.mu.Unlock()
	mounts, err := in.takeVolumes(ctx)
	if err != nil {
		return err
	}
	guid := app.NewGUID()
	lease, err := cfg.Network.Reserve(guid, in.ports(img))
	if err != nil {
		return fmt.Errorf("no address for the instance: %w", err)
	}
	if err := in.create(ctx, a, img, place{guid, cfg.Host, in.agent.domainNow(), in.rec.Assignment.Index, lease, mounts}); err != nil {
		return errors.Join(err, cfg.Network.Release(context.WithoutCancel(ctx), guid))
	}
	in.event("CELL", "started the container "+guid)
	return nil
}

// ports returns the container ports of the instance. A task has only those it
// asks for.
func (in *instance) ports(img Image) []int {
	a := in.rec.Assignment.App
	if in.isTask() {
		return a.Ports
	}
	return ports(a, img)
}

// create writes down what will run and then runs it, so that a crash of ours
// in between leaves nothing unknown. What can't be written down is not run. A
// task is started though ctx ends meanwhile, for it would not be started again.
func (in *instance) create(ctx context.Context, a app.App, img Image, p place) error {
	s, err := spec(a, img, p)
	if err != nil {
		return err
	}
	s.Build = in.buildKind()
	done, err := in.agent.takeTurn(ctx, func() bool { return in.rec.patient() || in.agent.doubts(a) })
	if err != nil {
		return err
	}
	defer done()
	err = in.keep(func(r *record) {
		r.GUID, r.Lease, r.StopSignal, r.HealthyAt, r.Unready, r.RetryAt = p.guid, p.lease, s.StopSignal, time.Time{}, false, time.Time{}
		if in.isTask() {
			r.Run.StartedAt = time.Now().UTC()
		}
	})
	if err != nil {
		in.mu.Lock()
		defer in.mu.Unlock()
		in.rec.GUID, in.rec.Lease, in.rec.Run = "", Lease{}, app.TaskRun{}
		return err
	}
	if in.isTask() {
		ctx = context.WithoutCancel(ctx)
	}
	err = in.agent.cfg.Runtime.Start(ctx, s)
	if in.agent.started(a, err); err != nil {
		return err
	}
	in.show(func(v *app.Instance) {
		v.GUID = p.guid
		in.showLease(p.lease)
		if run := in.rec.Run; in.isTask() {
			v.State, v.Since, v.Task = app.Running, run.StartedAt, &run
		}
	})
	return nil
}

// buildKind says what of a build the container is.
func (in *instance) buildKind() BuildKind {
	switch t := in.rec.Assignment.Task; {
	case t == nil || t.Build == nil:
		return ""
	case t.Build.Builder != "":
		return BuildBuildpacks
	}
	return BuildDockerfile
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

// crashed counts a bad end, says why it was, removes what is left of the
// container, and notes until when to wait. It returns false if ctx ended first.
func (in *instance) crashed(ctx context.Context, ran bool, cause error) bool {
	var healthy time.Duration
	if !in.healthyAt.IsZero() {
		healthy = time.Since(in.healthyAt)
	}
	count := in.rec.tally.next(ran, healthy)
	pause, reason := count.pause(ran), explain(cause, in.agent.cfg.ID)
	in.retryAt = time.Now().Add(pause)
	retryAt, kind := in.retryAt.UTC(), causeOf(cause)
	// Before the container is removed, which takes a while: it can't be reached any more.
	in.show(func(v *app.Instance) {
		v.State, v.Since, v.GUID, v.Unready, v.Pull = app.Crashed, time.Now().UTC(), "", false, nil
		v.MemoryBytes, v.CPUPercent, v.DiskBytes = 0, 0, 0
		v.Crashes, v.Reason, v.Cause, v.RetryAt = count.Crashes, reason, kind, retryAt
		in.showLease(Lease{})
	})
	in.event("CELL", fmt.Sprintf("crashed (%d): %s; %s", count.Crashes, reason, again(pause)))
	in.agent.cfg.Log.Info("instance crashed", "app", in.rec.Assignment.App.Name, "instance", in.rec.Assignment.Index, "reason", reason)
	if !in.removeContainer(ctx) {
		return false
	}
	in.note(func(r *record) {
		r.tally, r.Reason, r.Cause, r.RetryAt = count, reason, kind, retryAt
		r.GUID, r.Lease, r.HealthyAt, r.Unready = "", Lease{}, time.Time{}, false
	})
	return true
}

// end stops the container for good and forgets the instance. It tries until it
// succeeds, for something half removed would be lost sight of; or until life
// ends: the record stays, and the next process goes on with it.
func (in *instance) end(life context.Context) {
	routed := in.snapshot().State == app.Running && !in.isTask()
	in.show(func(v *app.Instance) { v.Stopping = true })
	if in.rec.GUID != "" {
		if routed {
			sleep(life, settle)
		}
		in.event("CELL", "stopping the container")
		in.stopContainer()
		if !in.removeContainer(life) {
			return
		}
	}
	if err := in.agent.records.remove(in.rec.Assignment.ID); err != nil {
		in.agent.cfg.Log.Error("instance not forgotten", "err", err)
	}
	in.agent.forget(in)
}

func (in *instance) stopContainer() {
	grace := time.Duration(in.rec.Assignment.App.StopGrace)
	ctx, cancel := context.WithTimeout(context.Background(), grace+tidyTime)
	defer cancel()
	if err := in.agent.cfg.Runtime.Stop(ctx, in.rec.GUID, or(in.rec.StopSignal, "SIGTERM"), grace); err != nil {
		in.agent.cfg.Log.Warn("container did not stop, removing it", "guid", in.rec.GUID, "err", err)
	}
}

// removeContainer removes the container, if there is one, and returns true. What
// keeps it from that, such as a full disk, may go away, so it tries again until
// ctx is done.
func (in *instance) removeContainer(ctx context.Context) bool {
	if in.rec.GUID == "" {
		return true
	}
	wait := retry{first: time.Second, last: time.Minute}
	for {
		err := in.removeOnce()
		if err == nil {
			return true
		}
		in.agent.cfg.Log.Error("container not removed, will try again", "guid", in.rec.GUID, "err", err)
		if wait.sleep(ctx); ctx.Err() != nil {
			return false
		}
	}
}

func (in *instance) removeOnce() error {
	ctx, cancel := context.WithTimeout(context.Background(), tidyTime)
	defer cancel()
	return in.agent.cfg.Runtime.Remove(ctx, in.rec.GUID)
}

// keep changes the record and writes it.
func (in *instance) keep(change func(*record)) error {
	in.writing.Lock()
	defer in.writing.Unlock()
	in.mu.Lock()
	change(&in.rec)
	rec := in.rec
	rec.Store, rec.Assignment.App = in.owner.store, in.owner.app
	in.mu.Unlock()
	return in.agent.records.save(rec)
}

// note is keep for what a restart of the cell can do without: it would start the
// instance anew, or probe it anew.
func (in *instance) note(change func(*record)) {
	if err := in.keep(change); err != nil {
		in.agent.cfg.Log.Error("instance not written down", "app", in.rec.Assignment.App.Name, "instance", in.rec.Assignment.Index, "err", err)
	}
}

// show changes what is reported and asks for a report.
func (in *instance) show(change func(*app.Instance)) {
	in.mu.Lock()
	change(&in.view)
	in.mu.Unlock()
	in.agent.changed()
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
