package cells

import (
	"context"
	"errors"
	"fmt"
	"time"

	"lattice/app"
)

// startTries is how often a task's container is made at most until its process
// has been started.
const startTries = 3

// runTask leads an attempt of a task to its end: one container, which is started
// at most once. What became of it is reported until nobody wants it any more.
func (in *instance) runTask(life, ctx context.Context) {
	if in.fresh {
		in.note(func(*record) {})
	}
	if in.rec.Run.EndedAt.IsZero() {
		if e, ok := in.attempt(ctx); ok {
			in.complete(e)
		}
	}
	if !in.rec.Run.EndedAt.IsZero() {
		in.bury(ctx)
	}
	<-ctx.Done()
	if errors.Is(context.Cause(ctx), errUnwanted) {
		in.end(life)
	}
}

// An ending is how an attempt ended: with an exit code, a reason why it failed,
// or both.
type ending struct {
	code   *int
	reason string // empty: it did not fail
	result string

	unstarted bool // it never ran
}

func failed(format string, args ...any) ending { return ending{reason: fmt.Sprintf(format, args...)} }

// attempt starts the container, unless that may have been done before, and
// waits for its end. It returns false if ctx ended first.
func (in *instance) attempt(ctx context.Context) (ending, bool) {
	before := !in.rec.Run.StartedAt.IsZero()
	switch {
	case before && in.rec.GUID == "":
		return failed("its container is gone: cell %s was stopped or cleared while the task was starting or running, so it may have done its work, a part of it, or nothing", in.agent.cfg.ID), true
	case !before && in.rec.Assignment.Task.Started:
		return failed("cell %s has lost what it knew of the task, which was running there: it may have done its work, a part of it, or nothing", in.agent.cfg.ID), true
	case !before:
		if err := in.startTask(ctx); err != nil {
			end := failed("%s", explain(err, in.agent.cfg.ID))
			end.unstarted = true
			return end, ctx.Err() == nil
		}
	}
	return in.watchTask(ctx)
}

// startTask starts the container. What goes wrong before there is a process, and
// is the fault of neither the task nor its image, such as what a crash of ours
// left behind, is tried again a few times.
func (in *instance) startTask(ctx context.Context) error {
	for try := 1; ; try++ {
		err := in.start(ctx)
		if err == nil || ctx.Err() != nil || try == startTries ||
			errors.Is(err, ErrImage) || errors.Is(err, ErrCommand) || errors.Is(err, ErrInDoubt) {
			return err
		}
		in.event("CELL", fmt.Sprintf("could not be started, trying again: %v", err))
		if in.rec.GUID != "" {
			if err := in.removeOnce(); err != nil {
				return err
			}
		}
		if err := in.keep(func(r *record) { r.GUID, r.Lease, r.Run = "", Lease{}, app.TaskRun{} }); err != nil {
			return err
		}
		if !sleep(ctx, failedPause) {
			return ctx.Err()
		}
	}
}

// watchTask waits for the end of the container, and brings it about when the
// time is over or there is too much on the disk.
func (in *instance) watchTask(ctx context.Context) (ending, bool) {
	watching, stop := context.WithCancel(ctx)
	ended, full := in.awaitExit(ctx), make(chan error, 1)
	go func() {
		full <- in.watchDisk(watching)
		close(full)
	}()
	defer func() {
		stop()
		for range full { // until it has ended
		}
	}()
	limit := time.Duration(in.rec.Assignment.Task.Timeout)
	var late <-chan time.Time
	if limit > 0 {
		timer := time.NewTimer(limit - ago(in.rec.Run.StartedAt, time.Now()))
		defer timer.Stop()
		late = timer.C
	}
	select {
	case how := <-ended:
		return in.exited(how), ctx.Err() == nil
	case err := <-full:
		if ctx.Err() != nil {
			return ending{}, false
		}
		in.stopTask(err.Error())
		return failed("%s, so it was stopped", err), true
	case <-late:
		in.stopTask(fmt.Sprintf("the task did not end within %s", limit))
		how := <-ended
		if how.err == nil && how.exit.At.Sub(in.rec.Run.StartedAt) < limit { // while nobody of us was there
			return in.exited(how), true
		}
		return failed("did not end within %s, so it was stopped", limit), ctx.Err() == nil
	}
}

// An outcome is how a container's process ended, or why nobody knows.
type outcome struct {
	exit Exit
	err  error
}

// awaitExit returns a channel that tells how the process has ended, or that ctx
// has.
func (in *instance) awaitExit(ctx context.Context) <-chan outcome {
	ended := make(chan outcome, 1)
	guid := in.rec.GUID
	go func() {
		exit, err := in.agent.cfg.Runtime.Wait(ctx, guid)
		ended <- outcome{exit, err}
	}()
	return ended
}

func (in *instance) stopTask(why string) {
	in.event("CELL", why+"; stopping the container")
	in.show(func(v *app.Instance) { v.Reason = why })
	in.stopContainer()
}

// exited returns the ending of a process that ended by itself, with what is in
// its result file.
func (in *instance) exited(how outcome) ending {
	if how.err != nil {
		return failed("%s", how.err)
	}
	end := ending{code: &how.exit.Code}
	if how.exit.Code != 0 || how.exit.OOMKilled {
		end.reason = how.exit.reason(in.rec.Assignment.App.MemoryMB)
	}
	file := in.rec.Assignment.Task.ResultFile
	if file == "" {
		return end
	}
	ctx, cancel := context.WithTimeout(context.Background(), tidyTime)
	defer cancel()
	data, err := in.agent.cfg.Runtime.ReadFile(ctx, in.rec.GUID, file, app.MaxResultBytes)
	end.result = string(data)
	if err != nil && end.reason == "" { // else what it failed of matters more
		end.reason = fmt.Sprintf("no result: %v", err)
	}
	return end
}

// complete writes down how the attempt ended.
func (in *instance) complete(e ending) {
	now := time.Now().UTC()
	change := func(r *record) {
		if e.unstarted {
			r.Run.StartedAt = time.Time{}
		}
		r.Run.EndedAt, r.Run.ExitCode, r.Run.Failed, r.Run.Result, r.Reason = now, e.code, e.reason != "", e.result, e.reason
	}
	text := "the task has ended with exit code 0"
	if e.reason != "" {
		text = "the task has failed: " + e.reason
	}
	in.event("CELL", text)
	in.agent.cfg.Log.Info("task ended", "task", in.rec.Assignment.App.Name, "reason", e.reason)
	in.note(change) // what is not on the disk can be found out again while the container is there
}

// bury removes the container of an attempt that has ended, and reports it. Before
// that its log is not whole.
func (in *instance) bury(ctx context.Context) {
	guid := in.rec.GUID
	var err error
	if guid != "" {
		err = in.removeOnce()
	}
	run := in.rec.Run
	if guid != "" && err == nil && in.agent.cfg.LogEnd != nil {
		run.LogLines = in.agent.cfg.LogEnd(guid)
	}
	in.show(func(v *app.Instance) {
		v.State, v.Since, v.Reason, v.Task, v.Pull = app.Completed, run.EndedAt, in.rec.Reason, &run, nil
		v.MemoryBytes, v.CPUPercent, v.DiskBytes = 0, 0, 0
	})
	if err == nil || in.removeContainer(ctx) {
		in.mu.Lock()
		in.rec.GUID = ""
		in.mu.Unlock()
		in.agent.releaseVolumes(in.view.ID) // though the attempt is reported for long
	}
}

// outdated reports whether in is an attempt that ended so long ago that it may
// be forgotten, though the brain it belongs to never asked for it.
func (in *instance) outdated(now time.Time) bool {
	in.mu.Lock()
	defer in.mu.Unlock()
	t, run := in.rec.Assignment.Task, in.view.Task
	return t != nil && in.view.Stray && !run.EndedAt.IsZero() && now.After(run.EndedAt.Add(max(time.Duration(t.TTL), app.DefaultTaskTTL)))
}
