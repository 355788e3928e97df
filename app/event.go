package app

import (
	"context"
	"slices"
	"strings"
	"time"
)

// An Event is something that happened in the cluster, for people to read and
// for views to follow. Nothing is decided by events: what is wanted is in the
// store, what is so comes with reports.
type Event struct {
	Seq      uint64    `json:"seq"`                // of the journal, which sets it; grows, with gaps
	At       time.Time `json:"at"`                 // zero when emitted: now
	Kind     string    `json:"kind"`               // noun.verb; one of the constants
	App      string    `json:"app,omitempty"`      // the app, task, cell and instance it is about; empty: none
	Task     string    `json:"task,omitempty"`     //
	Cell     string    `json:"cell,omitempty"`     //
	Instance string    `json:"instance,omitempty"` // ID of the Placement
	Index    int       `json:"index"`              // of the instance; NoIndex: not about one
	GUID     string    `json:"guid,omitempty"`     // of the container, as its log lines have it
	Actor    string    `json:"actor,omitempty"`    // the person or token that wanted it; empty: lattice by itself
	Message  string    `json:"message"`            // one sentence in plain English; never a secret
	Count    int       `json:"count,omitempty"`    // how many like it this one stands for; 0 and 1: itself
}

// NoIndex is the Index of an Event that is not about one instance.
const NoIndex = -1

// The kinds of events. Who reads them must put up with others.
const (
	AppCreated = "app.created"
	AppUpdated = "app.updated"
	AppScaled  = "app.scaled"
	AppStopped = "app.stopped"
	AppStarted = "app.started"
	AppRemoved = "app.removed"

	RolloutStarted  = "rollout.started"
	RolloutWaiting  = "rollout.paused" // a canary waits for a person
	RolloutGoesOn   = "rollout.promoted"
	RolloutFinished = "rollout.done"
	RolloutUndone   = "rollout.failed"

	RebalanceStarted = "rebalance.started" // Message: how many instances shall move
	RebalanceEnded   = "rebalance.ended"

	InstancePlaced    = "instance.placed"  // Message: why there
	InstanceMoved     = "instance.moved"   // goes to another cell, so that all are used evenly; Message: from which, and why
	InstanceRefused   = "instance.refused" // fits nowhere; Message: why
	InstanceDropped   = "instance.dropped" // no longer placed; Message: why
	InstanceClaimed   = "instance.claimed" // its cell starts it
	InstancePulling   = "instance.pulling"
	InstanceLaunched  = "instance.started"     // its container runs, and is not healthy yet
	InstanceRunning   = "instance.running"     // healthy
	InstanceUnready   = "instance.unready"     // runs, but is not routed
	InstanceReady     = "instance.ready"       // routed again
	InstanceCrashed   = "instance.crashed"     // Message: exit code or error
	InstanceCutOff    = "instance.unreachable" // healthy for its cell, but the router can't connect to it
	InstanceStopping  = "instance.stopping"
	InstanceStopped   = "instance.stopped"
	InstanceRestarted = "instance.restarted" // a person wants a new container in its place

	TaskSubmitted = "task.submitted"
	TaskPlaced    = "task.placed"
	TaskRefused   = "task.refused"
	TaskStarted   = "task.started"
	TaskSucceeded = "task.succeeded"
	TaskFailed    = "task.failed"
	TaskCancelled = "task.cancelled"
	TaskDeleted   = "task.deleted"

	ScheduleFired   = "schedule.fired"   // made the Task
	ScheduleSkipped = "schedule.skipped" // Message: which, and why

	CellJoined    = "cell.joined" // or came back after it was gone
	CellSuspected = "cell.suspect"
	CellDied      = "cell.dead"
	CellBack      = "cell.back" // suspect no longer
	CellGone      = "cell.gone" // nothing is placed on it any more
	CellDrains    = "cell.draining"
	CellUndrained = "cell.undrained"
	CellRevoked   = "cell.revoked"

	VolumeCreated = "volume.created" // Message: which
	VolumeMoved   = "volume.moved"   // another cell has it now
	VolumeRemoved = "volume.removed"

	SessionOpened = "session.opened" // ssh and exec
	SessionClosed = "session.closed"

	FeatureEnabled  = "feature.enabled"
	FeatureDisabled = "feature.disabled"

	BrainStarted = "brain.started"

	EventsLost = "events.lost" // Message: how many, and why

	AuditNoun = "audit" // audit.VERB is a request that changed something, and that no other event has as its Actor's
)

type actorKey struct{}

// WithActor returns a context for what somebody wants to have done.
func WithActor(ctx context.Context, actor string) context.Context {
	return context.WithValue(ctx, actorKey{}, actor)
}

// ActorOf returns who wants to have done what ctx is for; "" is lattice itself.
func ActorOf(ctx context.Context) string {
	actor, _ := ctx.Value(actorKey{}).(string)
	return actor
}

// An EventQuery chooses events. An empty field chooses all.
type EventQuery struct {
	App  string
	Task string
	Cell string
	Kind string // a kind, or only its noun, such as "instance"; several with commas

	Since uint64 // only those with a higher Seq
	Lines int    // of them the newest; below 0: all that are kept
}

// Matches reports whether q chooses e, by all but Since and Lines. What was lost
// matters to every query.
func (q EventQuery) Matches(e Event) bool {
	if e.Kind == EventsLost {
		return true
	}
	return (q.App == "" || q.App == e.App) && (q.Task == "" || q.Task == e.Task) && (q.Cell == "" || q.Cell == e.Cell) &&
		(q.Kind == "" || slices.ContainsFunc(strings.Split(q.Kind, ","), func(k string) bool { return isKind(e.Kind, k) }))
}

func isKind(kind, wanted string) bool {
	rest, ok := strings.CutPrefix(kind, wanted)
	return ok && wanted != "" && (rest == "" || rest[0] == '.')
}
