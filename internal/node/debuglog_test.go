package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"lattice/app"
	"lattice/logs"
)

// A forgetful sink is a brain that is away for a while, or starts anew.
type forgetful struct {
	mu   sync.Mutex // guards what follows
	hub  *logs.Hub
	away bool
}

func (f *forgetful) LogCursors(_ context.Context, guids []string) (map[string]uint64, error) {
	hub, away := f.now()
	if away {
		return nil, errors.New("away")
	}
	return hub.Cursors(guids), nil
}

func (f *forgetful) SendLogs(_ context.Context, lines []app.LogLine) error {
	hub, _ := f.now()
	hub.Append(lines)
	return nil
}

func (f *forgetful) now() (*logs.Hub, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hub, f.away
}

// leave takes it away; set brings it back.
func (f *forgetful) leave() {
	hub, _ := f.now()
	f.set(hub, true)
}

func (f *forgetful) set(hub *logs.Hub, away bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.hub, f.away = hub, away
}

func TestDebugLogReachesTheBrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log := newDebugLog("cell-1", slog.New(slog.NewTextHandler(io.Discard, nil)))
		brain := &forgetful{hub: logs.New()}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.ship(ctx, brain) }()
		texts := func() string {
			synctest.Wait()
			time.Sleep(5 * time.Second)
			var all []string
			hub, _ := brain.now()
			for _, l := range hub.Tail(app.DebugLog, -1) {
				all = append(all, l.Source+": "+l.Text)
			}
			return strings.Join(all, "\n")
		}
		log.With("part", "agent").Info("instance crashed", "app", "web", "reason", "exited with code 1")
		log.Debug("not wanted at this level")
		log.WithGroup("g").Warn("grouped", "k", "v")
		want := "cell-1: INFO instance crashed part=agent app=web reason=\"exited with code 1\"\ncell-1: WARN grouped g.k=v"
		if got := texts(); got != want {
			t.Errorf("got\n%s\nwant\n%s", got, want)
		}

		brain.leave()
		log.Info("while it is away")
		texts()
		brain.set(logs.New(), false)
		if got := texts(); got != want+"\ncell-1: INFO while it is away" {
			t.Errorf("a brain that starts anew got\n%s", got)
		}

		brain.leave()
		for range debugKept + 5 {
			log.Info("storm")
		}
		texts()
		brain.set(logs.New(), false)
		got := texts()
		if n := strings.Count(got, "storm"); n != debugKept || !strings.HasPrefix(got, "LOG: earlier lines of cell-1 are not kept") {
			t.Errorf("got %d lines, and first %.60s", n, got)
		}
		stop()
		if err := <-ended; err != nil {
			t.Error(err)
		}
	})
}
