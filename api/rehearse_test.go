package api_test

import (
	"fmt"
	"strings"
	"testing"

	"lattice/api"
	"lattice/app"
)

// A dry run is validated as the real thing is, reaches nothing that changes, and
// is no event.
func TestDryRun(t *testing.T) {
	var got []string
	j := journal{told: make(chan app.Event, 10)}
	b := start(t, &backend{change: func(what string, args ...any) error {
		got = append(got, fmt.Sprint(append([]any{what}, args...)...))
		return nil
	}}, func(c *api.ServerConfig) { c.Events = j })
	web := app.App{Name: "web", Image: "nginx", Revision: 3, Instances: 2}
	for want, call := range map[string]func() (app.Rehearsal, error){
		"rehearse createweb": func() (app.Rehearsal, error) { return b.user.RehearseCreate(t.Context(), web) },
		"rehearse updateweb{canary 1}": func() (app.Rehearsal, error) {
			return b.user.RehearseUpdate(t.Context(), web, app.RolloutOptions{Strategy: app.Canary, MaxInFlight: 1})
		},
		"rehearse scaleweb7": func() (app.Rehearsal, error) { return b.user.RehearseScale(t.Context(), "web", 7) },
	} {
		got = nil
		r, err := call()
		if err != nil || r.App.Name != "web" || r.Keep == 0 || strings.ReplaceAll(strings.Join(got, ";"), " ", "") != strings.ReplaceAll(want, " ", "") {
			t.Errorf("got %+v, %v, and %q; want %q", r, err, got, want)
		}
	}
	if _, err := b.user.RehearseCreate(t.Context(), app.App{Name: "WEB"}); err == nil || !strings.Contains(err.Error(), "upper-case") {
		t.Errorf("an app that is wrong: got %v", err)
	}
	if resp, _ := b.raw(t, "POST", "/api/v1/apps?dry_run=perhaps", userToken, strings.NewReader(`{"name":"web","image":"nginx"}`)); resp.StatusCode != 422 {
		t.Errorf("dry_run=perhaps: got %s", resp.Status)
	}
	if len(j.told) != 0 {
		t.Errorf("a dry run was told as %+v", <-j.told)
	}
}
