package containerd

import (
	"log/slog"
	"time"

	"lattice/cells"
)

// phases measures the parts of one start.
type phases struct {
	out   *slog.Logger
	begin time.Time
	last  time.Time
	args  []any
}

func startPhases(log *slog.Logger, s cells.Spec) *phases {
	now := time.Now()
	return &phases{log.With("app", s.App, "instance", s.GUID), now, now, nil}
}

// done notes that the part name has ended now.
func (p *phases) done(name string) {
	now := time.Now()
	p.args = append(p.args, slog.Duration(name, now.Sub(p.last)))
	p.last = now
}

func (p *phases) log() {
	p.out.Debug("container started", "took", p.last.Sub(p.begin), slog.Group("phases", p.args...))
}
