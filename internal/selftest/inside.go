package selftest

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"lattice/app"
)

// exitCode is unusual, so that it can't come from anything else.
const exitCode = 42

// task runs a task to its end.
func task(ctx context.Context, t *trial) error {
	_, err := t.brain.CreateTask(ctx, app.Task{
		Name:        t.task,
		Spec:        app.App{Image: image, Command: []string{"/bin/hello", "task", "-exit", fmt.Sprint(exitCode), "-write", "/tmp/result", "-say", t.task}, Instances: 1, MemoryMB: 64},
		TaskOptions: app.TaskOptions{ResultFile: "/tmp/result"},
	})
	if err != nil {
		return err
	}
	return t.until(ctx, "wait for its end", func() error {
		got, err := t.brain.Task(ctx, t.task)
		switch {
		case err != nil:
			return err
		case got.State != app.Completed:
			return fmt.Errorf("it is %s %s", got.State, got.Reason)
		case got.ExitCode == nil || *got.ExitCode != exitCode:
			return fmt.Errorf("its exit code is not %d: %s", exitCode, got.Reason)
		case got.Result != t.task:
			return fmt.Errorf("its result is %q", got.Result)
		}
		return nil
	})
}

// session runs a command inside an instance.
func session(ctx context.Context, t *trial) error {
	link, err := t.brain.Exec(ctx, t.name, app.NoIndex, app.SessionRequest{
		Kind: app.SessionExec, Command: []string{"/bin/hello", "task", "-exit", fmt.Sprint(exitCode), "-say", t.name},
	})
	if err != nil {
		return err
	}
	defer context.AfterFunc(ctx, link.Abort)()
	defer link.Abort()
	var out strings.Builder
	for {
		ch, data, err := link.Receive()
		if err != nil {
			return err
		}
		switch ch {
		case app.ChanOut:
			out.Write(data)
		case app.ChanEnd:
			var end app.SessionEnd
			if err := json.Unmarshal(data, &end); err != nil {
				return err
			}
			if end.Code != exitCode || !strings.Contains(out.String(), t.name) {
				return fmt.Errorf("it ended with %d %s and printed %q", end.Code, end.Reason, out.String())
			}
			return nil
		}
	}
}

// dropTask deletes the task, if it is there.
func (t *trial) dropTask(ctx context.Context) error {
	if err := t.brain.DeleteTask(ctx, t.task); err != nil && !errors.Is(err, app.ErrNotFound) {
		return err
	}
	return nil
}
