package router_test

import (
	"bytes"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"lattice/app"
	"lattice/router"
)

func TestEveryRequestIsTold(t *testing.T) {
	var mu sync.Mutex
	var told []string
	r := router.New(router.Options{OnAccess: func(a *router.Access) {
		mu.Lock()
		defer mu.Unlock()
		told = append(told, fmt.Sprintf("%s/%d %s %s %s %d by %s, %s %s", a.App, a.Index, a.Method, a.Host+a.Target, a.Proto, a.Code, a.UserAgent, a.ID, a.ForwardedFor))
		if a.Client != "127.0.0.1" || a.Took <= 0 || a.At.IsZero() || a.Sent == 0 {
			t.Errorf("got %+v", *a)
		}
	}})
	s := backend(t, "", func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(201) })
	r.Swap(router.Build([]app.Status{instances("web", addr(s)), instances("empty"), instances("dead", nobody(t))}, "lab", nil))
	client := front(t, r)
	for _, host := range []string{"web", "empty", "dead", "nobody"} {
		get(t, client, "http://"+host+".lab/a?b", "User-Agent", "me", "X-Request-Id", "r1", "X-Forwarded-For", "1.2.3.4")
	}
	tail := " by me, r1 1.2.3.4"
	want := []string{"web/0 GET web.lab/a?b HTTP/1.1 201" + tail, "empty/-1 GET empty.lab/a?b HTTP/1.1 503 by me,", "dead/0 GET dead.lab/a?b HTTP/1.1 502" + tail}
	eventually(t, func() bool { // after its answer has gone out
		mu.Lock()
		defer mu.Unlock()
		return len(told) == len(want) && r.Counts().Unrouted == 1
	})
	slices.Sort(told) // they came on different connections
	slices.Sort(want)
	for i := range want {
		if !strings.HasPrefix(told[i], want[i]) {
			t.Errorf("got %q, want %q", told[i], want[i])
		}
	}

	var text bytes.Buffer
	if err := router.WriteMetrics(&text, map[string]app.RouterCounts{"": r.Counts()}); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		`lattice_router_requests_total{app="web",code="2xx"} 1`,
		`lattice_router_requests_total{app="empty",code="5xx"} 1`,
		`lattice_router_request_duration_seconds_bucket{app="dead",le="+Inf"} 1`,
		`lattice_router_request_duration_seconds_count{app="web"} 1`,
		"lattice_router_received_total 4", "lattice_router_unrouted_total 1", "lattice_router_unreachable_total 1",
		`lattice_router_in_flight{app="web",index="0",addr="` + addr(s) + `"} 0`,
		`lattice_router_resting{app="dead",index="0",`,
	} {
		if !strings.Contains(text.String(), "\n"+line) {
			t.Errorf("%s is missing in\n%s", line, text.String())
		}
	}

	if c := router.Telling(r.Counts()); len(c.Apps) != 3 || len(c.Backends) != 1 || c.Backends[0].App != "dead" {
		t.Errorf("what there is to tell: %+v", c)
	}
	r.Swap(router.Build([]app.Status{instances("idle", addr(s))}, "lab", nil))
	if c := router.Telling(r.Counts()); len(c.Apps)+len(c.Backends) != 0 {
		t.Errorf("an app that nobody has asked for is told of: %+v", c)
	}

	r.Swap(router.Build(nil, "lab", nil))
	text.Reset()
	if err := router.WriteMetrics(&text, map[string]app.RouterCounts{"": r.Counts()}); err != nil || strings.Contains(text.String(), `app="`) {
		t.Errorf("an app that is gone is still there: %v\n%s", err, text.String())
	}

}
