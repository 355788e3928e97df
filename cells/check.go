package cells

import (
	"context"
	"fmt"
	"time"

	"lattice/app"
)

// check probes the instance until it is healthy, and from then on until it no
// longer is. It returns what is wrong with it. Beside that it keeps the report
// of whether the instance is ready.
func (in *instance) check(ctx context.Context) error {
	a := in.rec.Assignment.App
	if in.rec.HealthyAt.IsZero() {
		if err := in.becomeHealthy(ctx, a); err != nil {
			return err
		}
		in.healthy(a.Readiness != nil)
	}
	if a.Readiness == nil {
		return in.stayHealthy(ctx, a.Check)
	}
	ctx, stop := context.WithCancel(ctx)
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		in.watchReadiness(ctx, *a.Readiness)
	}()
	defer func() { stop(); <-watched }()
	return in.stayHealthy(ctx, a.Check)
}

func (in *instance) becomeHealthy(ctx context.Context, a app.App) error {
	limit := startTimeout(a)
	deadline := time.Now().Add(limit)
	c, most := startupCheck(a)
	shown := ""
	for d := rampUp(0, most); ; d = rampUp(d, most) {
		err := in.agent.probes.probe(ctx, c, in.rec.Lease)
		if err == nil {
			return nil
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("not healthy within %s: %w", limit, err)
		}
		if d == most && err.Error() != shown { // by now a person may wonder
			shown = err.Error()
			in.show(func(v *app.Instance) { v.Reason, v.Cause = "not healthy yet: "+shown, "" })
		}
		if !sleep(ctx, d) {
			return ctx.Err()
		}
	}
}

func startTimeout(a app.App) time.Duration {
	if a.StartTimeout > 0 {
		return time.Duration(a.StartTimeout)
	}
	return app.DefaultStartTimeout
}

// healthy notes that the instance has come up. One with a readiness check is
// not routed before that has passed.
func (in *instance) healthy(unready bool) {
	in.healthyAt = time.Now()
	now := in.healthyAt.UTC()
	in.note(func(r *record) { r.HealthyAt, r.Unready = now, unready })
	text := "the instance is healthy"
	if unready {
		text += "; no route leads to it until it is ready"
	}
	in.event("HEALTH", text)
	in.show(func(v *app.Instance) {
		v.State, v.Since, v.Unready, v.Reason, v.Cause = app.Running, now, unready, in.rec.Reason, in.rec.Cause
	})
}

// stayHealthy returns when the check has failed, or ctx is done.
func (in *instance) stayHealthy(ctx context.Context, c app.Check) error {
	if c.Type == app.CheckNone {
		<-ctx.Done()
		return ctx.Err()
	}
	every := interval(c, app.CheckInterval)
	s := standing{good: true, limit: misses(c)}
	for d := anywhere(every); sleep(ctx, d); d = spread(every) {
		err := in.agent.probes.probe(ctx, c, in.rec.Lease)
		if s.note(err == nil) {
			return fmt.Errorf("no longer healthy, %s: %w", inARow(s.missed), err)
		}
	}
	return ctx.Err()
}

func inARow(n int) string {
	if n == 1 {
		return "a check failed"
	}
	return fmt.Sprintf("%d checks failed in a row", n)
}

// watchReadiness keeps the report of whether the instance is ready until ctx is
// done.
func (in *instance) watchReadiness(ctx context.Context, c app.Check) {
	every := interval(c, app.CheckInterval)
	s := standing{good: !in.rec.Unready, limit: misses(c)}
	var d time.Duration
	soon := time.Now() // until then it is expected to become ready any moment
	if s.good {
		d = anywhere(every)
	} else {
		soon = soon.Add(startTimeout(in.rec.Assignment.App))
	}
	for sleep(ctx, d) {
		err := in.agent.probes.probe(ctx, c, in.rec.Lease)
		if ctx.Err() != nil {
			return
		}
		switch changed := s.note(err == nil); {
		case changed && s.good:
			soon = time.Now()
			in.ready()
		case changed:
			in.unready(s.missed, err)
		case !s.good:
			in.showUnready(err)
		}
		if d = rampUp(d, min(every, app.StartupInterval)); !time.Now().Before(soon) {
			d = spread(every)
		}
	}
}

func (in *instance) ready() {
	in.note(func(r *record) { r.Unready = false })
	in.event("HEALTH", "the instance is ready")
	in.show(func(v *app.Instance) { v.Unready, v.Reason, v.Cause = false, in.rec.Reason, in.rec.Cause })
}

func (in *instance) unready(missed int, err error) {
	in.note(func(r *record) { r.Unready = true })
	in.event("HEALTH", fmt.Sprintf("the instance is not ready any more, so no route leads to it: %s: %v", inARow(missed), err))
	in.showUnready(err)
}

// showUnready says what the readiness check is waiting for.
func (in *instance) showUnready(err error) {
	reason := "not ready: " + err.Error()
	if v := in.snapshot(); v.Unready && v.Reason == reason {
		return // no news
	}
	in.show(func(v *app.Instance) { v.Unready, v.Reason, v.Cause = true, reason, "" })
}
