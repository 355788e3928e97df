package api_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"reflect"
	"strings"
	"testing"
	"time"

	"lattice/api"
	"lattice/app"
)

func TestEveryCallReachesItsBackend(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 6, time.UTC)
	status := app.Status{App: app.App{Name: "web", Env: map[string]string{"A": "<&>"}}, Instances: []app.Instance{}, URLs: []string{"http://web.example.com"}}
	lines := []app.LogLine{{App: "web", GUID: "g", Seq: 1, At: at, Stream: app.Stdout, Source: app.SourceApp, Text: "a\tb\\n"}}
	work := app.Work{Store: "s", Revision: 7, Assigned: []app.Assignment{{ID: "p", App: status.App}}}
	var got []any
	b := start(t, &backend{
		create:   func(a app.App) (app.App, error) { got = append(got, a); a.Revision = 9; return a, nil },
		status:   func(n string) (app.Status, error) { got = append(got, n); return status, nil },
		statuses: func() []app.Status { return []app.Status{status} },
		scale:    func(s string, n int) (app.App, error) { got = append(got, s, n); return status.App, nil },
		remove:   func(n string, volumes bool) error { got = append(got, n, volumes); return nil },
		cells:    func() []app.Cell { return []app.Cell{{ID: "c"}} },
		strays:   func() []app.Instance { return nil },
		work:     func(c string) (app.Work, error) { got = append(got, c); return work, nil },
		report:   func(r app.Report) error { got = append(got, r.Cell, len(r.Instances)); return nil },
		tail:     func(n string, k int) []app.LogLine { got = append(got, n, k); return lines },
		cursors:  func(g []string) map[string]uint64 { got = append(got, g); return map[string]uint64{"g": 3} },
		appendLogs: func(l []app.LogLine) {
			got = append(got, l)
		},
	})
	ctx := within(t, 20*time.Second)
	want := app.App{Name: "web", Image: "nginx", Instances: 0, MemoryMB: 0}
	filled := want.WithDefaults()
	stored := filled
	stored.Revision = 9
	enough := errors.New("enough")

	for _, tt := range []struct {
		name     string
		call     func() (any, error)
		answer   any
		received []any
	}{
		{"ping", func() (any, error) { return nil, b.client(t, "").Ping(ctx) }, nil, nil},
		{"info", func() (any, error) { return b.user.Info(ctx) }, api.Info{Version: "1.2.3", Domain: "example.com"}, nil},
		{"create", func() (any, error) { return b.user.CreateApp(ctx, want) }, stored, []any{filled}},
		{"apps", func() (any, error) { return b.user.Apps(ctx) }, []app.Status{status}, nil},
		{"app", func() (any, error) { return b.user.App(ctx, "a?b #%") }, status, []any{"a?b #%"}},
		{"scale", func() (any, error) { return b.user.Scale(ctx, "web", 0) }, status.App, []any{"web", 0}},
		{"remove", func() (any, error) { return nil, b.user.RemoveApp(ctx, "web", true) }, nil, []any{"web", true}},
		{"cells", func() (any, error) { return b.user.Cells(ctx) }, []api.CellStatus{{Cell: app.Cell{ID: "c"}}}, nil},
		{"strays", func() (any, error) { return b.user.Strays(ctx) }, []app.Instance{}, nil},
		{"report", func() (any, error) {
			return nil, b.cell.Report(ctx, app.Report{Cell: "c", Instances: []app.Instance{{Cell: "c"}, {Cell: "c"}}})
		}, nil, []any{"c", 2}},
		{"cursors", func() (any, error) { return b.cell.LogCursors(ctx, "c", []string{"g", "h"}) }, map[string]uint64{"g": 3}, []any{[]string{"g", "h"}}},
		{"send logs", func() (any, error) { return nil, b.cell.SendLogs(ctx, "c", lines) }, nil, []any{lines}},
		{"logs", func() (any, error) {
			var l []app.LogLine
			return l, b.user.Logs(ctx, "web", api.LogOptions{Lines: -1}, func(line app.LogLine) error { l = append(l, line); return nil })
		}, nil, []any{"web", "web", -1}},
		{"watch apps", func() (any, error) {
			return stopped(enough, b.user.WatchApps(ctx, func(s []app.Status) error { got = append(got, s); return enough }))
		}, nil, []any{[]app.Status{status}}},
		{"watch cells", func() (any, error) {
			return stopped(enough, b.user.WatchCells(ctx, func(s []api.CellStatus) error { got = append(got, s); return enough }))
		}, nil, []any{[]api.CellStatus{{Cell: app.Cell{ID: "c"}}}}},
		{"work", func() (any, error) {
			return stopped(enough, b.cell.Work(ctx, "c", func(w app.Work) error { got = append(got, w); return enough }))
		}, nil, []any{"c", work}},
	} {
		got = nil
		answer, err := tt.call()
		if err != nil {
			t.Errorf("%s: %v", tt.name, err)
		}
		if tt.answer != nil && !reflect.DeepEqual(answer, tt.answer) {
			t.Errorf("%s: got %+v, want %+v", tt.name, answer, tt.answer)
		}
		if !reflect.DeepEqual(got, tt.received) {
			t.Errorf("%s: the backend got %+v, want %+v", tt.name, got, tt.received)
		}
	}
}

// stopped turns the error that a callback ended a stream with into success.
func stopped(want, got error) (any, error) {
	if got == want {
		return nil, nil
	}
	return nil, fmt.Errorf("the stream ended with %v", got)
}

func TestWhatAnAppLeavesOutIsFilledIn(t *testing.T) {
	var got app.App
	b := start(t, &backend{create: func(a app.App) (app.App, error) { got = a; return a, nil }})
	resp, text := b.raw(t, "POST", "/api/v1/apps", userToken, strings.NewReader(
		`{"name":"web","image":"nginx","disk_mb":5,"revision":7,"created_at":"2020-01-01T00:00:00Z","routes":[{"host":"WEB"}]}`))
	if resp.StatusCode != http.StatusCreated {
		t.Fatalf("got %s: %s", resp.Status, text)
	}
	want := app.App{Name: "web", Image: "nginx", Instances: 1, MemoryMB: app.DefaultMemoryMB, DiskMB: 5, Routes: []app.Route{{Host: "web"}}}.WithDefaults()
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v\nwant %+v", got, want)
	}
}

func TestBadInputIsRefusedWithASentence(t *testing.T) {
	b := start(t, &backend{}) // whatever reaches the backend panics
	ok := `"name":"web","image":"nginx"`
	for _, tt := range []struct {
		method, path, body string
		status             int
		want               string // a part of the message
	}{
		{"POST", "/apps", ``, 400, "the body is empty: send an object"},
		{"POST", "/apps", `{`, 400, "ends too early"},
		{"POST", "/apps", `{"name":"web`, 400, "ends too early"},
		{"POST", "/apps", `name: web`, 400, "not JSON: invalid character 'a'"},
		{"POST", "/apps", `[]`, 400, "the body must be an object in { }, not array"},
		{"POST", "/apps", `"x"`, 400, "the body must be an object in { }, not string"},
		{"POST", "/apps", `{` + ok + `,"memory":1}`, 400, `there is no field "memory" here`},
		{"POST", "/apps", `{` + ok + `,"check":{"kind":1}}`, 400, `there is no field "kind" here`},
		{"POST", "/apps", `{` + ok + `} {}`, 400, "goes on after the JSON value"},
		{"POST", "/apps", `{` + ok + `}]`, 400, "goes on after the JSON value"},
		{"POST", "/apps", `{` + ok + `,"instances":"3"}`, 400, `"instances": a whole number is wanted, not string`},
		{"POST", "/apps", `{` + ok + `,"instances":1.5}`, 400, `"instances": a whole number is wanted, not number 1.5`},
		{"POST", "/apps", `{` + ok + `,"env":{"A":1}}`, 400, `"env": a text in quotes is wanted, not number`},
		{"POST", "/apps", `{` + ok + `,"ports":80}`, 400, `"ports": a list in [ ] is wanted, not number`},
		{"POST", "/apps", `{` + ok + `,"no_routes":0}`, 400, `"no_routes": true or false is wanted`},
		{"POST", "/apps", `{` + ok + `,"start_timeout":60}`, 400, `"start_timeout": a time such as "30s"`},
		{"POST", "/apps", `{` + ok + `,"start_timeout":"soon"}`, 422, `"soon" is no length of time: write it as 30s`},
		{"POST", "/apps", `{` + ok + `,"env":{"A":"` + strings.Repeat("x", 1<<20) + `"}}`, 413, "more than 1 MiB"},
		{"POST", "/apps", `null`, 422, "needs a name"},
		{"POST", "/apps", `{"name":"Web","image":"Nginx"}`, 422, "write \"web\"\nthe image \"Nginx\" has upper-case"},
		{"POST", "/apps", `{` + ok + `,"instances":-1}`, 422, "-1 instances"},
		{"PUT", "/apps/web/instances", `{}`, 422, "the number of instances is missing"},
		{"PUT", "/apps/web/instances", `{"instances":1001}`, 422, "0 to 1000"},
		{"PUT", "/apps/web/instances", `{"instances":2,"x":1}`, 400, `no field "x"`},
		{"GET", "/apps?watch=maybe", ``, 422, `watch="maybe" in the address must be true or false`},
		{"GET", "/apps/web/logs?lines=-2", ``, 422, `lines="-2" in the address must be a whole number`},
		{"GET", "/apps/web/logs?lines=many", ``, 422, `lines="many"`},
		{"GET", "/apps/web/logs?follow=7", ``, 422, `follow="7"`},
		{"GET", "/nothing", ``, 404, `there is no path "/api/v1/nothing"`},
		{"GET", "/apps/", ``, 404, `there is no path "/api/v1/apps/"`},
		{"PATCH", "/apps", ``, 405, `PATCH can't be done with "/api/v1/apps", only`},
		{"POST", "/join", `{"cell":"a/b"}`, 422, `the cell's ID "a/b" can't be used`},
		{"POST", "/join", `{"cell":""}`, 422, "1 to 128 letters"},
		{"POST", "/cells/a/report", `{"cell":"b"}`, 422, `the report is of the cell "b" and was sent for "a"`},
		{"POST", "/cells/a/report", `{"cell":"a","instances":[{"cell":"a"},{"cell":"b"}]}`, 422, `the report of the cell "a" has an instance of the cell "b"`},
		{"POST", "/cells/b/report", `{"cell":"b"}`, 403, `the certificate of the cell "a" does not speak for the cell "b"`},
		{"POST", "/cells/a/logs", "what?\n", 422, "log line 1: not a log line"},
		{"POST", "/cells/a/log-cursors", `{}`, 400, "the body must be a list in [ ], not object"},
	} {
		token := userToken
		switch {
		case strings.HasPrefix(tt.path, "/join"):
			token = joinToken
		case strings.HasPrefix(tt.path, "/cells/"):
			token = "cell:a"
		}
		resp, text := b.raw(t, tt.method, "/api/v1"+tt.path, token, strings.NewReader(tt.body))
		var body struct {
			Error struct{ Code, Message string }
		}
		if err := json.Unmarshal([]byte(text), &body); err != nil {
			t.Errorf("%s %s %.60s: %v in %q", tt.method, tt.path, tt.body, err, text)
		}
		if resp.StatusCode != tt.status || body.Error.Code == "" || !strings.Contains(body.Error.Message, tt.want) {
			t.Errorf("%s %s %.60s: got %s %q, want %d and %q", tt.method, tt.path, tt.body, resp.Status, body.Error.Message, tt.status, tt.want)
		}
	}
}

func TestACellMaySendWhatTheBrainDoesNotKnow(t *testing.T) {
	b := start(t, &backend{report: func(app.Report) error { return nil }})
	resp, text := b.raw(t, "POST", "/api/v1/cells/c/report", "cell:c", strings.NewReader(`{"cell":"c","of_a_later_version":1}`))
	if resp.StatusCode != http.StatusNoContent {
		t.Errorf("got %s: %s", resp.Status, text)
	}
}

func TestErrorsKeepKindAndMessageOverTheWire(t *testing.T) {
	var fail error
	b := start(t, &backend{status: func(string) (app.Status, error) { return app.Status{}, fail }})
	kinds := []error{app.ErrNotFound, app.ErrExists, app.ErrInvalid, app.ErrUnauthorized, app.ErrConflict, app.ErrUnavailable, context.DeadlineExceeded}
	for _, want := range kinds {
		fail = fmt.Errorf("the app \"web\": %w <&>", want)
		_, single := b.user.App(t.Context(), "web")
		stream := b.user.WatchApp(t.Context(), "web", func(app.Status) error { return nil })
		for _, got := range []error{single, stream} {
			if got.Error() != fail.Error() {
				t.Errorf("got %q, want %q", got, fail)
			}
			for _, k := range kinds {
				if errors.Is(got, k) != (k == want) {
					t.Errorf("%q: is %q: %v", got, k, errors.Is(got, k))
				}
			}
		}
	}
	fail = app.Invalid("two things\nare wrong")
	if _, err := b.user.App(t.Context(), "web"); err.Error() != fail.Error() || !errors.Is(err, app.ErrInvalid) {
		t.Errorf("got %q, want %q", err, fail)
	}
	if text := b.log.String(); strings.Contains(text, "ERROR") {
		t.Errorf("what is not the brain's fault was logged as an error: %s", text)
	}
}

func TestInternalErrorsAreLoggedUnderTheirNumber(t *testing.T) {
	b := start(t, &backend{
		status: func(string) (app.Status, error) { return app.Status{}, errors.New("disk full") },
		remove: func(string, bool) error { panic("oh no") },
	})
	_, failed := b.user.App(t.Context(), "web")
	panicked := b.user.RemoveApp(t.Context(), "web", false)
	for err, logged := range map[error]string{failed: `err="disk full"`, panicked: `err="oh no"`} {
		_, rest, ok := strings.Cut(err.Error(), "request ")
		id, _, _ := strings.Cut(rest, " ")
		if !ok || !strings.Contains(b.log.String(), "request="+id) || !strings.Contains(b.log.String(), logged) {
			t.Errorf("%q is not to be found in the log:\n%s", err, b.log)
		}
	}
	if !strings.Contains(failed.Error(), "disk full") || strings.Contains(panicked.Error(), "oh no") {
		t.Errorf("got %q and %q", failed, panicked)
	}
}

func TestSecretsAreNotLogged(t *testing.T) {
	const secret = "s3cr3t-0815"
	b := start(t, &backend{create: func(a app.App) (app.App, error) {
		if a.Instances == 2 {
			panic("a bug")
		}
		return app.App{}, errors.New("a failure")
	}})
	a := app.App{Name: "web", Image: "nginx", Env: map[string]string{"PASSWORD": secret, "B=" + secret: secret}}
	for n := range 3 {
		if n > 0 {
			delete(a.Env, "B="+secret)
		}
		a.Instances = n
		_, err := b.user.CreateApp(t.Context(), a)
		if err == nil || strings.Contains(err.Error(), secret) {
			t.Errorf("got the error %v", err)
		}
	}
	if _, err := b.client(t, secret).Apps(t.Context()); err == nil || strings.Contains(err.Error(), secret) {
		t.Errorf("got the error %v", err)
	}
	text := b.log.String()
	for _, s := range []string{secret, userToken} {
		if strings.Contains(text, s) {
			t.Errorf("%q is in the log:\n%s", s, text)
		}
	}
	if strings.Count(text, "level=DEBUG msg=request ") != 4 {
		t.Errorf("not every request is in the log:\n%s", text)
	}
}

func TestWhatIsNotTheAPIGoesToTheWebHandler(t *testing.T) {
	b := start(t, &backend{}, func(cfg *api.ServerConfig) {
		cfg.Web = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "page "+r.URL.Path) })
	})
	for path, want := range map[string]int{"/": 200, "/apixyz": 200, "/v1/x": 200, "/api": 401, "/api/": 401, "/api/v2": 401} {
		resp, text := b.raw(t, "GET", path, "", nil)
		if resp.StatusCode != want || want == 200 && text != "page "+path {
			t.Errorf("%s: got %s %q, want %d", path, resp.Status, text, want)
		}
	}
	bare := start(t, &backend{})
	if resp, _ := bare.raw(t, "GET", "/", "", nil); resp.StatusCode != 404 {
		t.Errorf("without a web handler: got %s, want 404", resp.Status)
	}
}

// FuzzCreate looks for a body that makes the server panic or answer anything
// but yes or a refusal with a sentence.
func FuzzCreate(f *testing.F) {
	for _, seed := range []string{
		`{"name":"web","image":"nginx:1.27","ports":[80],"check":{"type":"http","path":"/","timeout":"2s"}}`,
		`{"name":"web","image":"HTTP://Nginx@sha256:00"}`, `{"name":1}`, `{"env":{"A":null}} x`, `[[[[`, `{"start_timeout":"1h1"}`, ``,
	} {
		f.Add([]byte(seed))
	}
	b := &backend{create: func(a app.App) (app.App, error) { return a, a.Validate() }}
	h := api.NewServer(api.ServerConfig{
		Apps: b, Cells: b, Logs: b, Auth: api.Tokens{User: api.HashToken(userToken)}, Log: discard(), Done: context.Background(),
	})
	f.Fuzz(func(t *testing.T, body []byte) {
		req := httptest.NewRequest("POST", "/api/v1/apps", strings.NewReader(string(body)))
		req.Header.Set("Authorization", "bearer "+userToken)
		w := &recorder{httptest.NewRecorder()}
		h.ServeHTTP(w, req)
		var answer struct {
			Error struct{ Code, Message string }
		}
		err := json.Unmarshal(w.Body.Bytes(), &answer)
		if w.Code != 201 && (w.Code/100 != 4 || err != nil || answer.Error.Message == "") {
			t.Fatalf("%q: got %d %s", body, w.Code, w.Body)
		}
	})
}
