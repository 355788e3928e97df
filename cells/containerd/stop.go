package containerd

import (
	"context"
	"errors"
	"fmt"
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
		return r.lost(ctx, guid, err)
	}
	return r.exit(guid, res.ExitStatus, protobuf.FromTimestamp(res.ExitedAt)), nil
}

// lost returns how a container ended that has no task; cause says why not.
func (r *Runtime) lost(ctx context.Context, guid string, cause error) (cells.Exit, error) {
	c, err := r.client.ContainerService().Get(ctx, guid)
	if errdefs.IsNotFound(err) {
		return cells.Exit{}, fmt.Errorf("container %s: %w", guid, app.ErrNotFound)
	}
	if err != nil {
		return cells.Exit{}, fmt.Errorf("wait for container %s: %w", guid, err)
	}
	if e, ok := keptExit(c); ok {
		return e, nil
	}
	if err := r.sweep(ctx, guid); err != nil { // its process may still run
		return cells.Exit{}, err
	}
	r.cfg.Log.Warn("lost the shim of a container", "instance", guid, "err", cause)
	e := cells.Exit{Code: lostCode, At: time.Now()}
	return e, r.keepExit(ctx, guid, e)
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
	if err := r.kill(ctx, guid, sig); err != nil {
		return err
	}
	over, err := within(ctx, grace, ended)
	if err != nil {
		return fmt.Errorf("stop container %s: %w", guid, err)
	}
	if over {
		return nil
	}
	return r.killNow(ctx, guid, ended)
}

// killNow ends the process by force and waits until it has ended.
func (r *Runtime) killNow(ctx context.Context, guid string, ended <-chan struct{}) error {
	if err := r.kill(ctx, guid, syscall.SIGKILL); err != nil {
		return err
	}
	over, err := within(ctx, killTime, ended)
	if err == nil && !over {
		err = errors.New("its process does not end")
	}
	if err != nil {
		return fmt.Errorf("kill container %s: %w", guid, err)
	}
	return nil
}

// within waits for ended, at most for d, and reports whether it came.
func within(ctx context.Context, d time.Duration, ended <-chan struct{}) (bool, error) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ended:
		return true, nil
	case <-timer.C:
		return false, nil
	case <-ctx.Done():
		return false, ctx.Err()
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

// kill sends sig. That there is nobody to send it to is no error: the process
// has ended, or is about to be seen to have.
func (r *Runtime) kill(ctx context.Context, guid string, sig syscall.Signal) error {
	_, err := r.client.TaskService().Kill(ctx, &tasksapi.KillRequest{ContainerID: guid, Signal: uint32(sig)})
	if err = errgrpc.ToNative(err); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("send %v to container %s: %w", sig, guid, err)
	}
	return nil
}
