package node

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"lattice/app"
	"lattice/logs"
)

// A forgetful sink is a brain that is away for a while, or starts anew.
type forgetful struct {
	*logs.Hub
	away bool
}

func (f *forgetful) LogCursors(_ context.Context, guids []string) (map[string]uint64, error) {
	if f.away {
		return nil, errors.New("away")
	}
	return f.Hub.Cursors(guids), nil
}

func (f *forgetful) SendLogs(_ context.Context, lines []app.LogLine) error {
	f.Hub.Append(lines)
	return nil
}

func TestDebugLogReachesTheBrain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, log := newDebugLog("cell-1", slog.New(slog.NewTextHandler(io.Discard, nil)))
		brain := &forgetful{Hub: logs.New()}
		ctx, stop := context.WithCancel(t.Context())
		ended := make(chan error)
		go func() { ended <- d.ship(ctx, brain) }()
		texts := func() string {
			synctest.Wait()
			time.Sleep(5 * time.Second)
			var all []string
			for _, l := range brain.Tail(app.DebugLog, -1) {
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

		brain.away = true
		log.Info("while it is away")
		texts()
		brain.Hub, brain.away = logs.New(), false
		if got := texts(); got != want+"\ncell-1: INFO while it is away" {
			t.Errorf("a brain that starts anew got\n%s", got)
		}

		brain.away = true
		for range debugKept + 5 {
			log.Info("storm")
		}
		texts()
		brain.Hub, brain.away = logs.New(), false
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
