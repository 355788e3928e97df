package containerd

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"

	"github.com/containerd/containerd/v2/client"
	"github.com/containerd/errdefs"
	"github.com/opencontainers/runtime-spec/specs-go"

	"lattice/app"
	"lattice/cells"
)

// Open starts a command in the container. ctx is for the start only.
func (r *Runtime) Open(ctx context.Context, guid string, cmd cells.Command) (cells.Process, error) {
	ctx = r.context(ctx)
	task, spec, err := r.running(ctx, guid)
	if err != nil {
		return nil, err
	}
	if cmd.Helper {
		if !hasHelper(spec) {
			return nil, &commandError{"this container was started by an older lattice, which did not yet give it what this needs: restart the app, or run a program of the image with `ltc exec`", cells.ErrCommand}
		}
		cmd.Args = append([]string{helperPath}, cmd.Args...)
	}
	ended := make(chan struct{})
	p := &execution{runtime: r, guid: guid, dir: filepath.Join(r.cfg.State, "exec", guid+sessionMark+rand.Text()),
		stdout: &output{ended: ended}, stderr: &output{ended: ended}, ended: ended}
	if err := p.start(ctx, task, processSpec(spec, cmd)); err != nil {
		return nil, errors.Join(explainStart(cells.Spec{GUID: guid, Args: cmd.Args}, err), p.discard())
	}
	return p, nil
}

// running returns the container's task and what it was started with.
func (r *Runtime) running(ctx context.Context, guid string) (client.Task, *specs.Spec, error) {
	c, err := r.client.LoadContainer(ctx, guid)
	if errdefs.IsNotFound(err) {
		return nil, nil, fmt.Errorf("container %s: %w", guid, app.ErrNotFound)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("exec in container %s: %w", guid, err)
	}
	spec, err := c.Spec(ctx)
	if err != nil {
		return nil, nil, fmt.Errorf("exec in container %s: %w", guid, err)
	}
	task, err := c.Task(ctx, nil)
	if errdefs.IsNotFound(err) {
		return nil, nil, fmt.Errorf("exec in container %s: it has ended: %w", guid, app.ErrNotFound)
	}
	if err != nil {
		return nil, nil, fmt.Errorf("exec in container %s: %w", guid, err)
	}
	return task, spec, nil
}

// processSpec is the container's own process with another command.
func processSpec(s *specs.Spec, cmd cells.Command) *specs.Process {
	p := *s.Process
	p.Args, p.Terminal = cmd.Args, cmd.TTY
	p.Env = merge(p.Env, cmd.Env)
	if cmd.TTY && cmd.Size.Cols > 0 && cmd.Size.Rows > 0 {
		p.ConsoleSize = &specs.Box{Width: uint(cmd.Size.Cols), Height: uint(cmd.Size.Rows)}
	}
	return &p
}

// merge returns the variables of base with those of more in their place.
func merge(base, more []string) []string {
	last := map[string]int{}
	var out []string
	for _, list := range [][]string{base, more} {
		for _, e := range list {
			name, _, _ := strings.Cut(e, "=")
			if i, ok := last[name]; ok {
				out[i] = e
				continue
			}
			last[name] = len(out)
			out = append(out, e)
		}
	}
	return out
}

// endSessions ends the commands of sessions that an earlier process of ours
// left behind when it died.
func (r *Runtime) endSessions(ctx context.Context) error {
	left, err := filepath.Glob(filepath.Join(r.cfg.State, "exec", "*"+sessionMark+"*"))
	if err != nil {
		return err
	}
	for _, dir := range left {
		guid, rest, _ := strings.Cut(filepath.Base(dir), sessionMark)
		if err := r.endSession(ctx, guid, sessionMark[1:]+rest); err != nil {
			r.cfg.Log.Warn("a command of a broken session may still run", "instance", guid, "err", err)
		}
		if err := os.RemoveAll(dir); err != nil {
			return fmt.Errorf("clean up after a session: %w", err)
		}
	}
	return nil
}

func (r *Runtime) endSession(ctx context.Context, guid, id string) error {
	task, _, err := r.running(ctx, guid)
	if errors.Is(err, app.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	p, err := task.LoadProcess(ctx, id, nil)
	if errdefs.IsNotFound(err) {
		return nil
	}
	if err != nil {
		return err
	}
	return (&execution{runtime: r, guid: guid, task: p}).abandon(ctx)
}

// Inside tells how to be in the network of the container.
func (r *Runtime) Inside(ctx context.Context, guid string) (cells.Inside, error) {
	task, _, err := r.running(r.context(ctx), guid)
	if err != nil {
		return cells.Inside{}, err
	}
	conf, err := os.ReadFile(filepath.Join(r.dir(guid), "resolv.conf"))
	if err != nil {
		return cells.Inside{}, fmt.Errorf("read the resolvers of container %s: %w", guid, err)
	}
	return cells.Inside{PID: int(task.Pid()), Nameservers: nameservers(conf)}, nil
}

// nameservers returns those of a resolv.conf, which the container may have
// written: at most three count, as everywhere.
func nameservers(conf []byte) (all []netip.Addr) {
	for line := range strings.Lines(string(conf[:min(len(conf), 64<<10)])) {
		f := strings.Fields(line)
		if len(f) < 2 || f[0] != "nameserver" || len(all) == 3 {
			continue
		}
		if ip, err := netip.ParseAddr(f[1]); err == nil {
			all = append(all, ip)
		}
	}
	return all
}
