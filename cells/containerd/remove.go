package containerd

import (
	"context"
	"errors"
	"fmt"
	"os"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"
)

// Remove deletes all there is of a container but its logs. It goes on where it
// can when a part fails, so that calling it again has less to do.
func (r *Runtime) Remove(ctx context.Context, guid string) error {
	ctx = r.context(ctx)
	err := r.deleteTask(ctx, guid)
	if err != nil {
		// What its process may still use must stay.
		return fmt.Errorf("remove container %s: %w", guid, err)
	}
	if r.cfg.Network != nil {
		err = r.cfg.Network.Release(ctx, guid)
	}
	err = errors.Join(err,
		r.deleteSnapshot(ctx, guid),
		r.removeCgroup(guid),
		r.closeRegistry(guid),
		os.RemoveAll(r.dir(guid)),
	)
	if err != nil {
		return fmt.Errorf("remove container %s: %w", guid, err)
	}
	// Last, for as long as it is listed somebody will try again.
	err = r.client.ContainerService().Delete(ctx, guid)
	if err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("remove container %s: %w", guid, err)
	}
	r.ids.release(guid, r.removeCgroupParents)
	if err != nil {
		return nil // there was none, so it left no garbage
	}
	return r.collect(ctx)
}

// deleteTask ends the process, if there is one, and everything around it.
func (r *Runtime) deleteTask(ctx context.Context, guid string) error {
	_, err := r.client.TaskService().Get(ctx, &tasksapi.GetRequest{ContainerID: guid})
	if err = errgrpc.ToNative(err); errdefs.IsNotFound(err) {
		return r.sweep(ctx, guid)
	}
	ended, cancel := r.ended(ctx, guid)
	defer cancel()
	if err := r.killNow(ctx, guid, ended); err != nil {
		return err
	}
	_, err = r.client.TaskService().Delete(ctx, &tasksapi.DeleteTaskRequest{ContainerID: guid})
	if err = errgrpc.ToNative(err); err != nil && !errdefs.IsNotFound(err) {
		return fmt.Errorf("delete task: %w", err)
	}
	return nil
}
