package containerd

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	taskapi "github.com/containerd/containerd/api/runtime/task/v3"
	"github.com/containerd/containerd/api/types/task"
	"github.com/containerd/containerd/v2/core/containers"
	"github.com/containerd/containerd/v2/pkg/protobuf"
	"github.com/containerd/ttrpc"

	"lattice/cells"
)

// labelExit has how a container ended whose shim is gone, as JSON.
const labelExit = "lattice/exit"

// askTime is how long one shim may take to answer.
const askTime = 5 * time.Second

// bundles is the folder of the bundles, one for each task.
func (r *Runtime) bundles() string {
	return filepath.Join(r.cfg.State, "io.containerd.runtime.v2.task", namespace)
}

// endedWhileAway asks the shims of an earlier process which containers have
// ended and how. It must be called before containerd starts, for that throws
// away the shims of all that have ended, and with them what they know.
func (r *Runtime) endedWhileAway(ctx context.Context) (map[string]cells.Exit, error) {
	dirs, err := os.ReadDir(r.bundles())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, fmt.Errorf("look for containers of before: %w", err)
	}
	exits := map[string]cells.Exit{}
	for _, d := range dirs {
		res, err := askShim(ctx, filepath.Join(r.bundles(), d.Name()), d.Name())
		if err != nil {
			r.cfg.Log.Debug("shim does not answer", "instance", d.Name(), "err", err) // it is cleaned up soon
			continue
		}
		if res.Status == task.Status_STOPPED {
			exits[d.Name()] = r.exit(d.Name(), res.ExitStatus, protobuf.FromTimestamp(res.ExitedAt))
		}
	}
	return exits, nil
}

func askShim(ctx context.Context, bundle, guid string) (*taskapi.StateResponse, error) {
	b, err := os.ReadFile(filepath.Join(bundle, "bootstrap.json"))
	if err != nil {
		return nil, err
	}
	var boot struct{ Address string }
	if err := json.Unmarshal(b, &boot); err != nil {
		return nil, err
	}
	conn, err := net.DialTimeout("unix", strings.TrimPrefix(boot.Address, "unix://"), askTime)
	if err != nil {
		return nil, err
	}
	c := ttrpc.NewClient(conn)
	defer c.Close()
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	return taskapi.NewTTRPCTaskClient(c).State(ctx, &taskapi.StateRequest{ID: guid})
}

// exit adds to an exit code whether memory ran out. It must be called while the
// container's cgroup is there.
func (r *Runtime) exit(guid string, code uint32, at time.Time) cells.Exit {
	e := cells.Exit{Code: int(code), At: at}
	if e.Code == 128+int(syscall.SIGKILL) {
		n, err := r.oomKills(guid)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // removed meanwhile
			r.cfg.Log.Warn("can't tell whether memory ran out", "instance", guid, "err", err)
		}
		e.OOMKilled = n > 0
	}
	return e
}

// keepExit notes with the container how it ended.
func (r *Runtime) keepExit(ctx context.Context, guid string, e cells.Exit) error {
	b, err := json.Marshal(e)
	if err == nil {
		c := containers.Container{ID: guid, Labels: map[string]string{labelExit: string(b)}}
		_, err = r.client.ContainerService().Update(ctx, c, "labels."+labelExit)
	}
	if err != nil {
		return fmt.Errorf("note how container %s ended: %w", guid, err)
	}
	return nil
}

// keptExit returns what keepExit noted, if anything.
func keptExit(c containers.Container) (e cells.Exit, ok bool) {
	return e, json.Unmarshal([]byte(c.Labels[labelExit]), &e) == nil
}
