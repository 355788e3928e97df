package node

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lattice/app"
	"lattice/logs"
	"lattice/router"
)

func access(name string, at time.Time) *router.Access {
	return &router.Access{
		App: name, Index: 2, Addr: "10.0.0.2:8080", Method: "GET", Host: "web.lab", Target: "/a?b=\"\x1b[2J", Proto: "HTTP/1.1",
		Client: "1.2.3.4", UserAgent: "me", At: at, Took: 1500 * time.Microsecond, Code: 200, Sent: 512, ID: "r1",
	}
}

func TestAccessLog(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hub := logs.New()
		l := newAccessLog(hub, appendAccess)
		ctx, stop := context.WithCancel(t.Context())
		defer stop()
		ended := make(chan error, 1)
		go func() { ended <- l.Run(ctx) }()
		l.add(access("web", time.Now()))
		time.Sleep(accessEvery + time.Millisecond)
		got := hub.Tail("web", -1)
		const want = `1.2.3.4 "GET web.lab/a?b=\"\x1b[2J HTTP/1.1" 200 512 0.0015s to 2@10.0.0.2:8080 agent="me" request_id="r1"`
		if len(got) != 1 || got[0].Text != want || got[0].Source != app.SourceRouter || got[0].Index != 2 || !strings.Contains(got[0].GUID, ".") {
			t.Fatalf("got %+v", got)
		}

		// A flood is cut, and says so; another app is not touched by it.
		for range 5000 {
			l.add(access("web", time.Now()))
		}
		l.add(access("calm", time.Now()))
		time.Sleep(time.Second)
		stop()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
		got = hub.Tail("web", -1)
		loss := got[len(got)-1]
		if len(got) != accessBurst+2 || !loss.IsLoss() || loss.Text != fmt.Sprintf("%d requests not logged: there were more than 100 a second", 5000-accessBurst) {
			t.Errorf("%d lines; the last is %q", len(got), loss.Text)
		}
		for i := 1; i < len(got); i++ {
			if got[i].Seq <= got[i-1].Seq || strings.Contains(got[i].Text, "missing") {
				t.Fatalf("line %d after %d: %q", got[i].Seq, got[i-1].Seq, got[i].Text)
			}
		}
		if n := len(hub.Tail("calm", -1)); n != 1 {
			t.Errorf("another app has %d lines", n)
		}
		l.flush(time.Now().Add(accessIdle + time.Second))
		if len(l.apps) != 0 {
			t.Errorf("%d apps are remembered", len(l.apps))
		}
	})
}
