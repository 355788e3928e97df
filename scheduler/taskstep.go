package scheduler

import (
	"fmt"
	"slices"
	"time"

	"lattice/app"
)

const (
	firstRetry = time.Second // after the first attempt that failed; doubles
	lastRetry  = time.Minute
)

// sighting is what is known of an attempt of a task.
type sighting struct {
	run  app.Instance // as its cell reports it; State is empty if it doesn't
	lost bool         // the cell has been dead for so long that nobody waits for it any more
}

// settleTask returns the task with what has become of its attempt, and whether
// that is news. It is pure.
func settleTask(t app.Task, seen sighting, now time.Time) (app.Task, bool) {
	cur := t.Current()
	if cur == nil {
		return t, false
	}
	run := seen.run
	switch {
	case run.State == app.Completed && run.Task != nil:
		return endAttempt(noteStart(t, run), *run.Task, run.Reason, now), true
	case seen.lost && cur.StartedAt.IsZero():
		return endAttempt(t, app.TaskRun{Failed: true}, fmt.Sprintf("cell %s was lost before it said that the task had started: it may have done its work, a part of it, or nothing", cur.Cell), now), true
	case seen.lost:
		return endAttempt(t, app.TaskRun{Failed: true}, fmt.Sprintf("cell %s was lost while the task was running there", cur.Cell), now), true
	case run.State == app.Running && cur.StartedAt.IsZero():
		t = noteStart(t, run)
		t.State = app.Running
		return t, true
	}
	return t, false
}

// change returns t with attempts that nobody else has, so that they may be changed.
func change(t app.Task) app.Task {
	t.Attempts = slices.Clone(t.Attempts)
	return t
}

// noteStart notes when and as what the attempt started.
func noteStart(t app.Task, run app.Instance) app.Task {
	t = change(t)
	if last := t.Last(); last.StartedAt.IsZero() {
		last.StartedAt, last.GUID = run.Task.StartedAt, run.GUID
		t.StartedAt = last.StartedAt
	}
	return t
}

// endAttempt notes how the attempt ended, and with it the task, unless there is
// to be another one.
func endAttempt(t app.Task, run app.TaskRun, reason string, now time.Time) app.Task {
	t = change(t)
	if len(run.Result) > app.MaxResultBytes { // only a cell that doesn't keep to the rules says so
		run.Result, run.Failed, reason = "", true, fmt.Sprintf("no result: it has more than %d bytes", app.MaxResultBytes)
	}
	last := t.Last()
	last.EndedAt, last.Failed, last.Reason, last.ExitCode, last.LogLines = run.EndedAt, run.Failed, reason, run.ExitCode, run.LogLines
	if last.EndedAt.IsZero() {
		last.EndedAt = now
	}
	if run.Failed && !t.Cancelled && len(t.Attempts) <= t.Retries {
		pause := retryPause(len(t.Attempts))
		t.State, t.RetryAt = app.Pending, now.Add(pause)
		t.Reason = fmt.Sprintf("attempt %d of %d failed: %s", len(t.Attempts), t.Retries+1, reason)
		return t
	}
	return completeTask(t, run, reason, now)
}

// completeTask ends a task.
func completeTask(t app.Task, run app.TaskRun, reason string, now time.Time) app.Task {
	t.State, t.Failed, t.Reason, t.ExitCode, t.Result = app.Completed, run.Failed, reason, run.ExitCode, run.Result
	t.EndedAt, t.RetryAt = now, time.Time{}
	if t.CallbackURL != "" {
		t.Callback = &app.Callback{NextAt: now}
	}
	return t
}

// cancelTask ends a task because a person, or its schedule, wants that. Its cell
// stops what runs.
func cancelTask(t app.Task, reason string, now time.Time) app.Task {
	t = change(t)
	t.Cancelled = true
	run := app.TaskRun{Failed: true, EndedAt: now}
	if t.Current() != nil {
		return endAttempt(t, run, reason, now)
	}
	return completeTask(t, run, reason, now)
}

// placeTask gives a task a cell.
func placeTask(t app.Task, cell string, now time.Time) app.Task {
	t = change(t)
	t.Attempts = append(t.Attempts, app.Attempt{ID: app.NewGUID(), Cell: cell, At: now})
	t.State, t.Reason, t.RetryAt, t.StartedAt = app.Claimed, "", time.Time{}, time.Time{}
	return t
}

// retryPause returns how long to wait after so many attempts failed.
func retryPause(attempts int) time.Duration {
	d := firstRetry
	for i := 1; i < attempts && d < lastRetry; i++ {
		d *= 2
	}
	return min(d, lastRetry)
}
