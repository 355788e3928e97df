package cells

import (
	"context"
	"math/rand/v2"
	"time"
)

// retry is a pause that doubles from first to last, with jitter, until it is
// reset.
type retry struct {
	first, last time.Duration
	d           time.Duration
}

func (r *retry) reset() { r.d = 0 }

func (r *retry) sleep(ctx context.Context) {
	r.d = min(max(2*r.d, r.first), r.last)
	sleep(ctx, r.d/2+rand.N(r.d/2))
}

// sleep waits for d or for the end of ctx, and reports whether d passed.
func sleep(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}
