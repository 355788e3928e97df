package api

import (
	"context"

	"lattice/app"
)

// Apps is the brain's desired state with what is known of it. All methods may
// be called concurrently; what they return must not be changed any more. Apps
// and counts that are given were validated as far as they can be without
// looking at other apps.
type Apps interface {
	// Create stores a new app. It is ErrExists if the name is taken.
	Create(ctx context.Context, a app.App) (app.App, error)

	// Status is ErrNotFound if there is no such app. Statuses is by name.
	Status(name string) (app.Status, error)
	Statuses() []app.Status

	Scale(ctx context.Context, name string, instances int) (app.App, error)
	// Remove also deletes the app's volumes if volumes is set.
	Remove(ctx context.Context, name string, volumes bool) error

	// Update makes a the whole new spec of the app of its name. It is
	// ErrConflict if the app has another Revision than a by now. What needs
	// new containers begins a rollout. The image keeps its digest unless it is
	// another one, or pull is set.
	Update(ctx context.Context, a app.App, o app.RolloutOptions, pull bool) (app.App, error)

	// Revisions has the newest first.
	Revisions(name string) ([]app.Revision, error)

	// Rollback goes back to a revision; 0 is the one before the current.
	Rollback(ctx context.Context, name string, revision uint64) (app.App, error)

	// Restart puts a new container in the place of one instance, or for an
	// index below 0 of all, a few at a time.
	Restart(ctx context.Context, name string, index int) (app.App, error)

	SetStopped(ctx context.Context, name string, stopped bool) (app.App, error)

	// Promote lets a canary that is paused go on. It is ErrConflict if there
	// is none.
	Promote(ctx context.Context, name string) (app.App, error)

	// SetFeature is ErrNotFound if there is none of that name. Features is by
	// name.
	Features() []app.Feature
	SetFeature(ctx context.Context, name string, enabled bool) (app.Feature, error)

	// RehearseCreate, RehearseUpdate and RehearseScale say what Create, Update
	// and Scale would lead to, and change nothing. Their errors are the same.
	RehearseCreate(ctx context.Context, a app.App) (app.Rehearsal, error)
	RehearseUpdate(ctx context.Context, a app.App, o app.RolloutOptions) (app.Rehearsal, error)
	RehearseScale(ctx context.Context, name string, instances int) (app.Rehearsal, error)

	// Changed returns a channel that is closed at the next change of
	// anything that Status, Statuses, or Cells's Cells and Strays return.
	// Get it before you read the state, then wait for it.
	Changed() <-chan struct{}
}

// Cells is the brain's side of the cells. All methods may be called
// concurrently; what they return must not be changed any more.
type Cells interface {
	Cells() []app.Cell                // by ID
	Counts() map[string]app.CellCount // by ID; those without instances may be missing
	Strays() []app.Instance           // by cell and GUID

	// Work is ErrNotFound if no such cell has joined.
	Work(cell string) (app.Work, error)

	// WorkChanged returns a channel that is closed at the next change of the
	// cell's work, or earlier.
	WorkChanged(cell string) <-chan struct{}

	Report(r app.Report) error

	// Drain moves the cell's instances away, at most maxInFlight at a time (0:
	// app.DefaultDrainInFlight), and gives it no new ones until Undrain.
	Drain(ctx context.Context, cell string, maxInFlight int) error
	Undrain(ctx context.Context, cell string) error

	// Balance is what Rebalance would move; Rebalance begins to, at most
	// maxInFlight at a time (0: app.DefaultRebalanceInFlight).
	Balance() app.Rebalancing
	Rebalance(ctx context.Context, maxInFlight int) (app.Rebalancing, error)
	StopRebalance(ctx context.Context) error

	// Adopt takes strays under management, Discard has them stopped: those of
	// one app, or all for "". They return what they did that with.
	Adopt(ctx context.Context, app string) ([]app.Instance, error)
	Discard(ctx context.Context, app string) ([]app.Instance, error)
}

// Volumes knows the named volumes of the cells. All methods may be called
// concurrently.
type Volumes interface {
	// Volumes is by app, name and index.
	Volumes() []app.VolumeStatus

	// RemoveVolume has a volume deleted after it has returned. It is ErrConflict
	// while an instance has it.
	RemoveVolume(ctx context.Context, id string) error
}

// Router is what leads requests to instances. Its method may be called
// concurrently.
type Router interface {
	// RouteStatuses is by host and path.
	RouteStatuses() []app.RouteStatus
}

// Routers are the routers on cells. All methods may be called concurrently.
type Routers interface {
	// FollowRouting calls fn with what the cell's router is to go by, and at each
	// change with what has changed, until ctx is done or fn fails.
	FollowRouting(ctx context.Context, cell string, fn func(app.Routing) error) error

	// ReportRouter takes what a router tells of itself.
	ReportRouter(r app.RouterReport) error

	// AppsCertificate returns a certificate, in PEM, with which the cell's router
	// can speak for the names in the request. It is ErrInvalid if one of them is
	// not under the cluster's domain.
	AppsCertificate(cell string, csr []byte) ([]byte, error)
}

// Logs keeps the newest lines of every app. All methods may be called
// concurrently.
type Logs interface {
	// Append takes over the lines. It drops those it already has.
	Append(lines []app.LogLine)

	// Cursors returns the last Seq it has of each of the GUIDs it knows.
	Cursors(guids []string) map[string]uint64

	// Tail returns the newest n lines of the app, oldest first; all for n < 0.
	Tail(app string, n int) []app.LogLine

	// Follow gives fn what Tail returns and then the lines as they come,
	// until ctx is done or fn returns an error, which it returns. If fn is
	// slow, lines are dropped and a line of app.SourceLog says how many.
	Follow(ctx context.Context, app string, n int, fn func([]app.LogLine) error) error
}
