package compose

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"lattice/app"
	"lattice/internal/manifest"
)

// A conversion makes an app of a service.
type conversion struct {
	service types.ServiceConfig
	project *types.Project
	out     *Project
}

func (c conversion) note(format string, args ...any) {
	c.out.Notes = append(c.out.Notes, fmt.Sprintf("service %s: ", c.service.Name)+fmt.Sprintf(format, args...))
}

func (c conversion) unsupported(format string, args ...any) {
	c.out.Unsupported = append(c.out.Unsupported, fmt.Sprintf("service %s: ", c.service.Name)+fmt.Sprintf(format, args...))
}

func (c conversion) spec() manifest.Spec {
	s := c.service
	a := app.App{
		Name: s.Name, Image: s.Image, Command: s.Entrypoint, Args: s.Command, Dir: s.WorkingDir, User: s.User, Privileged: s.Privileged,
		Instances: 1, MemoryMB: c.memory(), CPUWeight: weight(s.CPUShares), Env: environment(s.Environment),
	}
	if s.StopGracePeriod != nil {
		a.StopGrace = app.Duration(*s.StopGracePeriod)
	}
	if len(a.Command) == 0 && s.Entrypoint != nil { // the image's is not wanted
		a.Command, a.Args = a.Args, nil
	}
	spec := manifest.Spec{Scaled: c.instances(&a), Needs: c.needs()}
	c.build(&spec, &a)
	c.ports(&a)
	c.volumes(&a)
	c.check(&a)
	spec.App = a.WithDefaults()
	return spec
}

// memory returns the limit in MiB. Without one there is none, as in Compose.
func (c conversion) memory() int {
	bytes := int64(c.service.MemLimit)
	if d := c.service.Deploy; d != nil && d.Resources.Limits != nil && d.Resources.Limits.MemoryBytes > 0 {
		bytes = int64(d.Resources.Limits.MemoryBytes)
	}
	const mb = 1 << 20
	return int((bytes + mb - 1) / mb)
}

// weight turns shares, of which 1024 are usual, into an app's weight.
func weight(shares int64) int {
	if shares <= 0 {
		return app.DefaultCPUWeight
	}
	return int(min(100, max(1, shares*100/1024)))
}

// environment returns the variables that have a value.
func environment(vars types.MappingWithEquals) map[string]string {
	env := map[string]string{}
	for name, value := range vars {
		if value != nil {
			env[name] = *value
		}
	}
	return env
}

// instances sets how many there are and reports whether the file says it.
func (c conversion) instances(a *app.App) bool {
	switch d := c.service.Deploy; {
	case d != nil && d.Replicas != nil:
		a.Instances = *d.Replicas
	case c.service.Scale != nil:
		a.Instances = *c.service.Scale
	default:
		return false
	}
	return true
}

// needs returns what must be healthy before.
func (c conversion) needs() []string {
	var names []string
	for _, name := range slices.Sorted(maps.Keys(c.service.DependsOn)) {
		if d := c.service.DependsOn[name]; d.Condition == types.ServiceConditionCompletedSuccessfully {
			c.unsupported("depends_on %s: an app never completes: run it before as a task", name)
		}
		names = append(names, name)
	}
	return names
}

// build says what the image is to be made of, if it is. It is one of the cluster's,
// whatever the file calls it.
func (c conversion) build(s *manifest.Spec, a *app.App) {
	b := c.service.Build
	if b == nil {
		if c.service.Image == "" {
			c.unsupported("it has no image")
		}
		return
	}
	if info, err := os.Stat(b.Context); err != nil || !info.IsDir() {
		c.unsupported("build: %s is no folder here", b.Context)
	}
	there := map[string]bool{
		"dockerfile_inline": b.DockerfileInline != "", "additional_contexts": len(b.AdditionalContexts) > 0, "secrets": len(b.Secrets) > 0,
		"ssh": len(b.SSH) > 0, "platforms": len(b.Platforms) > 0, "privileged": b.Privileged,
	}
	for _, what := range slices.Sorted(maps.Keys(there)) {
		if there[what] {
			c.unsupported("build.%s", what)
		}
	}
	if !strings.HasPrefix(a.Image, app.ClusterImages) {
		a.Image = app.ClusterImages + c.project.Name + "-" + c.service.Name
		if c.service.Image != "" {
			c.note("the image is built as %s, not as %s", a.Image, c.service.Image)
		}
	}
	s.Build = &manifest.Build{Dir: b.Context, Build: app.Build{
		Image: a.Image, From: filepath.Base(b.Context), Dockerfile: filepath.ToSlash(b.Dockerfile), Target: b.Target, Args: environment(b.Args), NoCache: b.NoCache,
	}}
}

func (c conversion) ports(a *app.App) {
	published := false
	for _, p := range c.service.Ports {
		if p.Protocol != "" && p.Protocol != "tcp" {
			c.unsupported("ports %d/%s: only TCP is routed", p.Target, p.Protocol)
			continue
		}
		published = true
		a.Ports = with(a.Ports, int(p.Target))
		if p.Published != "" {
			c.note("ports %s:%d: no port of the host is opened, HTTP goes to the app's routes", p.Published, p.Target)
		}
	}
	for _, text := range c.service.Expose {
		number, protocol, _ := strings.Cut(text, "/")
		from, to, isRange := strings.Cut(number, "-")
		if !isRange {
			to = from
		}
		first, err1 := strconv.Atoi(from)
		last, err2 := strconv.Atoi(to)
		if err1 != nil || err2 != nil || last-first > app.MaxPorts || protocol != "" && protocol != "tcp" {
			c.unsupported("expose %s: only TCP is routed", text)
			continue
		}
		for port := first; port <= last; port++ {
			a.Ports = with(a.Ports, port)
		}
	}
	a.NoRoutes = !published
}

// with returns ports with one more, if it isn't among them.
func with(ports []int, port int) []int {
	if slices.Contains(ports, port) {
		return ports
	}
	return append(ports, port)
}

// check sets how an instance is known to be healthy: as the file says, else
// by its first port, else by its process alone.
func (c conversion) check(a *app.App) {
	a.Check.Type = app.CheckNone
	if len(a.Ports) > 0 {
		a.Check.Type = app.CheckPort
	}
	h := c.service.HealthCheck
	if h == nil {
		return
	}
	if h.Disable || len(h.Test) > 0 && h.Test[0] == "NONE" {
		a.Check.Type = app.CheckNone
		return
	}
	if command := testCommand(h.Test); command != "" {
		a.Check.Type, a.Check.Command = app.CheckCommand, command
	}
	setDuration(&a.Check.Timeout, h.Timeout)
	setDuration(&a.Check.Interval, h.Interval)
	if h.Retries != nil {
		a.Check.Failures = int(min(*h.Retries, app.MaxCheckFailures))
	}
	if h.StartPeriod != nil {
		a.StartTimeout = startTimeout(*h.StartPeriod, a.Check)
	}
	if h.StartInterval != nil && a.Check.Type != app.CheckNone {
		startup := a.Check
		startup.Failures, startup.Interval = 0, app.Duration(*h.StartInterval)
		a.Startup = &startup
	}
}

// testCommand returns a test as a shell reads it.
func testCommand(test []string) string {
	switch {
	case len(test) == 2 && test[0] == "CMD-SHELL":
		return test[1]
	case len(test) > 1 && test[0] == "CMD":
		return manifest.ShellText(test[1:])
	}
	return ""
}

func setDuration(d *app.Duration, from *types.Duration) {
	if from != nil {
		*d = app.Duration(*from)
	}
}

// startTimeout is when Compose calls a service ill that never passed its test.
func startTimeout(period types.Duration, c app.Check) app.Duration {
	interval, failures := time.Duration(c.Interval), c.Failures
	if interval == 0 {
		interval = app.CheckInterval
	}
	if failures == 0 {
		failures = app.CheckFailures
	}
	return app.Duration(min(time.Duration(period)+time.Duration(failures)*interval, app.MaxStartTimeout))
}
