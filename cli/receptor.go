package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"lattice/app"
)

// A receptorTask is the TaskCreateRequest of Lattice's Receptor, as far as it
// means something here.
type receptorTask struct {
	GUID       string                     `json:"task_guid"`
	RootFS     string                     `json:"rootfs"`
	Action     map[string]json.RawMessage `json:"action"`
	Env        []receptorVariable         `json:"env"`
	CPUWeight  int                        `json:"cpu_weight"`
	MemoryMB   int                        `json:"memory_mb"`
	DiskMB     int                        `json:"disk_mb"`
	Privileged bool                       `json:"privileged"`
	ResultFile string                     `json:"result_file"`
	Callback   string                     `json:"completion_callback_url"`
	Egress     []json.RawMessage          `json:"egress_rules"`
}

type receptorVariable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// meaningless are the fields of a receptorTask for which there is no use here.
var meaningless = []string{"annotation", "domain", "log_guid", "log_source", "metrics_guid"}

// parseReceptor reads a task in the Receptor's JSON. It fails where that asks for
// what can't be done here.
func parseReceptor(text []byte) (t app.Task, ignored []string, err error) {
	var r receptorTask
	var fields map[string]json.RawMessage
	if err := errors.Join(json.Unmarshal(text, &r), json.Unmarshal(text, &fields)); err != nil {
		return t, nil, err
	}
	known := []string{"task_guid", "rootfs", "action", "env", "cpu_weight", "memory_mb", "disk_mb", "privileged", "result_file", "completion_callback_url", "egress_rules"}
	for _, name := range slices.Sorted(maps.Keys(fields)) {
		switch {
		case slices.Contains(meaningless, name):
			ignored = append(ignored, name)
		case !slices.Contains(known, name):
			return t, nil, fmt.Errorf("a Receptor task has no field %q", name)
		}
	}
	if len(r.Egress) > 0 {
		return t, nil, errors.New(`"egress_rules" are not possible: a task may connect to everywhere`)
	}
	t = app.Task{Name: r.GUID, TaskOptions: app.TaskOptions{ResultFile: r.ResultFile, CallbackURL: r.Callback}}
	t.Spec = app.App{Name: r.GUID, Instances: 1, MemoryMB: r.MemoryMB, DiskMB: r.DiskMB, CPUWeight: r.CPUWeight, Privileged: r.Privileged, Env: map[string]string{}}
	for _, v := range r.Env {
		t.Spec.Env[v.Name] = v.Value
	}
	if t.Spec.Image, err = receptorImage(r.RootFS); err != nil {
		return t, nil, err
	}
	return t, ignored, receptorAction(&t, r.Action, &ignored)
}

// receptorImage returns the image that a rootfs of the Receptor names:
// docker://[HOST]/NAME[#TAG].
func receptorImage(rootfs string) (string, error) {
	rest, ok := strings.CutPrefix(rootfs, "docker://")
	if !ok {
		return "", fmt.Errorf("the rootfs %q is no Docker image: only docker:///NAME#TAG and docker://HOST/NAME#TAG are possible", rootfs)
	}
	name, tag, tagged := strings.Cut(strings.TrimPrefix(rest, "/"), "#")
	if tagged {
		name += ":" + tag
	}
	return name, nil
}

// receptorAction puts an action into t: a run, which may be inside of a timeout.
func receptorAction(t *app.Task, action map[string]json.RawMessage, ignored *[]string) error {
	if len(action) != 1 {
		return errors.New(`"action" must be an object with one action in it`)
	}
	for kind, body := range action {
		switch kind {
		case "run":
			return receptorRun(t, body, ignored)
		case "timeout":
			var inner struct {
				Action  map[string]json.RawMessage `json:"action"`
				Timeout time.Duration              `json:"timeout"`
			}
			if err := json.Unmarshal(body, &inner); err != nil {
				return err
			}
			if t.Timeout == 0 || app.Duration(inner.Timeout) < t.Timeout {
				t.Timeout = app.Duration(inner.Timeout)
			}
			return receptorAction(t, inner.Action, ignored)
		default:
			return fmt.Errorf("the action %q is not possible: a task runs one command, by the action \"run\", which may be inside of \"timeout\"", kind)
		}
	}
	return nil
}

func receptorRun(t *app.Task, body json.RawMessage, ignored *[]string) error {
	var run struct {
		Path   string             `json:"path"`
		Args   []string           `json:"args"`
		Dir    string             `json:"dir"`
		Env    []receptorVariable `json:"env"`
		User   string             `json:"user"`
		Limits json.RawMessage    `json:"resource_limits"`
		Source string             `json:"log_source"`
	}
	if err := json.Unmarshal(body, &run); err != nil {
		return err
	}
	if run.Path == "" {
		return errors.New(`the action "run" has no path`)
	}
	for name, has := range map[string]bool{"action.run.log_source": run.Source != "", "action.run.resource_limits": len(run.Limits) > 0 && string(run.Limits) != "{}" && string(run.Limits) != "null"} {
		if has {
			*ignored = append(*ignored, name)
		}
	}
	slices.Sort(*ignored)
	t.Spec.Command = append([]string{run.Path}, run.Args...)
	t.Spec.Dir, t.Spec.User = run.Dir, run.User
	for _, v := range run.Env {
		t.Spec.Env[v.Name] = v.Value
	}
	return nil
}
