package manifest

import (
	"bytes"
	"encoding/json"
	"fmt"
	"path"
	"strconv"
	"strings"
	"time"

	"lattice/app"
)

// A lrp is a DesiredLRPCreateRequest of Diego's Receptor, as submit-lrp took it.
type lrp struct {
	ProcessGUID  string                     `json:"process_guid"`
	Domain       string                     `json:"domain"`
	RootFS       string                     `json:"rootfs"`
	Instances    int                        `json:"instances"`
	Env          []lrpVariable              `json:"env"`
	Setup        json.RawMessage            `json:"setup"`
	Action       json.RawMessage            `json:"action"`
	Monitor      json.RawMessage            `json:"monitor"`
	StartTimeout int                        `json:"start_timeout"` // seconds
	DiskMB       int                        `json:"disk_mb"`
	MemoryMB     int                        `json:"memory_mb"`
	CPUWeight    int                        `json:"cpu_weight"`
	Privileged   bool                       `json:"privileged"`
	Ports        []int                      `json:"ports"`
	Routes       map[string]json.RawMessage `json:"routes"`
	LogGUID      string                     `json:"log_guid"`
	LogSource    string                     `json:"log_source"`
	MetricsGUID  string                     `json:"metrics_guid"`
	Annotation   string                     `json:"annotation"`
	EgressRules  []json.RawMessage          `json:"egress_rules"`
}

type lrpVariable struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// ParseLRP returns the app of a DesiredLRPCreateRequest, and what of it Lattice
// today has no use for, each with the reason. What it can't do is an error.
func ParseLRP(data []byte) (Spec, []string, error) {
	var l lrp
	dec := json.NewDecoder(bytes.NewReader(data))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&l); err != nil || len(data) > MaxBytes {
		return Spec{}, nil, app.Invalid("it is no DesiredLRPCreateRequest: %s", jsonError(err))
	}
	if l.ProcessGUID == "" {
		return Spec{}, nil, app.Invalid("process_guid is missing, which becomes the app's name")
	}
	image, err := lrpImage(l.RootFS)
	if err != nil {
		return Spec{}, nil, err
	}
	a := app.App{
		Name: l.ProcessGUID, Image: image, Instances: l.Instances, MemoryMB: l.MemoryMB, DiskMB: l.DiskMB,
		CPUWeight: l.CPUWeight, Ports: l.Ports, Privileged: l.Privileged, StartTimeout: app.Duration(time.Duration(l.StartTimeout) * time.Second), Env: map[string]string{},
	}
	for _, v := range l.Env {
		a.Env[v.Name] = v.Value
	}
	run, err := lrpRun("action", l.Action)
	if err != nil {
		return Spec{}, nil, err
	}
	run.startOf(&a)
	if a.Check, err = lrpCheck(l.Monitor); err != nil {
		return Spec{}, nil, err
	}
	unused, err := l.rest(&a)
	return Spec{App: a.WithDefaults(), Scaled: true}, unused, err
}

// rest fills in the routes and tells what is of no use.
func (l lrp) rest(a *app.App) (unused []string, err error) {
	if len(l.Setup) > 0 && string(l.Setup) != "null" {
		unused = append(unused, "setup: the image has to bring all that it needs")
	}
	for _, f := range []struct {
		name string
		set  bool
		why  string
	}{
		{"annotation", l.Annotation != "", "apps have none"},
		{"egress_rules", len(l.EgressRules) > 0, "apps may connect to anywhere"},
		{"log_source", l.LogSource != "", "lines of an app are of the source APP"},
	} {
		if f.set {
			unused = append(unused, f.name+": "+f.why)
		}
	}
	for kind := range l.Routes {
		switch kind {
		case "cf-router":
			err = l.hosts(a)
		case "diego-ssh":
		case "tcp-router":
			unused = append(unused, "routes tcp-router: give TCP routes with `ltc update APP --tcp-route EXTERNAL:PORT`")
		default:
			unused = append(unused, "routes "+kind+": nothing here reads it")
		}
	}
	a.NoRoutes = len(a.Routes) == 0
	return unused, err
}

func (l lrp) hosts(a *app.App) error {
	var list []struct {
		Hostnames []string `json:"hostnames"`
		Port      int      `json:"port"`
	}
	if err := json.Unmarshal(l.Routes["cf-router"], &list); err != nil {
		return app.Invalid("routes cf-router: %s", jsonError(err))
	}
	for _, r := range list {
		for _, name := range r.Hostnames {
			host, path, deep := strings.Cut(name, "/")
			if deep {
				path = "/" + path
			}
			a.Routes = append(a.Routes, app.Route{Host: host, Path: path, Port: r.Port})
		}
	}
	return nil
}

// lrpImage turns docker://[host]/name[#tag] into a reference as Docker has it.
func lrpImage(rootfs string) (string, error) {
	rest, ok := strings.CutPrefix(rootfs, "docker://")
	if !ok || strings.Trim(rest, "/") == "" {
		return "", app.Invalid("rootfs %.100q can't be had: only images of containers can, as docker:///library/redis#3", rootfs)
	}
	name, tag, tagged := strings.Cut(strings.TrimPrefix(rest, "/"), "#")
	if tagged && tag != "" {
		name += ":" + tag
	}
	return name, nil
}

// A runAction is the only kind of action that says what to run.
type runAction struct {
	Path string        `json:"path"`
	Args []string      `json:"args"`
	Dir  string        `json:"dir"`
	Env  []lrpVariable `json:"env"`
	User string        `json:"user"`
}

func (r runAction) startOf(a *app.App) {
	a.Command, a.Dir, a.User = append([]string{r.Path}, r.Args...), r.Dir, r.User
	for _, v := range r.Env {
		a.Env[v.Name] = v.Value
	}
}

// lrpRun returns the one process that an action comes down to. The daemon that
// ltc put beside each app for its ssh is not counted.
func lrpRun(what string, data json.RawMessage) (runAction, error) {
	runs, err := lrpRuns(what, data, 0)
	if err != nil {
		return runAction{}, err
	}
	var own []runAction
	for _, r := range runs {
		if path.Base(r.Path) != "diego-sshd" {
			own = append(own, r)
		}
	}
	if len(own) != 1 {
		return runAction{}, app.Invalid("%s: it runs %d processes, and an app is one: start the others from a script, or make an app of each", what, len(own))
	}
	return own[0], nil
}

// lrpRuns returns all processes of an action.
func lrpRuns(what string, data json.RawMessage, depth int) ([]runAction, error) {
	var action map[string]json.RawMessage
	if err := json.Unmarshal(data, &action); err != nil || len(action) != 1 || depth > 10 {
		return nil, app.Invalid(`%s: it must be {"run": {"path": …, "args": […]}}`, what)
	}
	for kind, body := range action {
		switch kind {
		case "run":
			var r runAction
			if err := json.Unmarshal(body, &r); err != nil || r.Path == "" {
				return nil, app.Invalid("%s: run needs a path: %s", what, jsonError(err))
			}
			return []runAction{r}, nil
		case "timeout", "try", "emit_progress", "serial", "parallel", "codependent":
			return lrpInner(what, kind, body, depth)
		}
		return nil, app.Invalid("%s: %q is nothing an app can do here, only run", what, kind)
	}
	return nil, nil
}

// lrpInner returns the processes of the actions inside another one.
func lrpInner(what, kind string, body json.RawMessage, depth int) ([]runAction, error) {
	var in struct {
		Action  json.RawMessage   `json:"action"`
		Actions []json.RawMessage `json:"actions"`
	}
	if err := json.Unmarshal(body, &in); err != nil {
		return nil, app.Invalid("%s: %s: %s", what, kind, jsonError(err))
	}
	if in.Action != nil {
		in.Actions = append(in.Actions, in.Action)
	}
	var all []runAction
	for _, a := range in.Actions {
		runs, err := lrpRuns(what, a, depth+1)
		if err != nil {
			return nil, err
		}
		all = append(all, runs...)
	}
	return all, nil
}

// lrpCheck returns the check that a monitor stands for. That of Diego's own
// healthcheck is made from outside here.
func lrpCheck(monitor json.RawMessage) (app.Check, error) {
	if len(monitor) == 0 || string(monitor) == "null" {
		return app.Check{Type: app.CheckNone}, nil
	}
	r, err := lrpRun("monitor", monitor)
	if err != nil {
		return app.Check{}, err
	}
	if path.Base(r.Path) != "healthcheck" {
		return app.Check{Type: app.CheckCommand, Command: ShellText(append([]string{r.Path}, r.Args...))}, nil
	}
	c := app.Check{Type: app.CheckPort}
	for i := 0; i+1 < len(r.Args); i += 2 {
		value := r.Args[i+1]
		switch strings.TrimLeft(r.Args[i], "-") {
		case "port":
			c.Port, err = strconv.Atoi(value)
		case "uri":
			c.Type, c.Path = app.CheckHTTP, value
		case "timeout":
			err = c.Timeout.UnmarshalText([]byte(value))
		}
		if err != nil {
			return c, app.Invalid("monitor: %.100q is no value for %.100q", value, r.Args[i])
		}
	}
	return c, nil
}

// ShellText returns args as a shell reads them.
func ShellText(args []string) string {
	quoted := make([]string, len(args))
	for i, a := range args {
		quoted[i] = "'" + strings.ReplaceAll(a, "'", `'\''`) + "'"
	}
	return strings.Join(quoted, " ")
}

// jsonError says what is wrong without the input, which may be secret.
func jsonError(err error) string {
	switch e := err.(type) {
	case nil:
		return "it is too large or lacks something"
	case *json.SyntaxError:
		return fmt.Sprintf("no JSON at byte %d", e.Offset)
	case *json.UnmarshalTypeError:
		return fmt.Sprintf("%s must be %s", e.Field, e.Type)
	}
	return strings.TrimPrefix(err.Error(), "json: ")
}
