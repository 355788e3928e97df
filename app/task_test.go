package app_test

import (
	"strings"
	"testing"
	"time"

	"lattice/app"
)

func TestTaskValidate(t *testing.T) {
	for _, tt := range []struct {
		change func(*app.Task)
		want   string // a part of the sentence; empty: valid
	}{
		{func(*app.Task) {}, ""},
		{func(x *app.Task) { x.Spec.Ports = []int{80} }, ""},
		{func(x *app.Task) {
			x.ResultFile, x.CallbackURL, x.Timeout, x.Retries = "/r", "https://u:p@x/y?z", 1, 20
		}, ""},
		{func(x *app.Task) { x.Name = "Job" }, `write "job"`},
		{func(x *app.Task) { x.Spec.Image = "" }, "needs an image"},
		{func(x *app.Task) { x.Spec.MemoryMB = 3 }, "memory is 3 MiB"},
		{func(x *app.Task) { x.Spec.Instances = 2 }, "one instance, not 2"},
		{func(x *app.Task) { x.Spec.Routes = []app.Route{{Host: "x"}} }, "no routes"},
		{func(x *app.Task) { x.Spec.Check.Type = app.CheckPort }, "no checks"},
		{func(x *app.Task) { x.Spec.Readiness = &app.Check{Type: app.CheckPort} }, "no checks"},
		{func(x *app.Task) { x.Timeout = -1 }, "the timeout is"},
		{func(x *app.Task) { x.Retries = 21 }, "21 retries"},
		{func(x *app.Task) { x.TTL = 1 }, "the ttl is 1ns"},
		{func(x *app.Task) { x.ResultFile = "out" }, "absolute path"},
		{func(x *app.Task) { x.ResultFile = "/" }, "absolute path"},
		{func(x *app.Task) { x.ResultFile = "/out/" }, "absolute path"},
		{func(x *app.Task) { x.CallbackURL = "x" }, "must be http"},
		{func(x *app.Task) { x.CallbackURL = "ftp://user:sesame@x" }, "must be http"},
		{func(x *app.Task) { x.CallbackURL = "http://x/" + strings.Repeat("x", app.MaxURLBytes) }, "at most 2048"},
	} {
		x := app.Task{Name: "job", Spec: app.App{Image: "i"}}
		tt.change(&x)
		err := x.WithDefaults().Validate()
		if (err == nil) != (tt.want == "") || err != nil && (!strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "sesame")) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}

func TestTaskWithDefaultsKeepsOnlyWhatAPersonSays(t *testing.T) {
	x := app.Task{Name: "job", Spec: app.App{Image: "i", Revision: 3, Stopped: true}, State: app.Completed, Failed: true,
		Attempts: []app.Attempt{{ID: "x"}}, TaskOptions: app.TaskOptions{Retries: 2}}.WithDefaults()
	if x.State != "" || x.Failed || x.Attempts != nil || x.Spec.Revision != 0 || x.Spec.Stopped || x.Retries != 2 || time.Duration(x.TTL) != app.DefaultTaskTTL || !x.Spec.NoRoutes {
		t.Errorf("%+v", x)
	}
}

func TestTaskWithoutSecrets(t *testing.T) {
	x := app.Task{Spec: app.App{Env: map[string]string{"KEY": "sesame"}}, TaskOptions: app.TaskOptions{CallbackURL: "https://user:sesame@example.com/sesame?sesame"}}
	got := x.WithoutSecrets()
	if got.Spec.Env["KEY"] != app.Hidden || got.CallbackURL != "https://example.com/"+app.Hidden {
		t.Errorf("%+v", got)
	}
	if x.Spec.Env["KEY"] != "sesame" {
		t.Error("the original was changed")
	}
}

func TestTaskName(t *testing.T) {
	for image, want := range map[string]string{
		"alpine": "alpine-", "registry:5000/team/My.App:v2": "my-app-", "a@sha256:00": "a-", "": "task-", "..": "task-",
		strings.Repeat("x", 100): strings.Repeat("x", 40) + "-",
	} {
		got := app.TaskName(image)
		if !strings.HasPrefix(got, want) || len(got) != len(want)+6 {
			t.Errorf("%s: got %s", image, got)
		}
		if err := (app.Task{Name: got, Spec: app.App{Image: "i"}}).WithDefaults().Validate(); err != nil {
			t.Error(err)
		}
	}
}

func TestScheduleValidate(t *testing.T) {
	for _, tt := range []struct {
		change func(*app.Schedule)
		want   string
	}{
		{func(*app.Schedule) {}, ""},
		{func(s *app.Schedule) { s.Name = strings.Repeat("x", 52) }, ""},
		{func(s *app.Schedule) { s.Name = strings.Repeat("x", 53) }, "NAME-1"},
		{func(s *app.Schedule) { s.Concurrency = "never" }, "allow, forbid or replace"},
		{func(s *app.Schedule) { s.Keep = 101 }, "1 to 100"},
		{func(s *app.Schedule) { s.Task.Retries = -1 }, "-1 retries"},
	} {
		s := app.Schedule{Name: "tick", Task: app.Task{Spec: app.App{Image: "i"}}}
		tt.change(&s)
		if err := s.WithDefaults().Validate(); (err == nil) != (tt.want == "") || err != nil && !strings.Contains(err.Error(), tt.want) {
			t.Errorf("got %v, want %q", err, tt.want)
		}
	}
}
