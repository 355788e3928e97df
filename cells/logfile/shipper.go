package logfile

import (
	"context"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"os"
	"sync"
	"time"

	"lattice/app"
)

// A Sink is where lines are delivered to: the brain.
type Sink interface {
	// LogCursors returns the Seq of the last line the sink has of each GUID;
	// of those it has nothing of, 0 or nothing.
	LogCursors(ctx context.Context, guids []string) (map[string]uint64, error)

	// SendLogs delivers lines, which are in order for each GUID. When it fails
	// the sink may have taken some, all or none. All text forms together (see
	// app.AppendLogLine) are less than MaxBatch bytes.
	SendLogs(ctx context.Context, lines []app.LogLine) error
}

// MaxBatch is the limit of what one SendLogs carries, in bytes.
const MaxBatch = 4 << 20

const (
	gather      = 10 * time.Millisecond // after a quiet time, for lines that come together
	tick        = time.Second
	checkEvery  = time.Second      // of what was sent
	surveyEvery = 30 * time.Second // of everything, in case a notice was lost or the brain has forgotten
	pruneEvery  = time.Minute
	firstRetry  = 50 * time.Millisecond // after the sink failed; doubles
	lastRetry   = 3 * time.Second
)

// A Shipper delivers all logs under Root to Sink: each line once and in order
// for each GUID, or a line that says how many were dropped. It never holds up
// a Writer.
//
// It works from what the sink says it has, at the start, after each failure,
// and now and then in between. So a sink that lost its memory gets again what
// is still on disk.
type Shipper struct {
	Root string
	Sink Sink
	// Live returns the GUIDs, up to their first dot if they have one, of the logs
	// that may still be written to; nil when it doesn't know yet. Other logs are
	// removed in time, see Keep. If Live itself is nil nothing is removed.
	Live func() map[string]bool
	Keep Keep // the zero value is DefaultKeep
	Log  *slog.Logger
}

// Run delivers until ctx is done. It returns an error only when it can't watch
// Root at all.
func (s *Shipper) Run(ctx context.Context) error {
	if err := os.MkdirAll(s.Root, 0o700); err != nil {
		return fmt.Errorf("deliver logs: %w", err)
	}
	w, err := newWatch(s.Root, s.Log)
	if err != nil {
		return fmt.Errorf("watch the logs in %s: %w", s.Root, err)
	}
	defer w.fs.Close()
	var bg sync.WaitGroup
	defer bg.Wait()
	bg.Go(func() { w.run(ctx) })
	s.loop(ctx, newShipment(s, w))
	return nil
}

func (s *Shipper) loop(ctx context.Context, sh *shipment) {
	t := time.NewTicker(tick)
	defer t.Stop()
	retry := firstRetry
	down := false
	for ctx.Err() == nil {
		sh.housekeep(time.Now())
		more, err := sh.round(ctx, time.Now())
		switch {
		case ctx.Err() != nil:
		case err != nil:
			if !down {
				s.Log.Warn("brain takes no logs, keeping them on disk", "err", err)
			}
			down = true
			pause(ctx, retry/2+rand.N(retry))
			retry = min(2*retry, lastRetry)
		case more:
		default:
			if down {
				s.Log.Info("brain has all logs again")
			}
			down, retry = false, firstRetry
			select {
			case <-ctx.Done():
			case <-t.C:
			case <-sh.watch.wake:
				pause(ctx, gather)
			}
		}
	}
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}
