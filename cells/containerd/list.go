package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"time"

	tasksapi "github.com/containerd/containerd/api/services/tasks/v1"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/errdefs"
	"github.com/containerd/errdefs/pkg/errgrpc"

	"lattice/cells"
)

// List returns all containers of this cell.
func (r *Runtime) List(ctx context.Context) ([]cells.Container, error) {
	ctx = r.context(ctx)
	records, states, err := r.survey(ctx)
	if err != nil {
		return nil, err
	}
	out := make([]cells.Container, 0, len(records))
	for _, rec := range records {
		c, err := fromLabels(rec)
		if err != nil {
			return nil, err
		}
		c.Running = states[rec.ID] == task.Status_RUNNING
		out = append(out, c)
	}
	return out, nil
}

// survey returns all containers, and the states of those that have a task.
func (r *Runtime) survey(ctx context.Context) ([]containers.Container, map[string]task.Status, error) {
	records, err := r.client.ContainerService().List(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("list containers: %w", err)
	}
	tasks, err := r.client.TaskService().List(ctx, &tasksapi.ListTasksRequest{})
	if err != nil {
		return nil, nil, fmt.Errorf("list containers: %w", errgrpc.ToNative(err))
	}
	states := make(map[string]task.Status, len(tasks.Tasks))
	for _, t := range tasks.Tasks {
		states[t.ID] = t.Status
	}
	return records, states, nil
}

func fromLabels(rec containers.Container) (cells.Container, error) {
	c := cells.Container{GUID: rec.ID, App: rec.Labels[labelApp]}
	var err1, err2, err3 error
	c.Index, err1 = strconv.Atoi(rec.Labels[labelIndex])
	c.Started, err2 = time.Parse(time.RFC3339Nano, rec.Labels[labelStarted])
	err3 = json.Unmarshal([]byte(rec.Labels[labelLease]), &c.Lease)
	if err := errors.Join(err1, err2, err3); err != nil {
		return c, fmt.Errorf("read labels of container %s: %w", rec.ID, err)
	}
	return c, nil
}

// restore takes over the containers of an earlier process and removes those it
// did not finish. exits says how those ended that did since.
func (r *Runtime) restore(ctx context.Context, exits map[string]cells.Exit) error {
	for guid, e := range exits {
		if err := r.keepExit(ctx, guid, e); err != nil && !errdefs.IsNotFound(err) {
			return err
		}
	}
	records, states, err := r.survey(ctx)
	if err != nil {
		return err
	}
	known := map[string]bool{}
	var unfinished []string
	var kept []cells.Lease
	for _, rec := range records {
		known[rec.ID] = true
		c, err := fromLabels(rec)
		base, err2 := strconv.ParseUint(rec.Labels[labelIDBase], 10, 32)
		_, ended := keptExit(rec)
		state := states[rec.ID]
		if err != nil || err2 != nil || !ended && state != task.Status_RUNNING && state != task.Status_STOPPED {
			unfinished = append(unfinished, rec.ID)
			continue
		}
		r.ids.keep(c.App, c.GUID, uint32(base))
		if rec.Labels[labelBuild] != "" && state == task.Status_RUNNING {
			if err := r.openRegistry(c.GUID, uint32(base)); err != nil {
				return fmt.Errorf("open the way to the registry for %s: %w", c.GUID, err)
			}
		}
		kept = append(kept, c.Lease)
	}
	// First of all, for it must be told of nothing before.
	if r.cfg.Network != nil {
		if err := r.cfg.Network.Restore(ctx, kept); err != nil {
			return fmt.Errorf("restore network: %w", err)
		}
	}
	folders, err := os.ReadDir(filepath.Join(r.cfg.Root, "containers"))
	if err != nil {
		return fmt.Errorf("list folders of containers: %w", err)
	}
	for _, f := range folders {
		if !known[f.Name()] {
			unfinished = append(unfinished, f.Name())
		}
	}
	for _, guid := range unfinished {
		r.cfg.Log.Info("removing an unfinished container", "instance", guid)
		if err := r.Remove(ctx, guid); err != nil {
			return err
		}
	}
	return nil
}
