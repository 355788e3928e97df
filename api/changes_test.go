package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"strings"
	"testing"
	"time"

	"lattice/app"
)

// changed is what a backend returns of an app that it was asked to change.
func changed(name string) app.App { return app.App{Name: name, Revision: 9} }

func (b *backend) Update(_ context.Context, a app.App, o app.RolloutOptions, _ bool) (app.App, error) {
	return changed(a.Name), b.change("update", a, o)
}
func (b *backend) RehearseCreate(_ context.Context, a app.App) (app.Rehearsal, error) {
	return app.Rehearsal{App: a, Keep: 1}, b.change("rehearse create", a.Name)
}
func (b *backend) RehearseUpdate(_ context.Context, a app.App, o app.RolloutOptions) (app.Rehearsal, error) {
	return app.Rehearsal{App: a, Keep: 2}, b.change("rehearse update", a.Name, o)
}
func (b *backend) RehearseScale(_ context.Context, name string, n int) (app.Rehearsal, error) {
	return app.Rehearsal{App: app.App{Name: name}, Keep: 3}, b.change("rehearse scale", name, n)
}
func (b *backend) Rollback(_ context.Context, name string, revision uint64) (app.App, error) {
	return changed(name), b.change("rollback", name, revision)
}
func (b *backend) Restart(_ context.Context, name string, index int) (app.App, error) {
	return changed(name), b.change("restart", name, index)
}
func (b *backend) SetStopped(_ context.Context, name string, stopped bool) (app.App, error) {
	return changed(name), b.change("stopped", name, stopped)
}
func (b *backend) Promote(_ context.Context, name string) (app.App, error) {
	return changed(name), b.change("promote", name)
}
func (b *backend) Features() []app.Feature { return app.Features() }
func (b *backend) SetFeature(_ context.Context, name string, enabled bool) (app.Feature, error) {
	return app.Feature{Name: name, Enabled: enabled}, b.change("feature", name, enabled)
}
func (b *backend) Revisions(name string) ([]app.Revision, error) {
	return nil, b.change("revisions", name)
}
func (b *backend) Drain(_ context.Context, cell string, n int) error {
	return b.change("drain", cell, n)
}
func (b *backend) Balance() app.Rebalancing {
	_ = b.change("balance")
	return app.Rebalancing{Running: true, Moves: []app.Move{{App: "web"}}}
}
func (b *backend) Rebalance(_ context.Context, n int) (app.Rebalancing, error) {
	return app.Rebalancing{Moves: []app.Move{}}, b.change("rebalance", n)
}
func (b *backend) StopRebalance(context.Context) error          { return b.change("stop rebalance") }
func (b *backend) Undrain(_ context.Context, cell string) error { return b.change("undrain", cell) }
func (b *backend) Adopt(_ context.Context, name string) ([]app.Instance, error) {
	return []app.Instance{{App: "web", Cell: "c"}}, b.change("adopt", name)
}
func (b *backend) Discard(_ context.Context, name string) ([]app.Instance, error) {
	return nil, b.change("discard", name)
}

func TestEveryChangeReachesItsBackend(t *testing.T) {
	var got []any
	b := start(t, &backend{change: func(what string, args ...any) error {
		got = append([]any{what}, args...)
		return nil
	}})
	ctx := within(t, 20*time.Second)
	web := app.App{Name: "web", Image: "nginx", Revision: 3, Instances: 0, Stopped: true, CreatedAt: time.Unix(1, 0), Rollout: &app.Rollout{To: 3}}
	sent := app.App{Name: "web", Image: "nginx", Revision: 3}.WithDefaults()
	careful := app.RolloutOptions{Strategy: app.Canary, MaxInFlight: 2}
	none := []app.Instance{}

	for _, tt := range []struct {
		call     func() (any, error)
		answer   any
		received []any
	}{
		{func() (any, error) { return b.user.UpdateApp(ctx, web, careful, false) }, changed("web"), []any{"update", sent, careful}},
		{func() (any, error) { return b.user.Revisions(ctx, "a?b") }, []app.Revision{}, []any{"revisions", "a?b"}},
		{func() (any, error) { return b.user.Rollback(ctx, "web", 0) }, changed("web"), []any{"rollback", "web", uint64(0)}},
		{func() (any, error) { return b.user.Rollback(ctx, "web", 7) }, changed("web"), []any{"rollback", "web", uint64(7)}},
		{func() (any, error) { return b.user.Restart(ctx, "web", -1) }, changed("web"), []any{"restart", "web", -1}},
		{func() (any, error) { return b.user.Restart(ctx, "web", 0) }, changed("web"), []any{"restart", "web", 0}},
		{func() (any, error) { return b.user.SetStopped(ctx, "web", true) }, changed("web"), []any{"stopped", "web", true}},
		{func() (any, error) { return b.user.SetStopped(ctx, "web", false) }, changed("web"), []any{"stopped", "web", false}},
		{func() (any, error) { return b.user.Promote(ctx, "web") }, changed("web"), []any{"promote", "web"}},
		{func() (any, error) { return b.user.SetFeature(ctx, "docker-images", false) }, app.Feature{Name: "docker-images"}, []any{"feature", "docker-images", false}},
		{func() (any, error) { return nil, b.user.Drain(ctx, "c", 3) }, nil, []any{"drain", "c", 3}},
		{func() (any, error) { return nil, b.user.Undrain(ctx, "c") }, nil, []any{"undrain", "c"}},
		{func() (any, error) { return nil, b.cell.Drain(ctx, "c", 0) }, nil, []any{"drain", "c", 0}},
		{func() (any, error) { return b.user.Balance(ctx) }, app.Rebalancing{Running: true, Moves: []app.Move{{App: "web"}}}, []any{"balance"}},
		{func() (any, error) { return b.user.Rebalance(ctx, 2) }, app.Rebalancing{Moves: []app.Move{}}, []any{"rebalance", 2}},
		{func() (any, error) { return nil, b.user.StopRebalance(ctx) }, nil, []any{"stop rebalance"}},
		{func() (any, error) { return b.user.Adopt(ctx, "") }, []app.Instance{{App: "web", Cell: "c"}}, []any{"adopt", ""}},
		{func() (any, error) { return b.user.Discard(ctx, "web") }, none, []any{"discard", "web"}},
	} {
		got = nil
		answer, err := tt.call()
		if err != nil || !reflect.DeepEqual(answer, tt.answer) {
			t.Errorf("%v: got %+v, %v, want %+v", tt.received[0], answer, err, tt.answer)
		}
		if !reflect.DeepEqual(got, tt.received) {
			t.Errorf("the backend got %+v, want %+v", got, tt.received)
		}
	}
}

func TestBadChangesAreRefusedWithASentence(t *testing.T) {
	b := start(t, &backend{}) // whatever reaches the backend panics
	ok := `"image":"nginx","revision":3`
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string // a part of the message
	}{
		{"PUT", "/apps/web", `{}`, 422, "the app's revision is missing"},
		{"PUT", "/apps/web", `{"app":{` + ok + `,"name":"other"}}`, 422, `the app "web" can't be renamed to "other"`},
		{"PUT", "/apps/web", `{"app":{` + ok + `,"instances":-1},"strategy":"blue"}`, 422, "-1 instances: an app can have 0 to 1000, and 0 stops it\nthe strategy \"blue\" does not exist"},
		{"PUT", "/apps/web", `{"app":{` + ok + `},"max_in_flight":-1}`, 422, "-1 instances at the same time"},
		{"PUT", "/apps/web", `{"app":{"image":"Nginx","revision":3}}`, 422, "has upper-case"},
		{"PUT", "/apps/web", `{"app":{` + ok + `},"rollout":{}}`, 400, `no field "rollout"`},
		{"POST", "/apps/web/rollback", `{"revision":-1}`, 400, "a whole number is wanted"},
		{"POST", "/apps/web/rollback", ``, 400, "the body is empty: send an object"},
		{"POST", "/apps/web/restart", `{"index":-1}`, 422, "there is no instance -1"},
		{"PUT", "/cells/c/drain", `{"max_in_flight":1001}`, 422, "1 to 1000"},
		{"POST", "/rebalance", `{"max_in_flight":-1}`, 422, "1 to 1000"},
		{"PUT", "/features/docker-images", `{}`, 422, "whether it is enabled is missing"},
		{"PUT", "/cells/c/drain", `{"timeout":1}`, 400, `no field "timeout"`},
		{"POST", "/strays/adopt", `{"app":["a"]}`, 400, `"app": a text in quotes is wanted`},
	} {
		resp, text := b.raw(t, tt.method, "/api/v1"+tt.path, userToken, strings.NewReader(tt.body))
		var body struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(text), &body); err != nil {
			t.Errorf("%s %s %.60s: %v in %q", tt.method, tt.path, tt.body, err, text)
		}
		if resp.StatusCode != tt.status || !strings.Contains(body.Error.Message, tt.want) {
			t.Errorf("%s %s %.60s: got %s %q, want %d and %q", tt.method, tt.path, tt.body, resp.Status, body.Error.Message, tt.status, tt.want)
		}
	}
}

func TestAConflictIsTold(t *testing.T) {
	b := start(t, &backend{change: func(string, ...any) error { return fmt.Errorf("app \"web\" %w", app.ErrConflict) }})
	_, err := b.user.UpdateApp(t.Context(), app.App{Name: "web", Image: "nginx", Revision: 1}, app.RolloutOptions{}, false)
	if err == nil || err.Error() != `app "web" changed by somebody else` {
		t.Errorf("got %v", err)
	}
	resp, _ := b.raw(t, "POST", "/api/v1/apps/web/promote", userToken, http.NoBody)
	if resp.StatusCode != http.StatusConflict {
		t.Errorf("got %s, want 409", resp.Status)
	}
}
