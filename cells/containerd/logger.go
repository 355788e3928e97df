package containerd

import (
	"context"
	"io"
	"log/slog"

	"github.com/containerd/log"
	"github.com/sirupsen/logrus"
)

// newLogger returns a logger for containerd that writes to l.
func newLogger(l *slog.Logger) *log.Entry {
	lr := logrus.New()
	lr.SetOutput(io.Discard)
	lr.AddHook(slogHook{l})
	// Some of containerd logs without a context; it must not write to our stderr.
	std := logrus.StandardLogger()
	std.SetOutput(io.Discard)
	std.ReplaceHooks(lr.Hooks)
	return logrus.NewEntry(lr)
}

// slogHook hands containerd's messages on, all as Debug: it calls much of what
// is normal an error, and what fails we learn from the errors it returns.
type slogHook struct{ log *slog.Logger }

func (h slogHook) Levels() []logrus.Level { return logrus.AllLevels }

func (h slogHook) Fire(e *logrus.Entry) error {
	ctx := e.Context
	if ctx == nil {
		ctx = context.Background()
	}
	if !h.log.Enabled(ctx, slog.LevelDebug) {
		return nil
	}
	args := []any{"reason", e.Message}
	if err, ok := e.Data[logrus.ErrorKey]; ok {
		args = append(args, "err", err)
	}
	if id, ok := e.Data["id"]; ok {
		args = append(args, "instance", id)
	}
	h.log.DebugContext(ctx, "containerd", args...)
	return nil
}
