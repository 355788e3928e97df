package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	"lattice/api"
	"lattice/app"
)

// journal is api.Events with what it is asked for.
type journal struct {
	kept  []app.Event
	asked chan app.EventQuery
	told  chan app.Event
}

func (j journal) Emit(e app.Event) { j.told <- e }

func (j journal) Tail(q app.EventQuery) []app.Event {
	j.asked <- q
	return j.kept
}

func (j journal) Follow(ctx context.Context, q app.EventQuery, fn func([]app.Event) error) error {
	if err := fn(j.Tail(q)); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

func startJournal(t *testing.T) (*brain, journal) {
	j := journal{[]app.Event{
		{Seq: 7, Kind: app.AppCreated, App: "web", Index: app.NoIndex, Message: "1"},
		{Seq: 9, Kind: app.InstancePlaced, App: "web", Message: "<2>"},
	}, make(chan app.EventQuery, 1), make(chan app.Event, 1)}
	return start(t, &backend{}, func(c *api.ServerConfig) { c.Events = j }), j
}

func TestEvents(t *testing.T) {
	b, j := startJournal(t)
	want := app.EventQuery{App: "web", Task: "t", Cell: "c&d", Kind: "instance,app", Since: 5, Lines: 3}
	var got []app.Event
	err := b.user.Events(t.Context(), want, false, func(e app.Event) error {
		got = append(got, e)
		return nil
	})
	if err != nil || len(got) != 2 || got[0] != j.kept[0] || got[1] != j.kept[1] {
		t.Errorf("got %v, %v", got, err)
	}
	if q := <-j.asked; q != want {
		t.Errorf("the brain was asked for %+v, want %+v", q, want)
	}
	done := errors.New("enough")
	if err := b.user.Events(t.Context(), app.EventQuery{}, true, func(app.Event) error { return done }); err != done {
		t.Errorf("following: got %v", err)
	}
}

func TestEventQueries(t *testing.T) {
	b, j := startJournal(t)
	for path, want := range map[string]app.EventQuery{
		"":                  {Lines: 100},
		"?lines=-1":         {Lines: -1},
		"?since=12":         {Since: 12, Lines: -1},
		"?since=12&lines=4": {Since: 12, Lines: 4},
	} {
		if resp, body := b.raw(t, "GET", "/api/v1/events"+path, userToken, nil); resp.StatusCode != 200 || !strings.Contains(body, `"message":"<2>"`) {
			t.Errorf("%q: got %s: %s", path, resp.Status, body)
		} else if q := <-j.asked; q != want {
			t.Errorf("%q: got %+v, want %+v", path, q, want)
		}
	}
	for _, path := range []string{"?lines=-2", "?lines=x", "?since=-1", "?follow=maybe"} {
		if resp, _ := b.raw(t, "GET", "/api/v1/events"+path, userToken, nil); resp.StatusCode != 422 {
			t.Errorf("%q: got %s, want 422", path, resp.Status)
		}
	}
}

// actors are api.Cells that take note of who wants something.
type actors struct {
	*backend
	seen *string
}

func (a actors) Undrain(ctx context.Context, _ string) error {
	*a.seen = app.ActorOf(ctx)
	return nil
}

// Each change has its author: in the context of what tells of it itself, in an
// event of the API of all else. Looks and failures are no changes.
func TestAudit(t *testing.T) {
	j, seen := journal{told: make(chan app.Event, 1)}, ""
	bk := &backend{statuses: func() []app.Status { return nil }, report: func(app.Report) error { return nil }, trust: &trusting{}}
	b := start(t, bk, func(c *api.ServerConfig) { c.Events, c.Cells = j, actors{bk, &seen} })
	for _, tt := range []struct{ method, path, token, want, actor string }{
		{"GET", "/api/v1/apps", userToken, "", ""},
		{"POST", "/api/v1/nothing", userToken, "", ""},
		{"POST", "/api/v1/cells/c/report", "cell:c", "", ""},
		{"DELETE", "/api/v1/cells/c/drain", userToken, "", "admin"},
		{"DELETE", "/api/v1/cells/c/drain", "cell:c", "", "cell c"},
		{"DELETE", "/api/v1/tokens/abc", userToken, "audit.request by admin: DELETE /api/v1/tokens/abc", ""},
		{"POST", "/api/v1/cells/c2/revoke", userToken, "cell.revoked by admin: it is put out of the cluster", ""},
	} {
		seen = ""
		body := io.Reader(http.NoBody)
		if strings.HasSuffix(tt.path, "report") {
			body = strings.NewReader(`{"cell":"c"}`)
		}
		b.raw(t, tt.method, tt.path, tt.token, body)
		got := ""
		select {
		case e := <-j.told:
			got = e.Kind + " by " + e.Actor + ": " + e.Message
		default:
		}
		if got != tt.want || seen != tt.actor {
			t.Errorf("%s %s as %s: got %q by %q, want %q by %q", tt.method, tt.path, tt.token, got, seen, tt.want, tt.actor)
		}
	}
}

// What a browser's EventSource needs: data after an id, the number of the last
// one as a header when it comes again, and its own type for the end.
func TestEventsForBrowsers(t *testing.T) {
	b, j := startJournal(t)
	req, err := http.NewRequestWithContext(t.Context(), "GET", b.url+"/api/v1/events?follow=true", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "text/event-stream")
	req.Header.Set("Last-Event-ID", "6")
	req.Header.Set("Authorization", "Bearer "+userToken)
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: b.sign.pool(), ServerName: api.ServerName}}
	defer tr.CloseIdleConnections()
	resp, err := tr.RoundTrip(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if q := <-j.asked; q.Since != 6 || q.Lines != -1 || resp.Header.Get("Content-Type") != "text/event-stream" {
		t.Errorf("got %s for %+v", resp.Header.Get("Content-Type"), q)
	}
	lines := bufio.NewScanner(resp.Body)
	for i, want := range []string{`id: 7`, `data: {"seq":7`, ``, `id: 9`, `data: {"seq":9`, ``, `event: end`, `data: {"error":{"code":"unavailable"`, ``} {
		if i == 6 {
			b.stop()
		}
		if !lines.Scan() {
			t.Fatalf("line %d is missing: %v", i, lines.Err())
		}
		if got := lines.Text(); !strings.HasPrefix(got, want) || want == "" && got != "" {
			t.Errorf("line %d: got %q, want %q", i, got, want)
		}
	}
}
