package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"
	"syscall"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
	"github.com/moby/sys/signal"

	"lattice/app"
	"lattice/cells"
)

// lostCode is the exit code of a container whose shim died, and the container
// with it; nobody knows the real one.
const lostCode = 255

// killTime is how long a process may take to end after SIGKILL, which is long
// only if it hangs in the kernel.
const killTime = 30 * time.Second

// Wait blocks until the container's process has ended.
func (r *Runtime) Wait(ctx context.Context, guid string) (cells.Exit, error) {
	ctx = r.context(ctx)
	res, err := r.client.TaskService().Wait(ctx, &tasksapi.WaitRequest{ContainerID: guid})
	if err != nil {
		if ctx.Err() != nil {
			return cells.Exit{}, fmt.Errorf("wait for container %s: %w", guid, ctx.Err())
		}
		if _, err := r.client.ContainerService().Get(ctx, guid); errdefs.IsNotFound(err) {
			return cells.Exit{}, fmt.Errorf("container %s: %w", guid, app.ErrNotFound)
		}
		r.cfg.Log.Warn("lost the shim of a container", "instance", guid, "err", err)
		return cells.Exit{Code: lostCode, At: time.Now()}, nil
	}
	e := cells.Exit{Code: int(res.ExitStatus), At: protobuf.FromTimestamp(res.ExitedAt)}
	if e.Code == 128+int(syscall.SIGKILL) {
		n, err := r.oomKills(guid)
		if err != nil && !errors.Is(err, os.ErrNotExist) { // removed meanwhile
			r.cfg.Log.Warn("can't tell whether memory ran out", "instance", guid, "err", err)
		}
		e.OOMKilled = n > 0
	}
	return e, nil
}

// Stop ends the container's process, by force after grace.
func (r *Runtime) Stop(ctx context.Context, guid, name string, grace time.Duration) error {
	if name == "" {
		name = "SIGTERM"
	}
	sig, err := signal.ParseSignal(name)
	if err != nil {
		return app.Invalid("stop signal %q is unknown", name)
	}
	ctx = r.context(ctx)
	ended, cancel := r.ended(ctx, guid)
	defer cancel()
	if gone, err := r.kill(ctx, guid, sig); gone || err != nil {
		return err
	}
	timer := time.NewTimer(grace)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop container %s: %w", guid, ctx.Err())
	case <-timer.C:
	}
	return r.killNow(ctx, guid, ended)
}

// killNow ends the process by force and waits until it has ended.
func (r *Runtime) killNow(ctx context.Context, guid string, ended <-chan struct{}) error {
	if gone, err := r.kill(ctx, guid, syscall.SIGKILL); gone || err != nil {
		return err
	}
	timer := time.NewTimer(killTime)
	defer timer.Stop()
	select {
	case <-ended:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("kill container %s: %w", guid, ctx.Err())
	case <-timer.C:
		return fmt.Errorf("kill container %s: its process does not end", guid)
	}
}

// ended returns a channel that is closed when the process has ended, which may
// be at once. The caller must call cancel.
func (r *Runtime) ended(ctx context.Context, guid string) (ended <-chan struct{}, cancel func()) {
	ctx, stop := context.WithCancel(ctx)
	c, back := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(back)
		// An error means that there is no such task, or that ctx has ended.
		_, err := r.client.TaskService().Wait(ctx, &tasksapi.WaitRequest{ContainerID: guid})
		if err == nil || ctx.Err() == nil {
			close(c)
		}
	}()
	return c, func() { stop(); <-back }
}

// kill sends sig and reports whether there was nobody to send it to.
func (r *Runtime) kill(ctx context.Context, guid string, sig syscall.Signal) (gone bool, err error) {
	_, err = r.client.TaskService().Kill(ctx, &tasksapi.KillRequest{ContainerID: guid, Signal: uint32(sig)})
	switch err = errgrpc.ToNative(err); {
	case err == nil:
		return false, nil
	case errdefs.IsNotFound(err):
		return true, nil
	default:
		return false, fmt.Errorf("send %v to container %s: %w", sig, guid, err)
	}
}
