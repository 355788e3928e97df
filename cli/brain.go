package cli

import (
	"context"
	"errors"
	"time"

	"lattice/api"
	"lattice/app"
)

// A brain is what the commands need of the API.
type brain interface {
	Info(ctx context.Context) (api.Info, error)
	CreateApp(ctx context.Context, a app.App) (app.App, error)
	Apps(ctx context.Context) ([]app.Status, error)
	App(ctx context.Context, name string) (app.Status, error)
	WatchApp(ctx context.Context, name string, each func(app.Status) error) error
	Scale(ctx context.Context, name string, instances int) (app.App, error)
	UpdateApp(ctx context.Context, a app.App, o app.RolloutOptions, pull bool) (app.App, error)
	Revisions(ctx context.Context, name string) ([]app.Revision, error)
	Rollback(ctx context.Context, name string, revision uint64) (app.App, error)
	Restart(ctx context.Context, name string, index int) (app.App, error)
	SetStopped(ctx context.Context, name string, stopped bool) (app.App, error)
	Promote(ctx context.Context, name string) (app.App, error)
	RehearseCreate(ctx context.Context, a app.App) (app.Rehearsal, error)
	RehearseUpdate(ctx context.Context, a app.App, o app.RolloutOptions) (app.Rehearsal, error)
	RehearseScale(ctx context.Context, name string, instances int) (app.Rehearsal, error)
	RemoveApp(ctx context.Context, name string, volumes bool) error
	Logs(ctx context.Context, name string, q api.LogOptions, each func(app.LogLine) error) error
	Cells(ctx context.Context) ([]api.CellStatus, error)
	WatchApps(ctx context.Context, each func([]app.Status) error) error
	Balance(ctx context.Context) (app.Rebalancing, error)
	Rebalance(ctx context.Context, maxInFlight int) (app.Rebalancing, error)
	StopRebalance(ctx context.Context) error
	Drain(ctx context.Context, cell string, maxInFlight int) error
	Undrain(ctx context.Context, cell string) error
	Strays(ctx context.Context) ([]app.Instance, error)
	Adopt(ctx context.Context, name string) ([]app.Instance, error)
	Discard(ctx context.Context, name string) ([]app.Instance, error)
}

// connect returns the current target's brain. It does not talk to it yet.
func connect() (brain, error) {
	t, err := currentTarget()
	if err != nil {
		return nil, err
	}
	return dial(t)
}

// client is connect for what only few commands need of the API.
func client() (*api.Client, error) {
	t, err := currentTarget()
	if err != nil {
		return nil, err
	}
	return dial(t)
}

// dial returns t's brain. It does not talk to it yet.
func dial(t target) (*api.Client, error) {
	return api.NewClient(api.ClientConfig{URL: t.URL, Token: t.Token, CA: t.CA})
}

// Pauses before a broken stream is asked for again.
const (
	firstRetry   = 200 * time.Millisecond
	longestRetry = 2 * time.Second
)

// keepUp calls stream again whenever it breaks, until ctx ends or what it
// returns can't get better. It calls lost with each error that it gets over.
func keepUp(ctx context.Context, stream func(context.Context) error, lost func(error)) error {
	for pause := firstRetry; ; pause = min(2*pause, longestRetry) {
		began := time.Now()
		err := stream(ctx)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err):
			return err
		case time.Since(began) > longestRetry:
			pause = firstRetry
		}
		if err != nil {
			lost(err)
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// final reports whether asking again is of no use after err.
func final(err error) bool {
	for _, e := range []error{app.ErrNotFound, app.ErrInvalid, app.ErrUnauthorized, api.ErrUntrusted, errGone} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}
